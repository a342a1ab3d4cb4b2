"""Who goes first where several callers share an engine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from llasa.lm.engine import Generation
from llasa.lm.sampling import SamplingParams, spread
from llasa.serving.batching import EngineClient, SharedEngine
from tests.waiting import PATIENCE, wait_for

ENDLESS = 10**9


class CountingEngine:
    """Every sequence counts its steps; `started` are the first tokens of the prompts, in order."""

    context = 2048

    def __init__(self) -> None:
        self.started: list[int] = []
        self.guilty: set[int] = set()
        """First tokens of the sequences that no step can be taken with."""
        self.unfree: set[int] = set()
        self.after = 0
        """How many get their token before such a step fails."""

    def start(
        self, prompts: Sequence[Sequence[int]], params: SamplingParams | Sequence[SamplingParams]
    ) -> list[Generation]:
        self.started += [prompt[0] for prompt in prompts]
        rules = spread(params, len(prompts))
        return [Generation(p, rule) for p, rule in zip(prompts, rules, strict=True)]

    def advance(self, generations: Sequence[Generation], steps: int = 1) -> None:
        fails = self.guilty & {generation.prompt[0] for generation in generations}
        for generation in generations[: self.after] if fails else generations:
            if generation.prompt[0] not in fails:
                generation.tokens.append(len(generation.tokens))
        if fails:
            raise RuntimeError(f"{fails} cannot go on")

    def close(self) -> None:
        pass

    def attention(
        self,
        tokens: Sequence[int],
        layer: int,
        heads: int,
        queries: Sequence[int],
        keys: Sequence[int],
    ) -> NDArray[np.float32] | None:
        return np.full((heads, len(queries), len(keys)), 1 / len(keys), np.float32)

    def fork(
        self,
        generations: Sequence[Generation],
        parents: Sequence[int],
        seeds: Sequence[int] | None = None,
    ) -> list[Generation]:
        raise NotImplementedError

    def release(self, generations: Sequence[Generation]) -> None:
        for generation in generations:
            if generation.prompt[0] in self.unfree:
                raise RuntimeError("it cannot be released")
            generation.finish = generation.finish or "released"


@pytest.fixture
def engine() -> CountingEngine:
    return CountingEngine()


@pytest.fixture
def shared(engine: CountingEngine) -> Iterator[SharedEngine]:
    shared = SharedEngine(engine, slots=2, on_step=lambda count: None)
    yield shared
    shared.stop()


@pytest.fixture
def ask(shared: SharedEngine) -> Iterator[Callable[..., EngineClient]]:
    """Start a sequence that goes on until its caller is closed, in a thread of its own."""
    callers: list[EngineClient] = []

    def go(caller: EngineClient, name: int) -> None:
        (generation,) = caller.start([[name]], SamplingParams())
        caller.advance([generation], ENDLESS)

    def ask(name: int, due: float = math.inf, width: int = 1) -> EngineClient:
        waiting = shared.waiting + shared.running
        caller = EngineClient(shared, width)
        caller.due = due
        callers.append(caller)
        pool.submit(go, caller, name)
        wait_for(lambda: shared.waiting + shared.running > waiting)
        return caller

    with ThreadPoolExecutor(8) as pool:
        yield ask
        for caller in callers:
            caller.close()


def test_who_is_about_to_run_dry_starts_first(
    engine: CountingEngine, ask: Callable[..., EngineClient]
) -> None:
    first, second = ask(1), ask(2)
    wait_for(lambda: first.live and second.live)
    ask(3)
    ask(4, due=time.monotonic() + 3600)
    ask(5, due=time.monotonic())
    first.close()
    wait_for(lambda: len(engine.started) > 2)
    second.close()
    assert engine.started[:3] == [1, 2, 5]


def test_nobody_joins_while_somebody_is_about_to_run_dry(
    engine: CountingEngine, shared: SharedEngine, ask: Callable[..., EngineClient]
) -> None:
    dry = ask(1, due=time.monotonic())
    wait_for(lambda: dry.live)
    new = ask(2)
    running = dry.live[0].tokens
    steps = len(running)
    wait_for(lambda: len(running) > steps + 100)
    assert shared.waiting == 1
    dry.due = time.monotonic() + 3600
    wait_for(lambda: new.live)
    assert dry.live
    assert engine.started == [1, 2]


def test_somebody_else_starts_where_the_dry_one_is_gone(
    engine: CountingEngine, ask: Callable[..., EngineClient]
) -> None:
    dry = ask(1, due=time.monotonic())
    wait_for(lambda: dry.live)
    ask(2)
    dry.close()
    wait_for(lambda: engine.started == [1, 2])


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_guilty_sequence_fails_alone(engine: CountingEngine, after: int) -> None:
    """Whichever it is, and however many had their token when the step broke off."""
    engine.after = after
    names = range(1, 7)
    for guilty in names:
        shared = SharedEngine(engine, slots=8, on_step=lambda count: None)
        callers = {name: EngineClient(shared) for name in names}
        started = {name: callers[name].start([[name]], SamplingParams()) for name in names}
        engine.guilty = {guilty}
        with ThreadPoolExecutor(8) as pool:
            done = {n: pool.submit(callers[n].advance, started[n], 40) for n in names}
            for name, future in done.items():
                if name == guilty:
                    with pytest.raises(RuntimeError, match="cannot go on"):
                        future.result(PATIENCE)
                else:
                    future.result(PATIENCE)
        counts = {name: len(started[name][0].tokens) for name in names}
        assert counts == {name: 0 if name == guilty else 40 for name in names}
        assert not shared.failing
        engine.guilty.clear()
        shared.stop()


def test_the_engine_fails_where_nobody_is_to_blame(
    engine: CountingEngine, shared: SharedEngine
) -> None:
    def step() -> None:
        caller = EngineClient(shared)
        try:
            caller.advance(caller.start([[1]], SamplingParams()), 1)
        finally:
            caller.close()

    engine.guilty = {1}
    with pytest.raises(RuntimeError, match="cannot go on"):
        step()
    assert not shared.failing
    engine.guilty = {0, 1}  # our own sequence fails, too
    with pytest.raises(RuntimeError, match="cannot go on"):
        step()
    wait_for(lambda: shared.failing)
    engine.guilty.clear()
    step()
    wait_for(lambda: not shared.failing)


def test_a_sequence_that_cannot_be_released_keeps_nobody(
    engine: CountingEngine, shared: SharedEngine, ask: Callable[..., EngineClient]
) -> None:
    engine.unfree = {1}
    stuck, fine = ask(1), ask(2)
    wait_for(lambda: stuck.live and fine.live)
    stuck.close()
    fine.close()
    wait_for(lambda: shared.running == 0)
    ask(3)
    wait_for(lambda: len(engine.started) > 2)
    assert engine.started == [1, 2, 3]

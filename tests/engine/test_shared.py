"""Who goes first where several callers share an engine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from llasa.engine.base import Generation, OnStep
from llasa.engine.sampling import SamplingParams, spread
from llasa.engine.shared import Caller, SharedEngine

PATIENCE = 60.0
"""Seconds until a test gives up; nothing is measured by it."""
ENDLESS = 10**9


class CountingEngine:
    """Every sequence counts its steps; `started` are the first tokens of the prompts, in order."""

    context = 2048

    def __init__(self) -> None:
        self.started: list[int] = []

    def start(
        self, prompts: Sequence[Sequence[int]], params: SamplingParams | Sequence[SamplingParams]
    ) -> list[Generation]:
        self.started += [prompt[0] for prompt in prompts]
        rules = spread(params, len(prompts))
        return [Generation(p, rule) for p, rule in zip(prompts, rules, strict=True)]

    def advance(
        self, generations: Sequence[Generation], steps: int = 1, on_step: OnStep | None = None
    ) -> None:
        for generation in generations:
            generation.tokens.append(len(generation.tokens))

    def fork(
        self,
        generations: Sequence[Generation],
        parents: Sequence[int],
        seeds: Sequence[int] | None = None,
    ) -> list[Generation]:
        raise NotImplementedError

    def release(self, generations: Sequence[Generation]) -> None:
        for generation in generations:
            generation.finish = generation.finish or "released"


@pytest.fixture
def engine() -> CountingEngine:
    return CountingEngine()


@pytest.fixture
def shared(engine: CountingEngine) -> Iterator[SharedEngine]:
    shared = SharedEngine(engine, places=2, on_step=lambda count: None)
    yield shared
    shared.stop()


@pytest.fixture
def ask(shared: SharedEngine) -> Iterator[Callable[..., Caller]]:
    """Start a sequence that goes on until its caller is closed, in a thread of its own."""
    callers: list[Caller] = []

    def go(caller: Caller, name: int) -> None:
        (generation,) = caller.start([[name]], SamplingParams())
        caller.advance([generation], ENDLESS)

    def ask(name: int, due: float = math.inf, width: int = 1) -> Caller:
        waiting = shared.waiting + shared.running
        caller = Caller(shared, width)
        caller.due = due
        callers.append(caller)
        pool.submit(go, caller, name)
        until(lambda: shared.waiting + shared.running > waiting)
        return caller

    with ThreadPoolExecutor(8) as pool:
        yield ask
        for caller in callers:
            caller.close()


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.001)


def test_who_is_about_to_run_dry_starts_first(
    engine: CountingEngine, ask: Callable[..., Caller]
) -> None:
    first, second = ask(1), ask(2)
    until(lambda: first.live and second.live)
    ask(3)
    ask(4, due=time.monotonic() + 3600)
    ask(5, due=time.monotonic())
    first.close()
    until(lambda: len(engine.started) > 2)
    second.close()
    assert engine.started[:3] == [1, 2, 5]


def test_nobody_joins_while_somebody_is_about_to_run_dry(
    engine: CountingEngine, shared: SharedEngine, ask: Callable[..., Caller]
) -> None:
    dry = ask(1, due=time.monotonic())
    until(lambda: dry.live)
    new = ask(2)
    running = dry.live[0].tokens
    steps = len(running)
    until(lambda: len(running) > steps + 100)
    assert shared.waiting == 1
    dry.due = time.monotonic() + 3600
    until(lambda: new.live)
    assert dry.live
    assert engine.started == [1, 2]


def test_somebody_else_starts_where_the_dry_one_is_gone(
    engine: CountingEngine, ask: Callable[..., Caller]
) -> None:
    dry = ask(1, due=time.monotonic())
    until(lambda: dry.live)
    ask(2)
    dry.close()
    until(lambda: engine.started == [1, 2])

"""One engine for many threads: their sequences take every step together.

This is continuous batching: callers come and go between two steps. One thread owns the engine; a
`EngineClient` is an engine, too, but hands each move over to that thread and waits for it.

Some callers' tokens are used up in real time. Who is about to run dry starts before everybody
else, and as long as such a one is live nobody new joins and takes time from it: where there is too
much to do, it is those who have nothing yet that wait.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import Any

from llasa.lm.engine import Engine, Generation, OnStep
from llasa.lm.sampling import SamplingParams

MARGIN = 0.2
"""Seconds: who runs dry sooner is pressed."""

log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Move:
    """What a caller waits for: something done between two steps, or else some steps."""

    caller: EngineClient
    do: Callable[[], Any] | None = None
    places: int = 0
    """That must be free."""
    generations: Sequence[Generation] = ()
    steps: int = 0
    future: Future[Any] = field(default_factory=Future)


class SharedEngine:
    """Runs the engine in a thread of its own.

    Args:
        places: sequences that may be live at the same time.
        on_step: called after each step with the number of sequences that took it.
    """

    def __init__(self, engine: Engine, places: int, on_step: Callable[[int], object]) -> None:
        self.engine = engine
        self.live: list[EngineClient] = []
        """Callers that have live sequences."""
        self.failing = False
        """Whether the last step failed for everybody, and not by a fault of theirs."""
        self.changed = threading.Condition()
        self._places = places
        self._on_step = on_step
        self._starts: list[_Move] = []
        self._moves: list[_Move] = []
        self._walks: list[_Move] = []
        self._released: list[Generation] = []
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="llasa-engine", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Starts that wait for places."""
        return len(self._starts)

    @property
    def running(self) -> int:
        """Sequences that are live."""
        return sum(len(caller.live) for caller in list(self.live))

    def stop(self) -> None:
        """End the thread; no caller may be left."""
        with self.changed:
            self._stopped = True
            self.changed.notify()
        self._thread.join()

    # -- for callers, in their threads --------------------------------------------------------

    def wait(self, move: _Move) -> Any:
        """Have something done; gives its result."""
        with self.changed:
            move.caller.awaits(move.future)
            queue = self._walks if move.do is None else self._starts if move.places else self._moves
            queue.append(move)
            self.changed.notify()
        return move.future.result()

    def release(self, generations: Sequence[Generation]) -> None:
        """Stop sequences before the next step."""
        with self.changed:
            self._released += generations
            self.changed.notify()

    # -- in the engine's thread ---------------------------------------------------------------

    def _run(self) -> None:
        while (moves := self._next_moves()) is not None:
            for move in moves:
                self._make(move)
            self._step()

    def _next_moves(self) -> list[_Move] | None:
        """Wait until there is something to do; None in the end."""
        with self.changed:
            while True:
                self._tidy()
                moves = [*self._moves, *self._admitted()]
                self._moves.clear()
                if moves or self._walks:
                    return moves
                if self._stopped:
                    return None
                self.changed.wait()

    def _tidy(self) -> None:
        """Release what nobody wants any more; the lock is held."""
        for caller in self.live:
            if caller.closed:
                self._released += caller.live
        self._free(self._released)
        self._released.clear()
        for caller in self.live:
            caller.live = [g for g in caller.live if g.finish is None]
        self.live = [caller for caller in self.live if caller.live]
        self._walks = [walk for walk in self._walks if not walk.future.done()]

    def _free(self, generations: Sequence[Generation]) -> None:
        """Release sequences; one that cannot be released is forgotten, and keeps no other."""
        try:
            self.engine.release(generations)
        except Exception:
            if len(generations) > 1:
                for generation in generations:
                    self._free([generation])
                return
            log.exception("a sequence could not be released")
            generations[0].finish = "released"

    def _admitted(self) -> list[_Move]:
        """Starts for which there is room, first come, first served; the lock is held."""
        starts = [move for move in self._starts if not move.future.cancelled()]
        starts.sort(key=lambda move: not move.caller.pressed)
        held = any(caller.pressed for caller in self.live)
        taken, count = sum(caller.places for caller in self.live), 0
        for move in starts:
            full = taken > 0 and taken + move.places > self._places
            if full or (held and not move.caller.pressed):
                break
            taken += move.places
            count += 1
        self._starts = starts[count:]
        return starts[:count]

    def _make(self, move: _Move) -> None:
        assert move.do is not None
        result, error = None, None
        try:
            result = move.do()
        except Exception as problem:  # handed to who asked
            error = problem
        with self.changed:
            _settle(move, result, error)

    def _step(self) -> None:
        """One token for all that walk; who cannot take one fails alone."""
        with self.changed:
            walks = [walk for walk in self._walks if not walk.future.done()]
        jobs = {walk: rest for walk in walks if (rest := _unfinished(walk))}
        errors: dict[_Move, Exception] = {}
        if jobs:
            errors = self._advance(jobs)
            self.failing = len(errors) == len(jobs) and not self._works()
            self._on_step(sum(map(len, jobs.values())))
        with self.changed:
            for walk in walks:
                walk.steps -= 1
                if walk in errors or walk.steps <= 0 or not _unfinished(walk):
                    _settle(walk, None, errors.get(walk))

    def _advance(self, jobs: dict[_Move, list[Generation]]) -> dict[_Move, Exception]:
        """One token for each sequence; where that fails, in halves, until the guilty are found.

        Gives what went wrong for whom.
        """
        before = {g: len(g.tokens) for some in jobs.values() for g in some}
        try:
            self.engine.advance(list(before))
        except Exception as error:
            if len(jobs) == 1:
                log.exception("a sequence failed")
                return dict.fromkeys(jobs, error)
            left = {}  # without those that have their token already
            for walk, some in jobs.items():
                if rest := [g for g in some if g.finish is None and len(g.tokens) == before[g]]:
                    left[walk] = rest
            if len(left) < len(jobs):
                return self._advance(left) if left else {}
            halves = list(left.items())
            half = len(halves) // 2
            return self._advance(dict(halves[:half])) | self._advance(dict(halves[half:]))
        return {}

    def _works(self) -> bool:
        """Whether a sequence of our own, which is not to blame, can take a step."""
        own: list[Generation] = []
        try:
            own = self.engine.start([[0, 0]], SamplingParams())
            self.engine.advance(own)
        except Exception:
            log.exception("the engine fails")
            return False
        finally:
            self.release(own)
        return True


def _unfinished(walk: _Move) -> list[Generation]:
    return [g for g in walk.generations if g.finish is None]


class EngineClient:
    """An `Engine` for one thread.

    Its sequences need places: `width`, or more where it starts more at once, until all of them
    have ended. Every start waits behind those that came earlier, unless it is `pressed`, so that
    who starts often lets others in between. Once it is closed, all it does raises
    `CancelledError`.
    """

    def __init__(self, shared: SharedEngine, width: int = 1) -> None:
        self._shared = shared
        self._width = width
        self.live: list[Generation] = []
        """Sequences that have not ended."""
        self.places = 0
        """What they take."""
        self.due = math.inf
        """When it runs dry (`time.monotonic`), if what it has is used up in real time."""
        self.closed = False
        self._awaited: Future[Any] = Future()

    @property
    def pressed(self) -> bool:
        """Whether it runs dry soon."""
        return self.due < time.monotonic() + MARGIN

    @property
    def active(self) -> bool:
        """Whether a sequence of its own can go on."""
        return any(g.finish is None for g in list(self.live))

    @property
    def context(self) -> int:
        """Most tokens a sequence may have, prompt included."""
        return self._shared.engine.context

    def start(
        self, prompts: Sequence[Sequence[int]], params: SamplingParams | Sequence[SamplingParams]
    ) -> list[Generation]:
        """Begin one sequence a prompt as soon as there is room."""

        def start() -> list[Generation]:
            self.live += (new := self._shared.engine.start(prompts, params))
            self.places = places
            self._shared.live.append(self)
            return new

        places = max(self._width, len(prompts))
        return self._shared.wait(_Move(self, start, places))

    def advance(
        self, generations: Sequence[Generation], steps: int = 1, on_step: OnStep | None = None
    ) -> None:
        """Append up to ``steps`` tokens to each, together with all other callers'."""
        if on_step is None:
            self._shared.wait(_Move(self, generations=generations, steps=steps))
            return
        for _ in range(steps):
            if active := [g for g in generations if g.finish is None]:
                self.advance(active)
                on_step(active)

    def fork(
        self,
        generations: Sequence[Generation],
        parents: Sequence[int],
        seeds: Sequence[int] | None = None,
    ) -> list[Generation]:
        """Replace sequences by children."""

        def fork() -> list[Generation]:
            self.live += (children := self._shared.engine.fork(generations, parents, seeds))
            return children

        return self._shared.wait(_Move(self, fork))

    def release(self, generations: Sequence[Generation]) -> None:
        """Stop sequences before the next step, without waiting."""
        self._shared.release(generations)

    def awaits(self, future: Future[Any]) -> None:
        """Note what its thread waits for next, which `close` cancels."""
        with self._shared.changed:
            if self.closed:
                raise CancelledError
            self._awaited = future

    def close(self) -> None:
        """Give up, from any thread: what still runs is released before the next step."""
        with self._shared.changed:
            self.closed = True
            self._awaited.cancel()
            self._shared.changed.notify()


def _settle(move: _Move, result: Any, error: Exception | None) -> None:
    """Give the answer to who still waits; the lock is held."""
    if not move.future.cancelled():
        if error is None:
            move.future.set_result(result)
        else:
            move.future.set_exception(error)

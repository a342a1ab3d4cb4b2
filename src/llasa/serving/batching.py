"""One engine shared by many threads: all their sequences advance in the same steps.

This is continuous batching: clients join and leave between two steps. One thread owns the engine;
an `EngineClient` has the same interface, but hands each job to that thread and waits.

Some clients play their speech while it is made. A client that is about to run out of sound is
urgent: it starts before all others, and while it runs no new client joins and slows it down. So
under overload it is the clients without any sound yet that wait.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llasa.lm.engine import Engine, Generation
from llasa.lm.sampling import SamplingParams

MARGIN = 0.2
"""A client with less than this many seconds of speech left is urgent."""

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Job:
    """What a client waits for: some work between two steps, or a number of steps."""

    client: EngineClient
    do: Callable[[], Any] | None = None
    slots: int = 0
    """Number of free slots that the work needs."""
    generations: Sequence[Generation] = ()
    steps: int = 0
    future: Future[Any] = field(default_factory=Future)


class SharedEngine:
    """Runs an engine in a thread of its own.

    Args:
        slots: sequences that may be live at the same time.
        on_step: called after each step with the number of sequences that took it.
    """

    def __init__(self, engine: Engine, slots: int, on_step: Callable[[int], object]) -> None:
        self.engine = engine
        self.live: list[EngineClient] = []
        """Clients that have live sequences."""
        self.failing = False
        """Whether the last step failed for all clients, through no fault of theirs."""
        self.changed = threading.Condition()
        self._slots = slots
        self._on_step = on_step
        self._starts: list[Job] = []
        self._between: list[Job] = []
        self._stepping: list[Job] = []
        self._released: list[Generation] = []
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="llasa-engine", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Starts that wait for slots."""
        return len(self._starts)

    @property
    def running(self) -> int:
        """Sequences that are live."""
        return sum(len(client.live) for client in list(self.live))

    def stop(self) -> None:
        """End the thread; all clients must be closed."""
        with self.changed:
            self._stopped = True
            self.changed.notify()
        self._thread.join()

    # -- for clients, in their threads --------------------------------------------------------

    def wait(self, job: Job) -> Any:
        """Have some work done in the engine's thread; returns its result."""
        with self.changed:
            job.client.awaits(job.future)
            if job.do is None:
                self._stepping.append(job)
            else:
                (self._starts if job.slots else self._between).append(job)
            self.changed.notify()
        return job.future.result()

    def release(self, generations: Sequence[Generation]) -> None:
        """Stop sequences before the next step."""
        with self.changed:
            self._released += generations
            self.changed.notify()

    # -- in the engine's thread ---------------------------------------------------------------

    def _run(self) -> None:
        while (jobs := self._next_jobs()) is not None:
            for job in jobs:
                self._make(job)
            self._step()

    def _next_jobs(self) -> list[Job] | None:
        """Wait for work; None when the engine is stopped."""
        with self.changed:
            while True:
                self._tidy()
                jobs = [*self._between, *self._admitted()]
                self._between.clear()
                if jobs or self._stepping:
                    return jobs
                if self._stopped:
                    return None
                self.changed.wait()

    def _tidy(self) -> None:
        """Release abandoned sequences; the lock must be held."""
        for client in self.live:
            if client.closed:
                self._released += client.live
        self._free(self._released)
        self._released.clear()
        for client in self.live:
            client.live = [g for g in client.live if g.finish is None]
        self.live = [client for client in self.live if client.live]
        self._stepping = [job for job in self._stepping if not job.future.done()]

    def _free(self, generations: Sequence[Generation]) -> None:
        """Release sequences; one that cannot be released is forgotten."""
        try:
            self.engine.release(generations)
        except Exception:
            if len(generations) > 1:
                for generation in generations:
                    self._free([generation])
                return
            log.exception("a sequence could not be released")
            generations[0].finish = "released"

    def _admitted(self) -> list[Job]:
        """Starts that fit, in order of arrival; the lock must be held."""
        starts = [job for job in self._starts if not job.future.cancelled()]
        starts.sort(key=lambda job: not job.client.urgent)
        held = any(client.urgent for client in self.live)
        taken, count = sum(client.slots for client in self.live), 0
        for job in starts:
            full = taken > 0 and taken + job.slots > self._slots
            if full or (held and not job.client.urgent):
                break
            taken += job.slots
            count += 1
        self._starts = starts[count:]
        return starts[:count]

    def _make(self, job: Job) -> None:
        assert job.do is not None
        result, error = None, None
        try:
            result = job.do()
        except Exception as problem:  # handed to who asked
            error = problem
        with self.changed:
            _settle(job, result, error)

    def _step(self) -> None:
        """One token for each client that waits for steps; a sequence that fails, fails alone."""
        with self.changed:
            stepping = [job for job in self._stepping if not job.future.done()]
        sequences = {job: rest for job in stepping if (rest := _unfinished(job))}
        errors: dict[Job, Exception] = {}
        if sequences:
            errors = self._advance(sequences)
            self.failing = len(errors) == len(sequences) and not self._works()
            self._on_step(sum(map(len, sequences.values())))
        with self.changed:
            for job in stepping:
                job.steps -= 1
                if job in errors or job.steps <= 0 or not _unfinished(job):
                    _settle(job, None, errors.get(job))

    def _advance(self, sequences: dict[Job, list[Generation]]) -> dict[Job, Exception]:
        """One token for each sequence. If that fails, try halves until the faulty sequences are
        found. Returns the error of each.
        """
        before = {g: len(g.tokens) for some in sequences.values() for g in some}
        try:
            self.engine.advance(list(before))
        except Exception as error:
            if len(sequences) == 1:
                log.exception("a sequence failed")
                return dict.fromkeys(sequences, error)
            left = {}  # without those that have their token already
            for job, some in sequences.items():
                if rest := [g for g in some if g.finish is None and len(g.tokens) == before[g]]:
                    left[job] = rest
            if len(left) < len(sequences):
                return self._advance(left) if left else {}
            halves = list(left.items())
            half = len(halves) // 2
            return self._advance(dict(halves[:half])) | self._advance(dict(halves[half:]))
        return {}

    def _works(self) -> bool:
        """Whether the engine itself works: a fresh sequence of our own can take a step."""
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


def _unfinished(job: Job) -> list[Generation]:
    return [g for g in job.generations if g.finish is None]


class EngineClient:
    """An `Engine` for one thread.

    Its sequences occupy slots, `width` or as many as it starts at once, until all of them have
    ended. Each start queues behind earlier ones unless it is `urgent`, so a client that starts
    often lets others in between. Once closed, all its methods raise `CancelledError`.
    """

    def __init__(self, shared: SharedEngine, width: int = 1) -> None:
        self._shared = shared
        self._width = width
        self.live: list[Generation] = []
        """Sequences that have not ended."""
        self.slots = 0
        """Slots that they occupy."""
        self.due = math.inf
        """When its sound runs out (`time.monotonic`) if it is played in real time."""
        self.closed = False
        self._awaited: Future[Any] = Future()

    @property
    def urgent(self) -> bool:
        """Whether its sound runs out soon."""
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
            self.slots = slots
            self._shared.live.append(self)
            return new

        slots = max(self._width, len(prompts))
        return self._shared.wait(Job(self, start, slots))

    def advance(self, generations: Sequence[Generation], steps: int = 1) -> None:
        """Append up to ``steps`` tokens to each, together with all other clients'."""
        self._shared.wait(Job(self, generations=generations, steps=steps))

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

        return self._shared.wait(Job(self, fork))

    def attention(
        self,
        tokens: Sequence[int],
        layer: int,
        heads: int,
        queries: Sequence[int],
        keys: Sequence[int],
    ) -> NDArray[np.float32] | None:
        """Where heads look in a sequence; read between two steps."""
        read = partial(self._shared.engine.attention, tokens, layer, heads, queries, keys)
        return self._shared.wait(Job(self, read))

    def release(self, generations: Sequence[Generation]) -> None:
        """Stop sequences before the next step, without waiting."""
        self._shared.release(generations)

    def awaits(self, future: Future[Any]) -> None:
        """Note the future that its thread waits for next; `close` cancels it."""
        with self._shared.changed:
            if self.closed:
                raise CancelledError
            self._awaited = future

    def close(self) -> None:
        """Give up, from any thread: its sequences are released before the next step."""
        with self._shared.changed:
            self.closed = True
            self._awaited.cancel()
            self._shared.changed.notify()


def _settle(job: Job, result: Any, error: Exception | None) -> None:
    """Give the result to the waiting thread, if any; the lock must be held."""
    if not job.future.cancelled():
        if error is None:
            job.future.set_result(result)
        else:
            job.future.set_exception(error)

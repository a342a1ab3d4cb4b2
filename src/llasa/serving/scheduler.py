"""Continuous batching: one thread owns the model, callers join and leave between its steps.

Every request runs in a thread of its own and speaks as `Llasa` does anywhere. Its engine is a
`Caller`, which hands each move over to the one thread that owns the real engine. There the
sequences of all callers take their steps together.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llasa.codec.codec import Codec
from llasa.engine.base import Generation, OnStep
from llasa.engine.sampling import SamplingParams
from llasa.errors import LlasaError
from llasa.serving.metrics import Metrics
from llasa.synthesis import Llasa

_USUAL_SECONDS = 5.0
"""Assumed length of a request before there was one."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """What the server takes on."""

    batch: int = 16
    """Sequences (parts of texts, or candidates) that are spoken at the same time."""
    queue: int = 64
    """Requests beyond `batch` that may wait; more are refused."""
    chars: int = 4096
    """Longest text of a request (as OpenAI's)."""
    seconds: float = 600.0
    """Longest speech of a request."""
    candidates: int = 8
    """Most candidates of a request."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            least = 0 if name == "queue" else 1
            if not value >= least:
                raise LlasaError(f"{name} is {value}: give at least {least}.")


class BusyError(Exception):
    """No request is taken now; `retry_after` seconds later one may be."""

    def __init__(self, sentence: str, retry_after: int) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


@dataclass(eq=False)
class _Move:
    """Something to do between two steps; a start waits for free places."""

    do: Callable[[], Any]
    places: int = 0
    future: Future[Any] = field(default_factory=Future)


@dataclass(eq=False)
class _Walk:
    """Sequences that go some steps."""

    generations: Sequence[Generation]
    steps: int
    future: Future[Any] = field(default_factory=Future)


class Caller:
    """One request's way to the engine, for one thread; see `Engine`.

    Its sequences need places in the batch: `width`, or more where it starts more at once, until
    all of them have ended. Every start waits behind those that came earlier, so a long text, which
    starts part by part, lets others in between. Once it is closed, all it does raises
    `CancelledError`.
    """

    def __init__(self, scheduler: Scheduler, width: int) -> None:
        self._scheduler = scheduler
        self._width = width
        self.live: list[Generation] = []
        """Sequences that have not ended; the model's thread's."""
        self.places = 0
        """What they take."""
        self.closed = False
        self.awaited: Future[Any] | None = None

    @property
    def context(self) -> int:
        """Most tokens a sequence may have, prompt included."""
        return self._scheduler.engine.context

    def start(
        self, prompts: Sequence[Sequence[int]], params: SamplingParams | Sequence[SamplingParams]
    ) -> list[Generation]:
        """Begin one sequence a prompt as soon as there is room."""
        places = max(self._width, len(prompts))
        do = partial(self._scheduler.begin, self, prompts, params, places)
        return self._scheduler.wait(_Move(do, places), self)

    def advance(
        self, generations: Sequence[Generation], steps: int = 1, on_step: OnStep | None = None
    ) -> None:
        """Append up to ``steps`` tokens to each, together with all other callers'."""
        if on_step is None:
            self._scheduler.wait(_Walk(generations, steps), self)
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
            children = self._scheduler.engine.fork(generations, parents, seeds)
            self.live += children
            return children

        return self._scheduler.wait(_Move(fork), self)

    def release(self, generations: Sequence[Generation]) -> None:
        """Stop sequences before the next step, without waiting."""
        self._scheduler.release(generations)

    def close(self) -> None:
        """Nobody listens any more: what still runs is released before the next step."""
        self._scheduler.close(self)


class Scheduler:
    """Speaks many requests at once, each exactly as `Llasa` speaks it alone.

    Call `start`, then `submit` from any thread, and `shutdown` in the end. `tts` may check
    requests and use its codec in any thread, but only what `submit` hands out can speak.
    """

    def __init__(self, tts: Llasa, limits: Limits, metrics: Metrics) -> None:
        self._alone = tts
        self.engine = tts.engine
        self.tts = copy(tts)
        self.tts.codec = _SharedCodec(tts.codec, self)
        self.tts.batch = max(1, limits.batch // 4)  # a long text leaves places to others
        self.limits = limits
        self.metrics = metrics
        self.ready = threading.Event()
        """Set once the model has spoken for the first time."""
        self._changed = threading.Condition()
        self._starts: deque[_Move] = deque()
        self._moves: list[_Move] = []
        self._walks: list[_Walk] = []
        self._released: list[Generation] = []
        self._holding: list[Caller] = []  # those with live sequences
        self._open = 0
        self._stopping = self._stopped = False
        self._usual = _USUAL_SECONDS
        self._pool = ThreadPoolExecutor(limits.batch + limits.queue, "llasa-request")
        self._thread = threading.Thread(target=self._run, name="llasa-model", daemon=True)

    def start(self) -> None:
        """Start the model's thread, which warms it up."""
        self._thread.start()

    def submit(self, work: Callable[[Llasa], object], width: int = 1) -> Caller:
        """Accept a request: `work` is called in a thread of its own with what it speaks with.

        `width`: places that it needs, where its sequences fork. Raises `BusyError`.
        """
        with self._changed:
            taken, room = self._open, self.limits.batch + self.limits.queue
            if self._stopping:
                raise BusyError("The server is shutting down.", 5)
            if taken >= room:
                wait = math.ceil(self._usual * taken / self.limits.batch)
                raise BusyError("Too many requests are waiting: try again later.", min(60, wait))
            self._open += 1
        caller = Caller(self, width)
        self._pool.submit(self._serve, caller, work)
        return caller

    def shutdown(self) -> None:
        """Take nothing more on, finish what was accepted, and end the thread."""
        with self._changed:
            self._stopping = True
        self._pool.shutdown()
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join()

    def _serve(self, caller: Caller, work: Callable[[Llasa], object]) -> None:
        """One request, in its thread."""
        began = time.perf_counter()
        tts = copy(self.tts)
        tts.engine = caller
        try:
            work(tts)
        except CancelledError:
            pass
        except Exception:
            log.exception("a request failed")
        finally:
            self.close(caller)
            with self._changed:
                self._open -= 1
                self._usual += 0.1 * (time.perf_counter() - began - self._usual)

    # -- moves of callers, from their threads -----------------------------------------------

    def wait(self, what: _Move | _Walk, caller: Caller | None = None) -> Any:
        """Have something done in the model's thread; gives its result."""
        with self._changed:
            if caller is not None:
                if caller.closed:
                    raise CancelledError
                caller.awaited = what.future
            if isinstance(what, _Walk):
                self._walks.append(what)
            elif what.places:
                self._starts.append(what)
            else:
                self._moves.append(what)
            self._changed.notify()
        return what.future.result()

    def release(self, generations: Sequence[Generation]) -> None:
        """Stop sequences before the next step."""
        with self._changed:
            self._released += generations
            self._changed.notify()

    def close(self, caller: Caller) -> None:
        """See `Caller.close`."""
        with self._changed:
            caller.closed = True
            if caller.awaited is not None:
                caller.awaited.cancel()
            self._changed.notify()

    # -- the model's thread -------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._alone("Hello.", seed=0, max_seconds=0.5)
        except LlasaError as error:
            log.warning("the model does not say hello: %s", error)
        self.ready.set()
        while (moves := self._next_moves()) is not None:
            for move in moves:
                self._make(move)
            self._step()

    def _next_moves(self) -> list[_Move] | None:
        """Wait until there is something to do; None in the end."""
        with self._changed:
            while True:
                self._tidy()
                moves = [*self._moves, *self._admitted()]
                self._moves.clear()
                if moves or self._walks:
                    return moves
                if self._stopped:
                    return None
                self._changed.wait()

    def _tidy(self) -> None:
        """Release what nobody wants any more; the lock is held."""
        for caller in self._holding:
            if caller.closed:
                self._released += caller.live
        self.engine.release(self._released)
        self._released.clear()
        for caller in self._holding:
            caller.live = [g for g in caller.live if g.finish is None]
        self._holding = [caller for caller in self._holding if caller.live]
        self.metrics.running.set(sum(len(caller.live) for caller in self._holding))

    def _admitted(self) -> list[_Move]:
        """Starts for which there is room, first come, first served; the lock is held."""
        admitted: list[_Move] = []
        taken = sum(caller.places for caller in self._holding)
        self._starts = deque(move for move in self._starts if not move.future.cancelled())
        while self._starts:
            if taken and taken + self._starts[0].places > self.limits.batch:
                break
            taken += self._starts[0].places
            admitted.append(self._starts.popleft())
        self.metrics.waiting.set(len(self._starts))
        return admitted

    def begin(
        self,
        caller: Caller,
        prompts: Sequence[Sequence[int]],
        params: SamplingParams | Sequence[SamplingParams],
        places: int,
    ) -> list[Generation]:
        """Start sequences of a caller."""
        caller.live += (new := self.engine.start(prompts, params))
        caller.places = places
        self._holding.append(caller)
        return new

    def _make(self, move: _Move) -> None:
        result, error = None, None
        try:
            result = move.do()
        except Exception as problem:  # handed to who asked
            error = problem
        with self._changed:
            _settle(move.future, result, error)

    def _step(self) -> None:
        """One token for all that walk."""
        with self._changed:
            self._walks = walks = [walk for walk in self._walks if not walk.future.cancelled()]
            walks = list(walks)
        active = [g for walk in walks for g in walk.generations if g.finish is None]
        error = None
        if active:
            try:
                self.engine.advance(active)
            except Exception as problem:
                log.exception("a step failed")
                error = problem
            self.metrics.steps.inc()
            self.metrics.tokens.inc(len(active))
        with self._changed:
            for walk in walks:
                walk.steps -= 1
                ended = all(g.finish is not None for g in walk.generations)
                if error or ended or walk.steps <= 0:
                    _settle(walk.future, None, error)
            self._walks = [walk for walk in self._walks if not walk.future.done()]


class _SharedCodec(Codec):
    """A codec whose work is done in the model's thread."""

    def __init__(self, codec: Codec, scheduler: Scheduler) -> None:
        vars(self).update(vars(codec))
        self._codec, self._scheduler = codec, scheduler

    def encode(self, *args: Any, **settings: Any) -> list[NDArray[np.int64]]:
        """See `Codec.encode`."""
        return self._scheduler.wait(_Move(partial(self._codec.encode, *args, **settings)))

    def decode(self, *args: Any) -> list[NDArray[np.float32]]:
        """See `Codec.decode`."""
        return self._scheduler.wait(_Move(partial(self._codec.decode, *args)))


def _settle(future: Future[Any], result: Any, error: Exception | None) -> None:
    """Give the answer to who still waits; the lock is held."""
    if not future.cancelled():
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

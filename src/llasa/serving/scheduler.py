"""Continuous batching: one thread owns the model, requests join and leave between its steps."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from llasa.audio import Samples
from llasa.engine.base import Generation
from llasa.errors import LlasaError
from llasa.serving.metrics import Metrics
from llasa.speech import FinishReason
from llasa.synthesis import PAUSE_SECONDS, Llasa, Part, Request, second_chance

AHEAD = 4
"""Parts of one text that run at the same time: ahead of who listens, but out of others' way."""
_USUAL_SECONDS = 5.0
"""Assumed length of a request before there was one."""

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """What the server takes on."""

    batch: int = 16
    """Parts of texts that are spoken at the same time."""
    queue: int = 64
    """Requests beyond `batch` that may wait; more are refused."""
    chars: int = 4096
    """Longest text of a request (as OpenAI's)."""
    seconds: float = 600.0
    """Longest speech of a request."""

    def __post_init__(self) -> None:
        for name, least in (("batch", 1), ("queue", 0), ("chars", 1), ("seconds", 1)):
            if not getattr(self, name) >= least:
                raise LlasaError(f"{name} is {getattr(self, name)}: give at least {least}.")


class BusyError(Exception):
    """No request is taken now; `retry_after` seconds later one may be."""

    def __init__(self, sentence: str, retry_after: int) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


@dataclass(frozen=True, eq=False)
class Piece:
    """The next stretch of sound, float32 in [-1, 1], and the words that are spoken in it."""

    samples: Samples
    text: str
    tokens: int


@dataclass(frozen=True)
class Done:
    """The end of a request: what it took altogether."""

    finish_reason: FinishReason
    tokens: int
    seconds: float


Event = Piece | Done | Exception
Tell = Callable[[Event], object]
"""Hears of a request, in the model's thread; must return at once."""


@dataclass(eq=False)
class Ticket:
    """A request that was accepted. Only the scheduler changes it."""

    request: Request
    tell: Tell
    most: float
    """Samples after which the speech is cut off."""
    ended: bool
    """Whether the text is complete."""
    began: float = field(default_factory=time.perf_counter)
    started: int = 0
    """Parts that have been started."""
    running: dict[int, Generation] = field(default_factory=dict)
    ready: dict[int, Part] = field(default_factory=dict)
    """Finished parts that wait for an earlier one."""
    told: int = 0
    """Parts that have been told."""
    samples: int = 0
    tokens: int = 0
    cut: bool = False
    done: bool = False
    """Nothing more will be told."""
    closed: bool = False
    """Nobody listens any more."""

    @property
    def over(self) -> bool:
        """Whether all of it has been told."""
        return self.ended and self.told >= len(self.request.chunks)

    def can_start(self, running: int, limits: Limits) -> bool:
        """Whether its next part may join `running` others."""
        if self.done or self.closed or self.started >= len(self.request.chunks):
            return False
        if self.started == 0:
            return running < limits.batch
        # Later parts need the first one, and a quarter of the places is kept for first parts.
        room = running < limits.batch - limits.batch // 4
        return room and self.told > 0 and len(self.running) < AHEAD


class Scheduler:
    """Speaks many requests at once, each exactly as `Llasa` speaks it alone.

    Its thread is the only one that touches engine and codec. Call `start`, then `submit` and
    `close` from any thread, and `shutdown` in the end.
    """

    def __init__(self, tts: Llasa, limits: Limits, metrics: Metrics) -> None:
        self.tts = tts
        self.limits = limits
        self.ready = threading.Event()
        """Set once the model has spoken for the first time."""
        self._metrics = metrics
        self._changed = threading.Condition()
        self._open: list[Ticket] = []
        self._calls: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._stopping = False
        self._usual = _USUAL_SECONDS
        self._thread = threading.Thread(target=self._run, name="llasa-model", daemon=True)

    def start(self) -> None:
        """Start the thread, which warms the model up."""
        self._thread.start()

    def submit(self, request: Request, tell: Tell, *, ended: bool = True) -> Ticket:
        """Accept a request; the ticket must be closed when nobody listens any more.

        With `ended` false more text may follow by `extend`. Raises `BusyError`.
        """
        most = min(request.longest, self.limits.seconds) * self.tts.rate
        ticket = Ticket(request, tell, most, ended)
        with self._changed:
            self._check_room(len(self._open), self.limits.batch + self.limits.queue)
            self._open.append(ticket)
            self._wake()
        return ticket

    def extend(self, ticket: Ticket, chunks: list[str], *, ended: bool = False) -> None:
        """Add parts to a request's text; `ended`: they are the last."""
        with self._changed:
            if not ticket.ended:
                ticket.request.chunks += chunks
                ticket.ended = ended
                self._wake()

    def close(self, ticket: Ticket) -> None:
        """Forget a request; what still runs of it gives its place back before the next step."""
        with self._changed:
            ticket.closed = True
            self._wake()

    def call(self, function: Callable[[], T]) -> Future[T]:
        """Run something between two steps, in the only thread that may use the codec."""
        future: Future[T] = Future()
        with self._changed:
            self._check_room(len(self._calls), self.limits.queue)
            self._calls.append((function, future))
            self._wake()
        return future

    def shutdown(self) -> None:
        """Take nothing more on, finish what was accepted, and end the thread."""
        with self._changed:
            self._stopping = True
            self._wake()
        self._thread.join()

    @property
    def places_taken(self) -> int:
        """Parts that are being spoken at this moment."""
        return sum(len(ticket.running) for ticket in list(self._open))

    def _check_room(self, taken: int, room: int) -> None:
        if self._stopping:
            raise BusyError("The server is shutting down.", 5)
        if taken >= room:
            wait = math.ceil(self._usual * taken / self.limits.batch)
            raise BusyError("Too many requests are waiting: try again later.", min(60, wait))

    def _wake(self) -> None:
        """Count who waits and wake the thread; the lock is held."""
        self._metrics.waiting.set(sum(t.started == 0 and not t.closed for t in self._open))
        self._changed.notify()

    # -- the model's thread ---------------------------------------------------------------

    def _run(self) -> None:
        try:
            self.tts("Hello.", seed=0, max_seconds=0.5)
        except LlasaError as error:
            log.warning("the model does not say hello: %s", error)
        self.ready.set()
        while self._wait():
            self._settle()
            self._call_one()
            self._start_one()
            self._step()
            self._metrics.running.set(self.places_taken)

    def _wait(self) -> bool:
        """Sleep until there is work; false in the end."""
        with self._changed:
            while not self._calls and not any(self._has_work(t) for t in self._open):
                unfinished = any(not t.done and not t.closed for t in self._open)
                if self._stopping and not unfinished:
                    return False
                self._changed.wait()
        return True

    def _has_work(self, ticket: Ticket) -> bool:
        if ticket.closed or ticket.running or ticket.can_start(0, self.limits):
            return True
        return ticket.over and not ticket.done

    def _settle(self) -> None:
        """Drop the requests that were closed, and end those that are over."""
        with self._changed:
            closed = [ticket for ticket in self._open if ticket.closed]
            over = [ticket for ticket in self._open if ticket.over and not ticket.done]
            self._open = [ticket for ticket in self._open if not ticket.closed]
            self._wake()
        for ticket in closed:
            self._stop(ticket)
        for ticket in over:
            self._end(ticket)

    def _call_one(self) -> None:
        """Only one between two steps, so that speech goes on."""
        if self._calls:
            function, future = self._calls.popleft()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except Exception as error:  # handed to who asked
                    future.set_exception(error)

    def _start_one(self) -> None:
        """Start the next part of the request that has the fewest running (first come, first)."""
        taken = self.places_taken
        with self._changed:
            able = [t for t in self._open if t.can_start(taken, self.limits)]
            if not able:
                return
            ticket = min(able, key=lambda t: len(t.running))
            number = ticket.started
            ticket.started += 1
            self._wake()
        with self._guard(ticket):
            prompt, rule = self.tts.prompt(ticket.request, number)
            (ticket.running[number],) = self.tts.engine.start([prompt], [rule])

    def _step(self) -> None:
        """One token for every running part."""
        jobs = [(t, n, g) for t in self._open for n, g in t.running.items()]
        if not jobs:
            return
        try:
            self.tts.engine.advance([generation for _, _, generation in jobs])
        except Exception as error:
            log.exception("a step failed")
            for ticket in {ticket for ticket, _, _ in jobs}:
                self._fail(ticket, error)
            return
        self._metrics.steps.inc()
        self._metrics.tokens.inc(len(jobs))
        for ticket, number, generation in jobs:
            if generation.finish is not None and not ticket.done:
                del ticket.running[number]
                with self._guard(ticket):
                    self._finish_part(ticket, number, generation)

    def _finish_part(self, ticket: Ticket, number: int, generation: Generation) -> None:
        first_try = generation.params.seed == ticket.request.seed + number
        if not generation.tokens and first_try:
            rule = second_chance(generation.params)
            (ticket.running[number],) = self.tts.engine.start([generation.prompt], [rule])
            return
        part = self.tts.part(ticket.request, number, generation)
        if number == 0:
            ticket.request.parts.append(part)  # the others may need it
        ticket.ready[number] = part
        while ticket.told in ticket.ready:
            self._tell(ticket, ticket.ready.pop(ticket.told))

    def _tell(self, ticket: Ticket, part: Part) -> None:
        pause = round(PAUSE_SECONDS * self.tts.rate) if ticket.told else 0
        samples = np.concatenate([np.zeros(pause, np.float32), part.samples.clip(-1, 1)])
        if ticket.samples + len(samples) > ticket.most:
            samples = samples[: max(1, round(ticket.most)) - ticket.samples]
            with self._changed:
                ticket.ended = ticket.cut = True
                del ticket.request.chunks[ticket.told + 1 :]
            self._stop(ticket)
        if ticket.told == 0:
            self._metrics.first_audio.observe(time.perf_counter() - ticket.began)
        ticket.cut = ticket.cut or part.cut
        ticket.told += 1
        ticket.samples += len(samples)
        ticket.tokens += len(part.codes)
        ticket.tell(Piece(samples, part.text, len(part.codes)))

    def _end(self, ticket: Ticket) -> None:
        ticket.done = True
        took, seconds = time.perf_counter() - ticket.began, ticket.samples / self.tts.rate
        self._usual += 0.1 * (took - self._usual)
        self._metrics.rtf.observe(took / seconds)
        self._metrics.audio_seconds.inc(seconds)
        ticket.tell(Done("length" if ticket.cut else "stop", ticket.tokens, seconds))

    @contextmanager
    def _guard(self, ticket: Ticket) -> Iterator[None]:
        """Whatever is raised inside ends the request, not the thread."""
        try:
            yield
        except Exception as error:
            if not isinstance(error, LlasaError):
                log.exception("a request failed")
            self._fail(ticket, error)

    def _fail(self, ticket: Ticket, error: Exception) -> None:
        if not ticket.done:
            ticket.done = True
            self._stop(ticket)
            ticket.tell(error)

    def _stop(self, ticket: Ticket) -> None:
        self.tts.engine.release(list(ticket.running.values()))
        ticket.running.clear()
        ticket.ready.clear()

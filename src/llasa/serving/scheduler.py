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
from llasa.codec.streaming import StreamingDecoder
from llasa.engine.base import Generation
from llasa.errors import LlasaError
from llasa.serving.metrics import Metrics
from llasa.speech import FinishReason
from llasa.synthesis import PAUSE_SECONDS, Llasa, Request, second_chance

AHEAD = 4
"""Parts of one text that run at the same time: ahead of who listens, but out of others' way."""
_USUAL_SECONDS = 5.0
"""Assumed length of a request before there was one."""
_SILENCE = np.zeros(0, np.float32)

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


@dataclass(frozen=True)
class Done:
    """The end of a request: what it took altogether."""

    finish_reason: FinishReason
    tokens: int
    seconds: float


Event = Samples | Done | Exception
"""The next stretch of sound, float32 in [-1, 1]; or the end, good or bad."""
Tell = Callable[[Event], object]
"""Hears of a request, in the model's thread; must return at once."""


@dataclass(eq=False)
class Ticket:
    """A request that was accepted. Only the scheduler changes it."""

    request: Request
    tell: Tell
    most: int
    """Samples after which the speech is cut off."""
    live: bool
    """Whether parts are heard while they are being spoken."""
    ended: bool
    """Whether the text is complete."""
    began: float = field(default_factory=time.perf_counter)
    started: int = 0
    """Parts that have been started."""
    running: dict[int, Generation] = field(default_factory=dict)
    finished: dict[int, Generation] = field(default_factory=dict)
    """Parts that wait for an earlier one to be heard."""
    told: int = 0
    """Parts that have been heard."""
    decoder: StreamingDecoder | None = None
    """Of the part that is being heard, if live."""
    decoded: int = 0
    """Tokens that it has got."""
    pause: Samples = field(default_factory=lambda: _SILENCE)
    """Silence before the next sound."""
    samples: int = 0
    tokens: int = 0
    cut: bool = False
    """Whether a part did not end by itself."""
    full: bool = False
    """Whether `most` has been reached."""
    done: bool = False
    """Nothing more will be told."""
    closed: bool = False
    """Nobody listens any more."""

    @property
    def over(self) -> bool:
        """Whether all of it has been told."""
        return self.full or (self.ended and self.told == len(self.request.chunks))

    def can_start(self, running: int, limits: Limits) -> bool:
        """Whether its next part may join `running` others."""
        unwanted = self.done or self.closed or self.full
        if unwanted or self.started == len(self.request.chunks):
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
        self._pause = np.zeros(round(PAUSE_SECONDS * tts.rate), np.float32)
        self._usual = _USUAL_SECONDS
        self._thread = threading.Thread(target=self._run, name="llasa-model", daemon=True)

    def start(self) -> None:
        """Start the thread, which warms the model up."""
        self._thread.start()

    def submit(
        self, request: Request, tell: Tell, *, live: bool = False, ended: bool = True
    ) -> Ticket:
        """Accept a request; the ticket must be closed when nobody listens any more.

        If `live`, sound comes while a part is still being spoken; otherwise part by part, and
        exactly as `Llasa` makes it. With `ended` false more text may follow by `extend`. Raises
        `BusyError`.
        """
        most = max(1, round(min(request.longest, self.limits.seconds) * self.tts.rate))
        ticket = Ticket(request, tell, most, live, ended)
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
        for ticket in dict.fromkeys(ticket for ticket, _, _ in jobs):
            with self._guard(ticket):
                for number, generation in list(ticket.running.items()):
                    if generation.finish is not None:
                        self._finish_part(ticket, number, generation)
                self._tell(ticket)

    def _finish_part(self, ticket: Ticket, number: int, generation: Generation) -> None:
        del ticket.running[number]
        first_try = generation.params.seed == ticket.request.seed + number
        if not generation.tokens and first_try:
            rule = second_chance(generation.params)
            (ticket.running[number],) = self.tts.engine.start([generation.prompt], [rule])
        else:
            ticket.finished[number] = generation

    def _tell(self, ticket: Ticket) -> None:
        """Tell all that is new, in order."""
        while (generation := ticket.finished.pop(ticket.told, None)) is not None:
            if ticket.live:
                self._tell_sound(ticket, self._live_sound(ticket, generation))
            part = self.tts.part(ticket.request, ticket.told, generation, heard=ticket.live)
            self._tell_sound(ticket, part.samples)
            if ticket.told == 0:
                ticket.request.parts.append(part)  # the others may need it
            ticket.told, ticket.decoder, ticket.decoded = ticket.told + 1, None, 0
            ticket.pause = self._pause
            ticket.cut = ticket.cut or part.cut
            ticket.tokens += len(part.codes)
        if ticket.live and (generation := ticket.running.get(ticket.told)) is not None:
            self._tell_sound(ticket, self._live_sound(ticket, generation))

    def _live_sound(self, ticket: Ticket, generation: Generation) -> Samples:
        """What can now be heard of the part that is being told."""
        if ticket.decoder is None:
            ticket.decoder = self.tts.decoder(ticket.request, ticket.told)
        new = generation.tokens[ticket.decoded :]
        if generation.finish is None and len(new) < ticket.decoder.missing:
            return _SILENCE
        ticket.decoded += len(new)
        samples = ticket.decoder.push(self.tts.vocabulary.ids_to_codes(new))
        if generation.finish is None:
            return samples
        return np.concatenate([samples, ticket.decoder.finish()])

    def _tell_sound(self, ticket: Ticket, samples: Samples) -> None:
        if len(samples) == 0 or ticket.full:
            return
        samples = np.concatenate([ticket.pause, samples.clip(-1, 1)])
        ticket.pause = _SILENCE
        room = ticket.most - ticket.samples
        if len(samples) > room:
            samples, ticket.full = samples[:room], True
            self._stop(ticket)
        if ticket.samples == 0:
            self._metrics.first_audio.observe(time.perf_counter() - ticket.began)
        ticket.samples += len(samples)
        ticket.tell(samples)

    def _end(self, ticket: Ticket) -> None:
        ticket.done = True
        took, seconds = time.perf_counter() - ticket.began, ticket.samples / self.tts.rate
        self._usual += 0.1 * (took - self._usual)
        self._metrics.rtf.observe(took / seconds)
        self._metrics.audio_seconds.inc(seconds)
        cut = ticket.cut or ticket.full
        ticket.tell(Done("length" if cut else "stop", ticket.tokens, seconds))

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
        ticket.finished.clear()

"""`speak_parts`: the parts of texts as they are spoken, with the pauses between them.

A call collects the parts, a stream passes them on, a long text is written from them.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from llasa.audio.audio import Samples
from llasa.audio.stretch import TimeStretch
from llasa.codec.streaming import StreamSettings
from llasa.search.session import Task
from llasa.search.strategies import Strategy, check_strategy
from llasa.text import Passage
from llasa.tts.attempts import Sound, attempts, decoded, searched
from llasa.tts.check import Checked
from llasa.tts.joining import joined, silence
from llasa.tts.prompts import Prompts
from llasa.tts.request import Request
from llasa.tts.timing import Said

if TYPE_CHECKING:
    from llasa.models.voice import Voice
    from llasa.search.result import Check, SearchResult

_NO_CODES = np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class Part:
    """A finished part of a text, or a piece of one while it is being spoken, or a silence.

    number: of the part, from 0. span: where it lies in the text (first character, one past the
    last). codes int64 (n,); samples float32 (m,), with fades and pauses, at the
    speed that was asked for. ends: the part is complete. last: so is the text. cut: the part did
    not end by itself, or the limit cut it off. said: where it ends, what its words are timed by.
    """

    number: int
    span: tuple[int, int]
    codes: NDArray[np.int64]
    samples: Samples
    ends: bool = False
    last: bool = False
    cut: bool = False
    warnings: tuple[str, ...] = ()
    search: SearchResult | None = None
    check: Check | None = None
    said: Said | None = None


class KeptPart(NamedTuple):
    """What is stored of a part, so that a resumed run need not speak it again."""

    codes: NDArray[np.int64]
    cut: bool
    warnings: Sequence[str] = ()
    check: Check | None = None
    phones: Sequence[tuple[str, int]] = ()


class Memory(Protocol):
    """Storage for parts as soon as they are spoken; see `longform.Journal`."""

    def read(self) -> Iterable[KeptPart]:
        """Parts that an earlier run has spoken."""

    def add(self, part: KeptPart) -> None:
        """Store another part."""


def speak_parts(
    prompts: Prompts,
    requests: Sequence[Request],
    search: Strategy | None = None,
    *,
    batch: int,
    turn: AbstractContextManager[None],
    decoding: StreamSettings | None = None,
    memory: Memory | None = None,
    lenient: bool = False,
) -> Generator[tuple[int, Part]]:
    """The parts of each request, in order, with the place of the request.

    Args:
        search: each part is the best of several, or checked.
        batch: parts that are spoken at the same time.
        turn: is entered for each piece of work; between two of them others may speak.
        decoding: parts come one at a time, and in pieces while they are spoken.
        memory: for a single request, keeps what was spoken; what it holds is decoded again.
        lenient: a part for which the model says nothing becomes a pause with a warning, unless it
            is the first one.

    Raises `LlasaError` where the model says nothing.
    """
    if not isinstance(search, Checked):
        check_strategy(search)
        batch = batch if search is None else 1
    texts = [_Progress(place, request, prompts, lenient) for place, request in enumerate(requests)]
    if memory is not None:
        (text,) = texts
        yield from _recalled(text, memory, turn)
    for group in _groups(texts, 1 if decoding is not None else batch):
        if len(group) == 1:
            (job,) = group
            yield from job.text.opened(job)  # a silence is heard before the part is spoken
        tasks = [job.text.task(job.number) for job in group]
        sounds = attempts(tasks, decoding) if search is None else searched(tasks, search)
        with closing(_in_turn(turn, sounds)) as pieces:
            for job, sound in _kept(group, pieces, memory):
                yield from job.text.placed(job, sound)
                if all(job.text.full for job in group):
                    break
    for text in texts:
        yield from text.closed()


class _Job(NamedTuple):
    """A part to speak."""

    text: _Progress
    number: int
    passage: Passage


def _groups(texts: Sequence[_Progress], size: int) -> Iterator[list[_Job]]:
    """Groups of parts that are spoken together. The first parts of all texts come first: they are
    heard first, and without a given voice they are the prompt that keeps the voice of the other
    parts.
    """
    first = (job for text in texts if not text.begun for job in islice(text.jobs, 1))
    others = (job for text in texts for job in text.rest())
    for stage in (first, others):
        while group := list(islice(stage, size)):
            yield group


def _in_turn(
    turn: AbstractContextManager[None], sounds: Generator[tuple[int, Sound]]
) -> Generator[tuple[int, Sound]]:
    """The same sounds; other threads wait while one is made, and may speak in between."""
    try:
        while True:
            with turn:
                sound = next(sounds, None)
            if sound is None:
                return
            yield sound
    finally:
        with turn:
            sounds.close()


def _kept(
    group: Sequence[_Job], sounds: Iterable[tuple[int, Sound]], memory: Memory | None
) -> Iterator[tuple[_Job, Sound]]:
    """Each part with its sound; with a memory all are stored before the first is heard."""
    said = ((group[place], group[place].text.checked(sound)) for place, sound in sounds)
    if memory is None:
        yield from said
        return
    for _, sound in (complete := list(said)):
        kept = KeptPart(sound.codes, sound.cut, sound.warnings, sound.check, sound.phones)
        memory.add(kept)
    yield from complete


def _recalled(
    text: _Progress, memory: Memory, turn: AbstractContextManager[None]
) -> Iterator[tuple[int, Part]]:
    """Parts of an earlier run, decoded again."""
    for part, job in zip(memory.read(), text.jobs, strict=False):
        with turn:
            samples = decoded(text.task(job.number), part.codes)
        sound = Sound(part.codes, samples, cut=part.cut, check=part.check, phones=part.phones)
        yield from text.placed(job, replace(sound, warnings=tuple(part.warnings)))


class _Progress:
    """Progress of a request: what its next part depends on, and how much has been heard."""

    def __init__(self, place: int, request: Request, prompts: Prompts, lenient: bool) -> None:
        self.jobs = (_Job(self, n, passage) for n, passage in enumerate(request.source))
        self.begun = self.full = False
        self._place, self._request, self._prompts = place, request, prompts
        self._lenient = lenient
        self._rate = prompts.codec.sample_rate
        self._stretch = TimeStretch(request.speed, self._rate)
        self._voice = request.voice
        self._first = self._codes = _NO_CODES  # of the first part, and of the one that is spoken
        self._at = 0.0  # seconds at which that one begins
        self._heard_before = self._given = self._taken = 0  # samples, by the stretch: of those
        # that went through one before, out of this one and into it
        self._opened = self._started = -1  # parts
        self._left: float = request.longest
        if request.longest != float("inf"):
            self._left = max(1, round(request.longest * self._rate))

    def task(self, number: int) -> Task:
        """The task of a part; any but the first needs the first to be spoken already."""
        passage = self._request.passages[number]
        return self._prompts.task(self._request, number, self._voice_of(passage))

    def _voice_of(self, passage: Passage) -> Voice | None:
        """The voice of one of the cast, else that of all other parts."""
        return self._request.cast_voice(passage) or self._voice

    def rest(self) -> Iterator[_Job]:
        """The parts that are still to be spoken, until the limit is reached."""
        while not self.full and (job := next(self.jobs, None)) is not None:
            yield job

    def checked(self, sound: Sound) -> Sound:
        """The sound, with a warning if it is empty; `LlasaError` if the text needs it to go on."""
        if sound.error is None:
            return sound
        if not (self._lenient and self.begun):
            raise sound.error
        return replace(sound, warnings=(str(sound.error),))

    def opened(self, job: _Job) -> Iterator[tuple[int, Part]]:
        """The silence before a part, once."""
        if job.number > self._opened and not self.full:
            self._opened = job.number
            if job.passage.before:
                samples = silence(job.passage.before, self._rate)
                yield self._heard(Part(job.number, job.passage.span, _NO_CODES, samples))

    def placed(self, job: _Job, sound: Sound) -> Iterator[tuple[int, Part]]:
        """A part, or a piece of it, with the pauses around it."""
        yield from self.opened(job)
        if self.full:
            return
        goes_on, voice = job.number > max(0, self._started), self._voice_of(job.passage)
        if job.number > self._started:
            self._codes, self._at = _NO_CODES, self._place_in_sound()
        self._started, self._codes = job.number, np.concatenate([self._codes, sound.codes])
        if not self.begun:
            self._first = np.concatenate([self._first, sound.codes])
            if sound.ends:
                self.begun = True
                args = (self._request, self._first, sound.cut)
                self._voice = self._prompts.voice_of_parts(*args)
        source, number = self._request.source, job.number
        last = sound.ends and source.is_last(number) and not source.tail
        more = sound.ends and not last
        samples = joined(sound.samples, self._rate, job.passage, goes_on, more)
        part = Part(number, job.passage.span, sound.codes, samples, sound.ends, last, sound.cut)
        place, part = self._heard(
            replace(part, warnings=sound.warnings, search=sound.search, check=sound.check)
        )
        if (sound.ends or self.full) and len(self._codes):
            part = replace(part, said=self._said(job, voice, sound))
        yield place, part

    def _said(self, job: _Job, voice: Voice | None, sound: Sound) -> Said:
        """What the words of a part are timed by, of which nothing more is heard."""
        formed, speed = self._request.is_formed(job.passage), self._request.speed
        phones = [phone for phone in sound.phones if phone[1] < len(self._codes)]
        own = (self._codes, phones, sound.cut or not sound.ends, self._at, speed)
        return Said(job.passage, voice, formed, *own)

    def _place_in_sound(self) -> float:
        """Seconds that are heard before what comes next."""
        return (self._heard_before + self._taken / self._request.speed) / self._rate

    def closed(self) -> Iterator[tuple[int, Part]]:
        """The silence at the end of the text, if it did not end with its last part."""
        source = self._request.source
        if self.full or not (source.arriving or source.tail):
            return
        passage = source.passages[-1]
        end = passage.span[1], passage.span[1]
        samples = silence(max(0.0, source.tail - passage.pause), self._rate)
        number = len(source.passages) - 1
        yield self._heard(Part(number, end, _NO_CODES, samples, last=True))

    def _heard(self, part: Part) -> tuple[int, Part]:
        """Count the sound, cut it at the limit, and give it at the requested speed."""
        length = len(part.samples)
        if length > self._left or (length == self._left and not part.last):
            samples = part.samples[: int(self._left)]
            part, self.full = replace(part, samples=samples, last=True, cut=True), True
        self._left -= length
        self._taken += len(part.samples)
        samples = self._stretch.push(part.samples)
        self._given += len(samples)
        if part.ends or part.last:  # each part by itself: what is heard of it is all of it
            samples = np.concatenate([samples, rest := self._stretch.finish()])
            self._heard_before += self._given + len(rest)
            self._given = self._taken = 0
            self._stretch = TimeStretch(self._request.speed, self._rate)
        return self._place, replace(part, samples=samples)

"""One text on its way to speech: its parts, and how they are put together."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from llasa.audio.audio import Audio, Samples, fade
from llasa.base.errors import LlasaError
from llasa.base.names import shorten
from llasa.lm.sampling import SamplingParams
from llasa.models.voice import Voice
from llasa.search.result import Check, SearchResult
from llasa.search.session import Task
from llasa.text import Passage, Script
from llasa.tts.speech import Speech


@dataclass
class Part:
    """A stretch of the text that is spoken in one go."""

    text: str
    codes: NDArray[np.int64]
    samples: Samples
    cut: bool
    search: SearchResult | None = None
    warnings: tuple[str, ...] = ()
    """About how it was said."""


@dataclass
class Request:
    """One text on its way; `text` is as it came, `chunks` are its parts."""

    text: str
    chunks: list[Passage]
    voice: Voice | None
    seed: int
    rule: SamplingParams
    """How tokens are chosen; each part has its own seed and length."""
    longest: float
    """Most seconds, of all of it and so of one part."""
    warnings: list[str]
    force: bool = False
    """Whether text that the model cannot say is spoken all the same."""
    tail: float = 0.0
    """Seconds of silence that the text asks for at its end."""
    fragments: Iterator[str] | None = None
    """Where the text comes from, if it is not there yet; `script` makes its parts."""
    script: Script | None = None
    parts: list[Part] = field(default_factory=list)
    cut: bool = False
    """Whether a part did not end by itself, or the end is missing; so far."""
    checks: list[Check] = field(default_factory=list)
    """How each part was heard, where the speech is checked; so far."""
    first_audio: float = 0.0
    total: float = 0.0

    def add(self, part: Part, began: float) -> None:
        """Keep a part that has just been spoken; the work on the request began at `began`."""
        self.parts.append(part)
        self.note(part)
        self.total = time.perf_counter() - began
        self.first_audio = self.first_audio or self.total

    def note(self, part: Part) -> None:
        """Keep what is to be said about a part."""
        self.cut |= part.cut
        self.warnings += part.warnings
        if part.search is not None and part.search.check is not None:
            self.checks.append(part.search.check)

    def joined(self, number: int, samples: Samples, rate: int) -> Samples:
        """The sound of a whole part as it is heard among the others, silence around it."""
        passage, last = self.chunks[number], number == len(self.chunks) - 1
        more = not last or self.tail > 0
        sound = joined(samples, rate, passage, number > 0, more)
        after = silence(max(0.0, self.tail - passage.pause) if last else 0.0, rate)
        return np.concatenate([silence(passage.before, rate), sound, after])

    def speech(self, rate: int) -> Speech:
        """All parts as one."""
        samples = np.concatenate(
            [self.joined(number, part.samples, rate) for number, part in enumerate(self.parts)]
        )
        if len(samples) > self.longest * rate:
            samples, self.cut = samples[: max(1, round(self.longest * rate))], True
        return Speech(
            audio=Audio(samples.clip(-1, 1), rate),
            text=self.text,
            voice=self.voice.name if self.voice else None,
            seed=self.seed,
            codes=np.concatenate([part.codes for part in self.parts]),
            finish_reason="length" if self.cut else "stop",
            first_audio=self.first_audio,
            total=self.total,
            warnings=tuple(self.warnings),
            search=tuple(part.search for part in self.parts if part.search is not None),
            checks=tuple(self.checks),
        )


def joined(samples: Samples, rate: int, passage: Passage, goes_on: bool, more: bool) -> Samples:
    """The sound of a part, or of one of its ends, as it is heard among others.

    `goes_on`: it begins after another part; `more`: it ends before one. Then they fade, and a
    pause follows.
    """
    samples = samples.copy()
    if goes_on:
        fade(samples, rate)
    if more:
        fade(samples[::-1], rate)
        samples = np.pad(samples, (0, round(passage.pause * rate)))
    return samples


def silence(seconds: float, rate: int) -> Samples:
    """So much of it."""
    return np.zeros(round(seconds * rate), np.float32)


def nothing_said(text: str, how: str = "twice") -> LlasaError:
    """The error for a model that ends at once, however often it is asked."""
    return LlasaError(
        f"The model said nothing for {shorten(text)!r}, {how}: try another seed, another voice or "
        "more words."
    )


def cut_off(text: str, seconds: float) -> str:
    """The warning for a part that did not end."""
    return (
        f"{shorten(text)!r} did not end by itself and was cut off after {seconds:.1f} s: try "
        "another seed or other words, or have the speech checked (--check, check=True)."
    )


def spoken_part(task: Task, codes: NDArray[np.int64], samples: Samples, finish: str | None) -> Part:
    """A part as it was spoken, with a warning where it was cut off."""
    warnings = []
    if task.failed(len(codes), finish):
        warnings.append(cut_off(task.written, len(codes) / task.codec.frame_rate))
    return Part(task.text, codes, samples, finish != "stop", warnings=tuple(warnings))


def searched_part(task: Task, result: SearchResult) -> Part:
    """The best take of a search as a part, with a warning where a check did not hear it right."""
    best = result.best
    if not len(best.codes):
        raise nothing_said(task.written, "in any take")
    part = spoken_part(task, best.codes, best.audio.samples, best.finish)
    part.search = result
    if not part.warnings and result.check is not None and not result.check.ok:
        part.warnings = (result.check.warning(),)
    return part

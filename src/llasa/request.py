"""One text on its way to speech: its parts, and how they are put together."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from llasa.audio import Audio, Samples, fade
from llasa.engine.sampling import SamplingParams
from llasa.errors import LlasaError
from llasa.search.result import SearchResult
from llasa.speech import Speech
from llasa.text import Passage, Script
from llasa.voice import Voice

_RETRY = 1 << 20
"""Between a seed and that of its second try, more than a text has parts."""


@dataclass
class Part:
    """A stretch of the text that is spoken in one go."""

    text: str
    codes: NDArray[np.int64]
    samples: Samples
    cut: bool
    search: SearchResult | None = None


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
    tail: float = 0.0
    """Seconds of silence that the text asks for at its end."""
    fragments: Iterator[str] | None = None
    """Where the text comes from, if it is not there yet; `script` makes its parts."""
    script: Script | None = None
    parts: list[Part] = field(default_factory=list)
    cut: bool = False
    """Whether a part did not end by itself, or the end is missing; so far."""
    first_audio: float = 0.0
    total: float = 0.0

    def add(self, part: Part, began: float) -> None:
        """Keep a part that has just been spoken; the work on the request began at `began`."""
        self.parts.append(part)
        self.cut |= part.cut
        self.total = time.perf_counter() - began
        self.first_audio = self.first_audio or self.total

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
    shown = text if len(text) <= 40 else f"{text[:40]}..."
    return LlasaError(
        f"The model said nothing for {shown!r}, {how}: try another seed, another voice or more "
        "words."
    )


def second_chance(rule: SamplingParams) -> SamplingParams:
    """How a part that ended at once is tried again."""
    return replace(rule, seed=rule.seed + _RETRY)

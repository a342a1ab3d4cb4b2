"""``Speech``: the result for a text, joined from its parts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from llasa.audio.audio import Audio
from llasa.base.names import shorten
from llasa.tts.timing import Phone, Said, Timer, Timings, Word

if TYPE_CHECKING:
    from llasa.search.result import Check, SearchResult
    from llasa.tts.parts import Part
    from llasa.tts.request import Request
    from llasa.verifiers.base import FinishReason


@dataclass(frozen=True, eq=False, repr=False)
class Speech:
    """Spoken text: the sound and how it came about.

    `codes` are those of all parts that were spoken, int64 (n,). `finish_reason` is "length" where a
    part was cut off because it did not end in time. `warnings` tell of that and of other problems
    that were not errors. The same text, voice, settings and `seed` give the same speech again.
    Times are seconds of wall clock since the request; for a list of texts, since the request for
    the whole list.
    """

    audio: Audio
    text: str
    voice: str | None
    seed: int
    codes: NDArray[np.int64]
    finish_reason: FinishReason
    first_audio: float
    """Seconds until the first part could be played."""
    total: float
    """Seconds until the speech was complete."""
    warnings: tuple[str, ...] = ()
    search: tuple[SearchResult, ...] = ()
    """All candidates of each part and what they cost, where a search was asked for."""
    checks: tuple[Check, ...] = ()
    """How each part was heard, where the speech was checked."""
    timer: Callable[[Audio], Timings] | None = None
    """Finds the timings in the audio; None: there are none."""

    def __repr__(self) -> str:
        voice = self.voice or "no voice"
        return f"Speech({shorten(self.text)!r}, {self.seconds:.1f} s, {voice}, seed {self.seed})"

    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None
    ) -> NDArray[np.float32]:
        """The samples, for `np.asarray`."""
        return np.array(self.audio.samples, dtype, copy=copy)

    def _repr_html_(self) -> str:
        """A waveform and a player, for notebooks."""
        return self.audio.to_html(repr(self))

    @cached_property
    def timings(self) -> Timings:
        """When words and phones are heard; found when it is first asked for, by the model."""
        return Timings() if self.timer is None else self.timer(self.audio)

    @property
    def words(self) -> tuple[Word, ...]:
        """The words of the text and when each is heard; see `timings`."""
        return self.timings.words

    @property
    def phones(self) -> tuple[Phone, ...]:
        """The phones and when each is heard, where the model names them; see `timings`."""
        return self.timings.phones

    def __getstate__(self) -> dict[str, Any]:
        """For pickling and deep copies: without the model that finds timings, so with those alone
        that were asked for before.
        """
        return {name: value for name, value in self.__dict__.items() if name != "timer"}

    def __copy__(self) -> Speech:
        return replace(self)

    @property
    def rate(self) -> int:
        """Samples a second."""
        return self.audio.rate

    @property
    def seconds(self) -> float:
        """Length of the audio."""
        return self.audio.duration

    @property
    def tokens(self) -> int:
        """Number of speech tokens."""
        return len(self.codes)

    @property
    def rtf(self) -> float:
        """Real-time factor: seconds of work for a second of audio."""
        return self.total / self.seconds

    @property
    def tokens_per_second(self) -> float:
        """Speech tokens for each second of work, decoding included."""
        return self.tokens / self.total

    def save(self, path: str | Path) -> None:
        """Write wav, flac, mp3, ogg, opus, m4a, aac or webm by the suffix, in one step."""
        self.audio.write(path)

    def play(self) -> None:
        """Play it and wait for its end; see `Audio.play`."""
        self.audio.play()

    def to_dict(self) -> dict[str, Any]:
        """Everything but sound and codes, ready for JSON."""
        return {
            "text": self.text,
            "voice": self.voice,
            "seed": self.seed,
            "seconds": round(self.seconds, 3),
            "rate": self.rate,
            "tokens": self.tokens,
            "finish_reason": self.finish_reason,
            "first_audio_seconds": round(self.first_audio, 3),
            "total_seconds": round(self.total, 3),
            "rtf": round(self.rtf, 3),
            "tokens_per_second": round(self.tokens_per_second, 1),
            "warnings": list(self.warnings),
            **({"checks": [check.to_dict() for check in self.checks]} if self.checks else {}),
            **({"search": [part.to_dict() for part in self.search]} if self.search else {}),
        }


@dataclass
class SpeechBuilder:
    """Collects the parts of a request; the work on it began at `began`."""

    request: Request
    began: float
    timer: Timer
    _parts: list[Part] = field(default_factory=list)
    _first: float = 0.0
    _total: float = 0.0

    def add(self, part: Part) -> None:
        """Take the next part, which has just been spoken."""
        self._parts.append(part)
        if part.ends or len(part.codes):
            self._total = time.perf_counter() - self.began
            self._first = self._first or self._total

    def speech(self, rate: int) -> Speech:
        """All parts as one."""
        parts, request = self._parts, self.request
        said = [part.said for part in parts if part.said is not None]
        return Speech(
            audio=Audio(np.concatenate([part.samples for part in parts]), rate),
            text=request.text,
            voice=request.voice.name if request.voice else None,
            seed=request.seed,
            codes=np.concatenate([part.codes for part in parts]),
            finish_reason="length" if any(part.cut for part in parts) else "stop",
            first_audio=self._first,
            total=self._total,
            warnings=(*request.warnings, *(w for part in parts for w in part.warnings)),
            search=tuple(part.search for part in parts if part.search is not None),
            checks=tuple(part.check for part in parts if part.check is not None),
            timer=partial(_timings, self.timer, request.text, said),
        )


def _timings(timer: Timer, text: str, said: Sequence[Said], audio: Audio) -> Timings:
    return timer.whole(text, said, audio.samples)

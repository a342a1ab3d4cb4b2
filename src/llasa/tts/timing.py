"""`Timings`: when each word of a text is heard, and each phone that the model names.

A model folder may say which attention heads look at the place in the text that is being spoken
(`alignment` in its settings, taught by `training.auxiliary.alignment`). Reading what they see over
the text and the codes that were spoken takes a fraction of the time that speaking took, and needs
nothing that was kept while speaking. Without such heads, or with an engine that hides them, words
are timed in proportion to their letters, and `source` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from llasa.audio.audio import Samples
from llasa.models.voice import Voice
from llasa.text import Passage
from llasa.text.words import spoken_words
from llasa.tts.prompts import Prompts
from llasa.tts.reading import Times, audible, reading_path, times_in_proportion, times_of_path
from llasa.verifiers.tokens import Length

TimingMethod = Literal["attention", "estimate"]
_LEAST = 0.02
"""Seconds of a word, at least."""


@dataclass(frozen=True)
class Word:
    """A word as it was written, without the marks around it, and when it is heard, in seconds.

    `span`: where it lies in the text that was given (first character, one past the last).
    """

    text: str
    start: float
    end: float
    span: tuple[int, int]

    def to_dict(self) -> dict[str, Any]:
        """For JSON, with OpenAI's names."""
        return {"word": self.text, **_seconds(self.start, self.end), "span": list(self.span)}


@dataclass(frozen=True)
class Phone:
    """A phone that the model named, and when it is heard, in seconds."""

    symbol: str
    start: float
    end: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"phone": self.symbol, **_seconds(self.start, self.end)}


@dataclass(frozen=True)
class Timings:
    """Words and phones in the order in which they are heard.

    source: "attention" where the model's own heads said when words are read, "estimate" where the
    letters of each part were only spread over its sound, or where there are no words.
    """

    words: tuple[Word, ...] = ()
    phones: tuple[Phone, ...] = ()
    source: TimingMethod = "estimate"

    @classmethod
    def of(cls, parts: Sequence[Timings]) -> Timings:
        """Those of a whole from those of its parts; an estimate where one of them is."""
        sources = {part.source for part in parts if part.words}
        return cls(
            tuple(word for part in parts for word in part.words),
            tuple(phone for part in parts for phone in part.phones),
            "attention" if sources == {"attention"} else "estimate",
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        words: dict[str, Any] = {"words": [word.to_dict() for word in self.words]}
        if self.phones:
            words["phones"] = [phone.to_dict() for phone in self.phones]
        return {"source": self.source, **words}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], text: str) -> Timings:
        """What `to_dict` gave for this text; KeyError, TypeError or ValueError for other values."""
        words = []
        for word in values["words"]:
            first, stop = map(int, word["span"])
            if not 0 <= first <= stop <= len(text):
                raise ValueError("a word lies outside of its text")
            times = float(word["start"]), float(word["end"])
            words.append(Word(str(word["word"]), *times, (first, stop)))
        phones = (
            Phone(str(phone["phone"]), float(phone["start"]), float(phone["end"]))
            for phone in values.get("phones", ())
        )
        source: TimingMethod = "attention" if values["source"] == "attention" else "estimate"
        return cls(tuple(words), tuple(phones), source)


@dataclass(frozen=True, eq=False)
class Said:
    """A part of a text that was spoken, and all that is needed to time it.

    voice: with which the model was asked; formed: whether its transcript is in the model's form.
    codes int64 (n,); phones: those that were named, each with the codes before it. cut: the part
    did not end by itself. at: seconds at which it begins in what is heard. speed: how many times
    faster than the model spoke that is.
    """

    passage: Passage
    voice: Voice | None
    formed: bool
    codes: NDArray[np.int64] = field(repr=False)
    phones: Sequence[tuple[str, int]] = field(repr=False)
    cut: bool
    at: float
    speed: float


class Timer:
    """Times what a model has said; `turn` is entered while the engine reads."""

    def __init__(self, prompts: Prompts, turn: AbstractContextManager[None]) -> None:
        self._prompts, self._turn = prompts, turn

    def whole(self, text: str, parts: Sequence[Said], samples: Samples) -> Timings:
        """Timings of all parts of a text, of which all sound is given."""
        found = []
        for said in parts:
            begin = round(said.at * self._rate)
            length = round(self.seconds(said) * self._rate)
            found.append(self.part(text, said, samples[begin : begin + length]))
        return Timings.of(found)

    def part(self, text: str, said: Said, samples: Samples) -> Timings:
        """Timings of a part, of which the sound (n,) is given, as it is heard.

        What was cut off from the sound is left out.
        """
        heard = len(samples) / self._rate
        if not heard:
            return Timings()
        seen = self._attention(said)
        start, end = audible(samples, self._rate)
        given = said.passage.given
        source: TimingMethod = "attention" if seen is not None else "estimate"
        if seen is None:
            most = max(end, start + Length().expected(given)) if said.cut else end
            seen = times_in_proportion(given, start, most)
        words = self._words(text, said, seen)
        if words:  # where a voice begins and ends is not what heads see
            first, last = words[0], words[-1]
            words[0] = replace(first, start=start if start < first.end else first.start)
            if not said.cut and end > last.start:
                words[-1] = replace(words[-1], end=end)
        whole = not said.cut and heard > self.seconds(said) - _LEAST
        kept = [word for word in words if whole or word.start < heard - _LEAST / 2]
        return Timings(
            tuple(_moved(word, said.at, heard) for word in kept),
            tuple(self._phones(said, heard)),
            source,
        )

    @property
    def _rate(self) -> int:
        return self._prompts.codec.sample_rate

    def _second(self, said: Said) -> float:
        """Codes in a second of what is heard."""
        return self._prompts.codec.frame_rate * said.speed

    def seconds(self, said: Said) -> float:
        """Length of a part as it is heard, without the pause after it."""
        return len(said.codes) / self._second(said)

    def _attention(self, said: Said) -> Times | None:
        """When each character that the model was given is read, by where its heads look."""
        heads = self._prompts.settings.alignment
        if heads is None or not len(said.codes):
            return None
        given, vocabulary = said.passage.given, self._prompts.vocabulary
        prompt = self._prompts.prompt(given, said.voice, said.formed)
        tokens = self._prompts.places(given, said.voice, said.formed)
        ids = vocabulary.named_ids(said.codes, said.phones)
        # The token before a code is where that code is asked for.
        asking = len(prompt) - 1 + np.flatnonzero(ids < vocabulary.phone_start)
        with self._turn:
            seen = self._prompts.engine.attention(
                [*prompt, *ids.tolist()],
                heads.layer,
                len(heads.offsets),
                asking.tolist(),
                [place for place, _, _ in tokens],
            )
        if seen is None:
            return None
        path = reading_path(seen, heads.offsets, ended=not said.cut)
        spans = [(first, stop) for _, first, stop in tokens]
        return times_of_path(path, spans, len(given), self._second(said))

    def _words(self, text: str, said: Said, times: Times) -> list[Word]:
        """In seconds since the part began."""
        words = []
        for span, first, stop in spoken_words(text, said.passage):
            start, end = times[first, 0], times[stop - 1, 1]
            if np.isnan(start):  # the speech did not come so far
                continue
            last = self.seconds(said) if np.isnan(end) else end
            words.append(Word(text[slice(*span)], float(start), float(last), span))
        return words

    def _phones(self, said: Said, heard: float) -> list[Phone]:
        """What was named as it is heard, without pauses."""
        codes = [before for _, before in said.phones]
        borders = np.array([*codes, len(said.codes)]) / self._second(said)
        return [
            Phone(symbol, _rounded(said.at + start), _rounded(said.at + min(end, heard)))
            for (symbol, _), start, end in zip(said.phones, borders, borders[1:], strict=False)
            if symbol.strip() and start < heard
        ]


class Track:
    """The sound of a stream, kept until the part that it belongs to can be timed."""

    def __init__(self, timer: Timer, rate: int) -> None:
        self._timer, self._rate = timer, rate
        self._sound: list[Samples] = []
        self._begins = 0  # samples before those that are kept

    def add(self, text: str, samples: Samples, said: Said | None) -> Callable[[], Timings] | None:
        """Take the next piece; gives what times the part that ends with it, if one does."""
        self._sound.append(samples)
        if said is None:
            return None
        sound = np.concatenate(self._sound)
        begin = round(said.at * self._rate) - self._begins
        length = round(self._timer.seconds(said) * self._rate)
        self._sound, self._begins = [], self._begins + len(sound)
        return partial(self._timer.part, text, said, sound[begin : begin + length])


def _moved(word: Word, at: float, heard: float) -> Word:
    """A word that begins so much later, and ends with the sound at the latest."""
    start, end = min(word.start, heard), min(max(word.end, word.start + _LEAST), heard)
    return replace(word, start=_rounded(at + start), end=_rounded(at + end))


def _rounded(seconds: float) -> float:
    return round(float(seconds), 3)


def _seconds(start: float, end: float) -> dict[str, float]:
    return {"start": start, "end": end}

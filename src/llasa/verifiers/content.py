"""Content: does a recogniser hear the words of the text?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from llasa.audio.audio import Audio
from llasa.base.errors import LlasaError
from llasa.base.packages import require
from llasa.verifiers.asr.base import Recognizer, Transcript
from llasa.verifiers.asr.word_errors import differences, errors
from llasa.verifiers.asr.words import EnglishWords
from llasa.verifiers.base import ONE_AT_A_TIME, Candidate, Scores, Verifier, speech
from llasa.verifiers.registry import find_verifier, open_verifier

BY_CHARACTER = frozenset({"zh", "yue", "ja", "th", "lo", "my", "km"})
"""Languages written without spaces: errors are counted in characters."""
DOUBT = 0.5
"""Weight of the recogniser's doubt in errors: it only breaks ties."""


class Fault(NamedTuple):
    """Words of a text and what was heard in their place; either may be empty."""

    wanted: str
    heard: str


class Content:
    """Minus the error rate of a recogniser's transcript against the text.

    score = -(errors + DOUBT * (1 - p)) / units of the text, with p = exp(mean log-probability of
    the transcript's tokens): whole errors decide, the recogniser's own likelihood breaks ties.
    Texts are compared after Whisper's normaliser, and what is only spelled in another way is no
    error (see `errors`). Of a partial candidate the last word, which may be cut, is left out; the
    others are compared with as much of the start of the text as fits best, and its errors are
    divided by what was heard.
    """

    needs = frozenset({"text", "audio"})
    shortest = 0.1
    best = 0.0

    def __init__(self, recognizer: Recognizer) -> None:
        self.recognizer = recognizer
        self.by_word = recognizer.language not in BY_CHARACTER
        self.name, self.family = recognizer.name, recognizer.family

    def load(self) -> None:
        """Open recogniser and normaliser; `LlasaError` where one is missing."""
        self.recognizer.load()
        _ = self._normalizer

    def score(self, batch: Sequence[Candidate], /) -> Scores:
        """Higher is better; 0 is a perfect transcript without any doubt."""
        return self.listen(batch)[0]

    def listen(self, batch: Sequence[Candidate]) -> tuple[Scores, list[str]]:
        """Scores, and the words that were heard."""
        wanted = [self.units(candidate.text or "") for candidate in batch]
        for candidate, units in zip(batch, wanted, strict=True):
            if not units:
                raise LlasaError(f"The text {candidate.text!r} has no words to listen for.")
        heard = self.recognizer.transcribe([speech(c.audio) for c in batch])
        scores = [
            self._score(units, transcript, candidate.partial)
            for candidate, units, transcript in zip(batch, wanted, heard, strict=True)
        ]
        return np.array(scores), [transcript.text for transcript in heard]

    def faults(self, text: str, heard: str, partial: bool = False) -> list[Fault]:
        """Where a transcript differs from the text, in order; none where it is right.

        `partial`: the speech was cut off, so that the transcript is compared with as much of the
        text as fits best, without its last word; where nothing was heard, with all of it.
        Numbers at the very beginning that the text does not have are none: recognisers of speech
        that begins at once imagine them.
        """
        said, gap = self._whole(heard, partial), " " if self.by_word else ""
        partial = partial and bool(said)  # silence is not the beginning of a text
        return [
            Fault(gap.join(one), gap.join(other))
            for place, one, other in differences(self.units(text), said, partial)
            if place or one or not all(map(_is_number, other))
        ]

    def units(self, text: str) -> list[str]:
        """The words or characters that count."""
        normal = self._normalizer(text)
        units = normal.split() if self.by_word else list(normal)
        return [unit for unit in units if any(char.isalnum() for char in unit)]

    def _score(self, wanted: list[str], transcript: Transcript, partial: bool) -> float:
        heard = self._whole(transcript.text, partial)
        wrong = errors(wanted, heard, partial)
        doubted = wrong + DOUBT * (1 - np.exp(transcript.logprob))
        return float(-doubted / (max(1, len(heard)) if partial else len(wanted)))

    def _whole(self, heard: str, partial: bool) -> list[str]:
        """The heard words or characters, without the last word if it may be cut off."""
        units = self.units(heard)
        return units[:-1] if partial and self.by_word and len(units) > 1 else units

    @cached_property
    def _normalizer(self) -> Any:
        if self.recognizer.language == "en":
            return EnglishWords()
        return require("whisper_normalizer.basic").BasicTextNormalizer()


def _is_number(word: str) -> bool:
    return word.isdigit() or word == "one"


def open_content(spec: str | Verifier, language: str) -> Content:
    """The verifier that a name stands for; `LlasaError` where it does not listen to words."""
    verifier = open_verifier(spec, language) if isinstance(spec, str) else find_verifier(spec)
    if not isinstance(verifier, Content):
        raise LlasaError(
            f"The verifier {verifier.name} does not listen to words: use content or whisper."
        )
    return verifier


def transcribe(audio: Audio, language: str) -> str:
    """The words of a recording in a language, as the verifier `content` hears them.

    Raises `LlasaError` where the recogniser is not installed.
    """
    recognizer = open_content("content", language).recognizer
    with ONE_AT_A_TIME:
        recognizer.load()
        return recognizer.transcribe([speech(audio)])[0].text

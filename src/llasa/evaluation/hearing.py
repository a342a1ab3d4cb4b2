"""Takes the measures of `understanding` with real ears: Whisper, SwiftF0 and eGeMAPS."""

from __future__ import annotations

from functools import cached_property, lru_cache

import numpy as np

from llasa.audio.audio import Audio, Samples
from llasa.evaluation.alignment import Aligner
from llasa.evaluation.prosody import final_rise, pause, prominence
from llasa.evaluation.understanding import MarkedWords
from llasa.training.auxiliary.pitch import PitchTracker
from llasa.verifiers.asr.whisper import Whisper
from llasa.verifiers.base import RATE, Candidate
from llasa.verifiers.content import Content
from llasa.verifiers.style import Style


class Hearing:
    """Ears for one language; models are opened when they are first used."""

    def __init__(self, language: str) -> None:
        self._gap = "" if language == "zh" else " "
        self._whisper = Whisper(language=language)
        self._aligner = Aligner(self._whisper)
        self.content = Content(self._whisper)

    def rise(self, clip: Samples) -> float:
        """Semitones that pitch rises at the end."""
        return final_rise(self._pitch(clip))

    def pauses(self, clip: Samples, script: MarkedWords) -> float:
        """Mean seconds of silence where pauses belong, less those where none belong."""
        spans = self._aligner.words(clip, script.words, self._gap)

        def mean(places: list[int]) -> float:
            found = [pause(clip, spans[n], spans[n + 1]) for n in places if n + 1 < len(spans)]
            return float(np.mean(found)) if found else 0.0

        return mean(script.pauses) - mean(script.none)

    def prominence(self, clip: Samples, script: MarkedWords) -> float:
        """Energy of the marked words over that of the others, dB, their mean."""
        spans = self._aligner.words(clip, script.words, self._gap)
        return float(np.mean([prominence(clip, spans[n]) for n in script.counted]))

    def logprob(self, clip: Samples, text: str) -> float:
        """Of a wording; see `Aligner.logprob`."""
        return self._aligner.logprob(clip, text)

    def arousal(self, clip: Samples) -> float:
        """How lively the voice is, in spreads among readers."""
        return float(self._style.score([Candidate(audio=Audio(clip, RATE))])[0])

    def transcript(self, clip: Samples) -> str:
        """What Whisper writes."""
        return self._whisper.transcribe([clip])[0].text

    @cached_property
    def _pitch(self) -> PitchTracker:
        return PitchTracker()

    @cached_property
    def _style(self) -> Style:
        style = Style("excited")
        style.load()
        return style


ears = lru_cache(maxsize=2)(Hearing)
"""The ears of a language, opened once."""

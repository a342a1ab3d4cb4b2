"""Style: prosody like that of a reference, or in the direction that a name stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llasa.audio.audio import Audio, Samples, read_audio
from llasa.base.errors import LlasaError
from llasa.base.names import did_you_mean
from llasa.base.packages import require
from llasa.verifiers.base import RATE, Candidate, Scores, speech

LEVEL = -23.0
"""Level in dB to which every clip is normalised, so that loudness does not count as style."""
MOST = 3.0
"""Bound on a feature in standard deviations; values beyond are mostly measuring errors."""


class Feature(NamedTuple):
    """A functional of eGeMAPS, its mean and standard deviation over readers."""

    functional: str
    mean: float
    spread: float


FEATURES = {
    "pitch": Feature("F0semitoneFrom27.5Hz_sma3nz_amean", 29.4, 4.9),
    "pitch range": Feature("F0semitoneFrom27.5Hz_sma3nz_pctlrange0-2", 6.3, 3.1),
    "rate": Feature("loudnessPeaksPerSec", 3.9, 0.91),
    "pauses": Feature("MeanUnvoicedSegmentLength", 0.19, 0.12),
    "dynamics": Feature("loudness_sma3_stddevNorm", 0.86, 0.22),
    "brightness": Feature("alphaRatioV_sma3nz_amean", -14.9, 4.4),
    "breathiness": Feature("logRelF0-H1-H2_sma3nz_amean", 5.8, 2.9),
    "clearness": Feature("HNRdBACF_sma3nz_amean", 5.8, 2.4),
    "shimmer": Feature("shimmerLocaldB_sma3nz_amean", 1.27, 0.24),
}
"""What is measured. Means and spreads are those of 120 LibriSpeech readers, 7 s each."""

_LIVELY = {"pitch range": 1.0, "dynamics": 0.5, "rate": 0.5}
_FAST = {"rate": 1.0, "pauses": -0.5}
_BRIGHT = {"brightness": 1.0, "breathiness": -0.5}
_EXCITED = {"pitch": 1.0, "pitch range": 1.0, "rate": 0.5, "brightness": 0.5}


def _opposite(weights: Mapping[str, float]) -> dict[str, float]:
    return {name: -weight for name, weight in weights.items()}


STYLES: dict[str, Mapping[str, float]] = {
    "high": {"pitch": 1.0},
    "low": {"pitch": -1.0},
    "lively": _LIVELY,
    "monotone": _opposite(_LIVELY),
    "fast": _FAST,
    "slow": _opposite(_FAST),
    "bright": _BRIGHT,
    "soft": _opposite(_BRIGHT),
    "excited": _EXCITED,
    "subdued": _opposite(_EXCITED),
}
"""Directions, as weights of features; the last pair follows what high and low arousal do to a
voice (Eyben et al. 2016, IEEE Transactions on Affective Computing 7(2))."""


class Style:
    """Nearness in prosody to a recording, or how far speech goes in a named direction.

    It measures nine features of pitch, tempo, loudness and voice, in standard deviations among
    readers. It knows no emotions and was compared with no listeners: it sees that speech is faster
    or livelier, not that it is happy.

    With a name of `STYLES`: the weighted mean of the features, higher is more of the style. With a
    recording (a path or `Audio`): minus the root mean square distance of all features. Without
    either: the same toward each candidate's prompt.
    """

    family = "egemaps"
    shortest = 0.5

    def __init__(self, style: str | Path | Audio | None = None) -> None:
        self.weights = STYLES.get(style) if isinstance(style, str) else None
        self.needs = frozenset({"audio", "prompt"} if style is None else {"audio"})
        self.reference: NDArray[np.float64] | None = None
        self.name = "style"
        self._recording: Audio | None = None
        if isinstance(style, Audio):
            self._recording = style
        elif style is not None:
            self.name = f"style:{style}"
            if self.weights is None:
                self._recording = _recording(style)

    def load(self) -> None:
        """Measure the recording, if there is one; `LlasaError` where that fails."""
        _ = self._measure
        if self._recording is not None and self.reference is None:
            self.reference = self.features(speech(self._recording))
            if np.isnan(self.reference).any():
                raise LlasaError(
                    f"The recording of the style ({self.name}) holds no voiced speech."
                )

    def score(self, batch: Sequence[Candidate], /) -> Scores:
        """Higher is more of the style, or nearer; NaN where no voiced speech was found."""
        found = np.stack([self.features(speech(c.audio)) for c in batch if c.audio is not None])
        if self.weights is not None:
            weights = np.array([self.weights.get(name, 0.0) for name in FEATURES])
            return np.asarray(found @ weights / np.abs(weights).sum())
        distance = np.sqrt(np.mean((found - self._wanted(batch)) ** 2, axis=1))
        return -distance

    def features(self, clip: Samples) -> NDArray[np.float64]:
        """`FEATURES` of 16 kHz speech in spreads from the mean, at most `MOST`; NaN if unvoiced."""
        audio = Audio(clip.astype(np.float32), RATE)
        level = 10 ** ((LEVEL - audio.level()) / 20)
        found = self._measure(audio.samples.astype(np.float64) * level, RATE)
        if found["F0semitoneFrom27.5Hz_sma3nz_amean"] == 0:
            return np.full(len(FEATURES), np.nan)
        values = [(found[f.functional] - f.mean) / f.spread for f in FEATURES.values()]
        return np.clip(values, -MOST, MOST)

    def _wanted(self, batch: Sequence[Candidate]) -> NDArray[np.float64]:
        """Features to come near to: the recording's, or those of each prompt, measured once."""
        if self.reference is not None:
            return self.reference
        prompts = {id(c.prompt): c.prompt for c in batch if c.prompt is not None}
        measured = {key: self.features(speech(prompt)) for key, prompt in prompts.items()}
        return np.stack([measured[id(candidate.prompt)] for candidate in batch])

    @cached_property
    def _measure(self) -> Any:
        return require("afx_audio").egemaps


def _recording(source: str | Path) -> Audio:
    if not Path(source).is_file():
        raise LlasaError(
            f"The style {str(source)!r} is neither a recording nor known: known are "
            f"{', '.join(STYLES)}.{did_you_mean(str(source), STYLES)}"
        )
    return read_audio(source)

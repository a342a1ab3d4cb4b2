"""The pitch of recordings, which a codec with a harmonic head learns."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llasa.base.errors import LlasaError
from llasa.base.packages import require

RATE = 16_000
FLOOR = 50.0
CEILING = 600.0
"""Hertz between which pitch is looked for."""
UNVOICED = 150.0
"""Hertz of a clip without a voiced moment."""


class PitchTrack(NamedTuple):
    """Seconds, Hertz, and how sure it is that there is a voice (0 to 1)."""

    seconds: NDArray[np.float32]
    hertz: NDArray[np.float32]
    voiced: NDArray[np.float32]

    def at(
        self, seconds: NDArray[np.floating[Any]]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Hertz at these moments, and 1 where voiced, else 0.

        Between voiced stretches the pitch moves from the end of one to the beginning of the next.
        """
        sure = self.voiced >= 0.5
        hertz = np.full(len(seconds), UNVOICED)
        if sure.any():
            logs = np.log(self.hertz[sure])
            hertz = np.exp(np.interp(seconds, self.seconds[sure], logs))
        voiced = np.interp(seconds, self.seconds, self.voiced) >= 0.5
        return hertz.astype(np.float32), voiced.astype(np.float32)


class PitchTracker:
    """SwiftF0 (Nieradzik, 2025), a small network in the package swift-f0."""

    def __init__(self) -> None:
        # Busy waiting between clips would take the cores that train.
        try:
            self._detector = require("swift_f0").SwiftF0(threads=1, spin=False)
        except TypeError as error:
            raise LlasaError(
                f"Another version of swift-f0 is needed ({error}): pip install 'llasa[train]'."
            ) from error

    def __call__(self, samples: NDArray[np.float32]) -> PitchTrack:
        """The pitch of mono samples (n,) at 16 kHz."""
        found = self._detector.detect(samples, RATE, fmin=FLOOR, fmax=CEILING)
        parts = (found.timestamps, found.pitch_hz, found.confidence)
        return PitchTrack(*(part.astype(np.float32) for part in parts))

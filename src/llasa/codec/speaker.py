"""``SpeakerEmbedding``: how a voice sounds, apart from what it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LOUDEST = 2.0
"""Power that no timbre has: what is greater comes from a damaged file."""


@dataclass(frozen=True, eq=False)
class SpeakerEmbedding:
    """A voice as a codec hears it: float32 (timbre_size,), and the `Codec.timbre_id` of its maker.

    Timbres of one codec mean nothing to another.
    """

    values: NDArray[np.floating[Any]]
    id: str

    @property
    def sound(self) -> bool:
        """Whether the values can be a timbre: (n,), of power 1 or, for nobody, less."""
        values = np.asarray(self.values)
        if values.ndim != 1 or values.dtype.kind != "f" or not np.isfinite(values).all():
            return False
        return float(np.square(values.astype(np.float64)).mean()) < _LOUDEST

"""``Timbre``: how a voice sounds, apart from what it says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Timbre:
    """A voice as a codec hears it: float32 (timbre_size,), and the `Codec.timbre_id` of its maker.

    Timbres of one codec mean nothing to another.
    """

    values: NDArray[np.float32]
    id: str

"""``Timbre``: how a voice sounds, apart from what it says."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Timbre(NamedTuple):
    """A voice as a codec hears it: float32 (timbre_size,), and the `Codec.timbre_id` of its maker.

    Timbres of one codec mean nothing to another.
    """

    values: NDArray[np.float32]
    id: str

"""``SpeakerEmbedding``: how a voice sounds, apart from what it says.

A small codebook has room for the words and little else. A codec with ``speaker_size`` therefore
takes the voice from a recording: `SpeakerEncoder` makes an embedding of it, and the decoder is
conditioned on that. (This module does not need torch, so that voices are listed fast.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LOUDEST = 2.0
"""Mean square that no embedding reaches: what is greater comes from a damaged file."""


@dataclass(frozen=True, eq=False)
class SpeakerEmbedding:
    """Float32 values (speaker_size,), and the `Codec.speaker_encoder_id` of the codec they are for.

    Embeddings of one codec mean nothing to another.
    """

    values: NDArray[np.floating[Any]]
    id: str

    @property
    def is_valid(self) -> bool:
        """Whether the values can be an embedding: finite, (n,), of a mean square of at most 1.

        It is 1 for a speaker, and less between speakers and nobody.
        """
        values = np.asarray(self.values)
        if values.ndim != 1 or values.dtype.kind != "f" or not np.isfinite(values).all():
            return False
        return float(np.square(values.astype(np.float64)).mean()) < _LOUDEST

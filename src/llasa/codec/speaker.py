"""``SpeakerEmbedding``: how a voice sounds, apart from what is said.

The codes of a small codebook hold the words and little else. A codec with ``speaker_size``
therefore takes the voice from a recording: `SpeakerEncoder` makes an embedding of it, on which the
decoder is conditioned. (This module does not import torch, so that voices are listed quickly.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LOUDEST = 2.0
"""Bound on the mean square of an embedding; a greater one comes from a damaged file."""


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

        It is 1 for a speaker, and less for a blend of speakers and nobody.
        """
        values = np.asarray(self.values)
        if values.ndim != 1 or values.dtype.kind != "f" or not np.isfinite(values).all():
            return False
        return float(np.square(values.astype(np.float64)).mean()) < _LOUDEST

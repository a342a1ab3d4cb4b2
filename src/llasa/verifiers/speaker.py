"""Speaker: does the voice sound like that of the prompt?"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from llasa.audio.audio import Audio
from llasa.verifiers.base import Candidate, Scores, speech
from llasa.verifiers.embedders import Embedder, Embeddings

REMEMBERED = 64
"""Prompts whose embeddings are kept."""


class Speaker:
    """Cosine between the embeddings of what was generated and of the prompt, -1 to 1.

    The very first half second of a voice says little: partial candidates shorter than `shortest`
    seconds stay unscored.
    """

    needs = frozenset({"audio", "prompt"})
    shortest = 0.3
    best = 1.0

    def __init__(self, embedder: Embedder) -> None:
        self.embedder, self.name = embedder, embedder.name
        self._prompts: OrderedDict[bytes, Embeddings] = OrderedDict()

    @property
    def family(self) -> str:
        return self.embedder.family

    def load(self) -> None:
        self.embedder.load()

    def score(self, batch: Sequence[Candidate], /) -> Scores:
        """Higher is more alike; each prompt is embedded once."""
        voices = self.embedder.embed([speech(c.audio) for c in batch])
        wanted = np.stack([self._prompt(c.prompt) for c in batch if c.prompt is not None])
        return np.einsum("nd,nd->n", voices.astype(np.float64), wanted)

    def _prompt(self, audio: Audio) -> Embeddings:
        key = hashlib.blake2b(audio.samples.tobytes(), key=str(audio.rate).encode()).digest()
        if key not in self._prompts:
            self._prompts[key] = self.embedder.embed([speech(audio)])[0]
            if len(self._prompts) > REMEMBERED:
                self._prompts.popitem(last=False)
        self._prompts.move_to_end(key)
        return self._prompts[key]

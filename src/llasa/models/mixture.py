"""Mixtures of voices: the weighted mean of their speaker embeddings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from llasa.base.errors import LlasaError
from llasa.base.names import weighted_names
from llasa.codec.speaker import SpeakerEmbedding
from llasa.models.voice import Voice

_LEAST_POWER = 1e-3
"""Least mean square of a mixture; below, the voices cancel each other."""


def mixed(name: str, find: Callable[[str], object]) -> Voice:
    """The voice of a name such as ``heart(2)+sky``, whose parts `find` gives.

    Its speaker embedding is the weighted mean of theirs, rescaled to power 1. Its recording, which
    models that clone continue, is that of the first part with the greatest weight. Its name is
    written in the shortest way. Raises `LlasaError` where a part has no speaker embedding, or one
    of another codec.
    """
    names = weighted_names(name, "voice name")
    name = "+".join(one if weight == 1 else f"{one}({weight:g})" for one, weight in names)
    parts = [(_with_embedding(one, find(one)), weight) for one, weight in names]
    if len({embedding.id for (_, embedding), _ in parts}) > 1:
        raise LlasaError(f"The voices of {name} were made with different codecs: mix those of one.")
    weights = [weight for _, weight in parts]
    values = np.average([embedding.values for (_, embedding), _ in parts], 0, weights)
    power = float(np.square(values).mean())
    if power < _LEAST_POWER:
        raise LlasaError(f"The voices of {name} cancel each other: give other weights.")
    (voice, embedding), _ = max(parts, key=lambda part: part[1])
    values = (values / power**0.5).astype(np.float32)
    return replace(voice, name=name, speaker_embedding=SpeakerEmbedding(values, embedding.id))


def _with_embedding(name: str, voice: object) -> tuple[Voice, SpeakerEmbedding]:
    if isinstance(voice, Voice) and voice.speaker_embedding is not None:
        return voice, voice.speaker_embedding
    raise LlasaError(
        f"Voice {name} cannot be mixed, as it has no speaker embedding: name one voice alone, or "
        "voices that were made from recordings for a codec with a speaker encoder."
    )

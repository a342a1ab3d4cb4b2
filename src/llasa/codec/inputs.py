"""Checks of a codec's inputs: sound, codes, speaker embeddings. (Does not import torch.)"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llasa.audio.audio import Audio, Samples, as_rate, as_samples
from llasa.base.errors import LlasaError
from llasa.base.names import check_choice
from llasa.codec.protocol import CodecLike
from llasa.codec.speaker import SpeakerEmbedding

if TYPE_CHECKING:
    from torch import Tensor

PADDINGS = ("released", "none")
CONTEXT_SECONDS = 3.0
"""Seconds decoded as context before the wanted codes, and then cut off."""
WINDOW = 400
"""Samples of one filter bank window, the shortest usable sound."""
_RATES = (4_000, 384_000)


def waveforms(
    audios: Sequence[Audio | NDArray[Any] | Tensor],
    rates: int | Sequence[int],
    pad: str,
    rate: int,
    hop: int,
) -> list[Samples]:
    """The clips of `Codec.encode`, mono, at `rate` and of whole frames; `LlasaError` as there."""
    check_choice(pad, PADDINGS, "pad")
    if isinstance(audios, Audio) or getattr(audios, "ndim", 0) == 1:
        raise LlasaError("Codec.encode takes a list of clips, not a single one: put it in [ ].")
    rates = rates if isinstance(rates, Sequence) else [rates] * len(audios)
    if len(rates) != len(audios):
        raise LlasaError(f"{len(audios)} clips but {len(rates)} sample rates were given.")
    return [
        _whole_frames(sound(audio, own, rate, hop, f"Clip {i}").samples, hop, pad)
        for i, (audio, own) in enumerate(zip(audios, rates, strict=True))
    ]


def sound(
    audio: Audio | NDArray[Any] | Tensor, rate: int, wanted: int, hop: int, name: str
) -> Audio:
    """One clip, checked, mono and at the `wanted` rate."""
    if isinstance(audio, Audio):
        rate, audio = audio.rate, audio.samples
    lowest, highest = _RATES
    rate = as_rate(rate, name)
    if not lowest <= rate <= highest:
        raise LlasaError(f"{name}: sample rate {rate} Hz is outside {lowest} to {highest}.")
    clip = Audio(_samples(audio, name), rate).mono().resample(wanted)
    count, shortest = len(clip.samples), max(WINDOW, hop)
    if count < shortest:
        raise LlasaError(
            f"{name} is too short: {count} samples at {wanted} Hz, at least "
            f"{shortest} ({1000 * shortest // wanted} ms) are needed."
        )
    return clip


def voiced(audio: Audio | NDArray[Any] | Tensor, rate: int, wanted: int, hop: int) -> Samples:
    """A recording for a speaker encoder: without silence at both ends, at least one window."""
    clip = sound(audio, rate, wanted, hop, "The recording")
    if clip.samples.any():
        clip = clip.trim_silence(margin=0.0)
    return np.pad(clip.samples, (0, max(0, WINDOW - len(clip.samples))))


def checked_part(
    codes: NDArray[Any] | Tensor | Sequence[int],
    start: int,
    stop: int | None,
    context: float,
    codec: CodecLike,
) -> tuple[NDArray[np.int64], int, int]:
    """The codes that `Codec.decode_part` decodes, and `start` and `stop` (None: `start`) in them.

    `LlasaError` for a part that does not exist.
    """
    checked = checked_codes(codes, codec.codebook_size, "The sequence")
    stop = start if stop is None else stop
    if not 0 <= start <= stop <= len(checked):
        raise LlasaError(
            f"A part of {len(checked)} codes cannot go from {start} to {stop}: give a start and "
            f"a stop from 0 to {len(checked)}, the start first."
        )
    first = max(0, start - round(context * codec.frame_rate))
    return checked[first:], start - first, stop - first


def checked_codes(
    codes: NDArray[Any] | Tensor | Sequence[int], size: int, name: str
) -> NDArray[np.int64]:
    """Codes (n,) of a codebook of this size."""
    found: Any = codes
    array = found.detach().cpu().numpy() if hasattr(codes, "detach") else np.asarray(codes)
    if array.ndim != 1 or array.size == 0:
        raise LlasaError(f"{name} has shape {array.shape}: codes are a non-empty list (n,).")
    if array.dtype.kind not in "iu":
        raise LlasaError(f"{name} holds {array.dtype} values: codes are whole numbers.")
    for code in (int(array.min()), int(array.max())):
        if not 0 <= code < size:
            raise LlasaError(f"{name} holds code {code}: valid are 0 to {size - 1}.")
    checked: NDArray[np.int64] = array.astype(np.int64)
    return checked


def embedding_values(
    given: SpeakerEmbedding | None, codec: CodecLike
) -> NDArray[np.float32] | None:
    """The values (speaker_size,) of a speaker embedding that is for this codec; None for None."""
    if given is None:
        return None
    if not isinstance(given, SpeakerEmbedding):
        raise LlasaError(
            f"A {type(given).__name__} is not a speaker embedding: give that of a voice."
        )
    again = "compute it again from the recording, with Codec.speaker_embedding"
    if not codec.speaker_size:
        raise LlasaError("This codec has no speaker embeddings: leave the voice out.")
    if given.id != codec.speaker_encoder_id:
        raise LlasaError(
            f"The speaker embedding is of the speaker encoder {given.id}, and this codec has "
            f"{codec.speaker_encoder_id}: {again}."
        )
    if not given.is_valid or len(given.values) != codec.speaker_size:
        raise LlasaError(
            f"A speaker embedding of this codec has {codec.speaker_size} numbers, with a mean "
            f"square of 1, and this one does not: {again}."
        )
    return np.asarray(given.values, np.float32)


def _whole_frames(samples: Samples, hop: int, pad: str) -> Samples:
    beyond = len(samples) % hop
    if pad == "none":
        return samples[: len(samples) - beyond]
    return np.pad(samples, (0, hop - beyond))


def _samples(audio: NDArray[Any] | Tensor, name: str) -> Samples:
    """Finite samples, float32 (n,) or (n, channels)."""
    samples = as_samples(audio, name)
    if samples.size == 0:
        raise LlasaError(f"{name} is empty: give at least 25 ms of audio.")
    if not np.isfinite(samples).all():
        raise LlasaError(f"{name} holds values that are not numbers (NaN or infinity).")
    return samples

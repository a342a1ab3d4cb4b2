"""``Codec``: clips to codes and back, for lists of audio of any length and rate."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llasa.audio.audio import SPEECH_RATE, Audio
from llasa.base.errors import LlasaError, first_line
from llasa.base.hub import find_folder
from llasa.codec import inputs
from llasa.codec.checkpoints.folder import load_lightning, load_model, save_model
from llasa.codec.model import CodecModel
from llasa.codec.protocol import PhaseState
from llasa.codec.speaker import SpeakerEmbedding

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


class Codec:
    """A speech codec with one codebook (X-codec2, paper section 3.2).

    Clips are processed one at a time: GroupNorm, attention and the normalisation of features span
    the whole clip, and batched matrix products round differently from single ones. So a list gives
    bit for bit what each of its clips gives alone; stacked clips would hardly be decoded sooner on
    a CPU, and encoded later (benchmarks/codec.py).

    Args:
        model: the network; it is moved to ``device`` and switched to evaluation.
        device: default CUDA where there is one, else CPU.
        dtype: float32 (exact), or bfloat16/float16 to compute in mixed precision.
    """

    def __repr__(self) -> str:
        rate = f"{self.sample_rate / 1000:g} kHz"
        return f"Codec({rate}, {self.codebook_size} codes, {self.device})"

    def __init__(
        self,
        model: CodecModel,
        device: str | torch.device | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if dtype not in DTYPES:
            raise LlasaError(
                f"The dtype {dtype} is not supported: use float32, bfloat16 or float16."
            )
        self.device = _device(device)
        self.dtype = dtype
        self.model = model.to(self.device).eval()
        config = model.config
        self.sample_rate = config.output_rate
        """Hertz of the decoded audio."""
        self.hop = config.output_hop
        """Samples of decoded audio per code."""
        self.input_rate = config.input_rate
        """Hertz of the encoder's input; audio of any other rate is resampled to it."""
        self.input_hop = config.input_hop
        """Samples per code at `input_rate`."""
        self.frame_rate = config.frame_rate
        """Codes per second."""
        self.codebook_size = config.codebook_size
        """Codes are 0 to this, exclusive."""
        self.speaker_size = config.speaker_size
        """Numbers in a speaker embedding; 0: the codes alone decide how the voice sounds."""

    @classmethod
    def load(
        cls,
        folder_or_hub_id: str | Path,
        device: str | torch.device | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Codec:
        """Open a codec folder (ours, released X-codec2, Transformers) or a hub id "owner/name".

        Raises `LlasaError` if there are no such files, or they are damaged or of another kind.
        """
        if Path(folder_or_hub_id).is_file():
            raise LlasaError(
                f"{folder_or_hub_id} is a file: give the folder of a codec (Codec.from_lightning "
                "opens a Lightning checkpoint)."
            )
        return cls(load_model(find_folder(folder_or_hub_id)), device, dtype)

    @classmethod
    def from_lightning(
        cls,
        checkpoint: str | Path,
        device: str | torch.device | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Codec:
        """Convert the original training checkpoint (``epoch=4-step=1400000.ckpt``).

        Raises `LlasaError` for another or a damaged file.
        """
        return cls(load_lightning(checkpoint), device, dtype)

    def save(self, folder: str | Path, layout: str = "llasa", half: bool = False) -> None:
        """Write ``config.json`` and ``model.safetensors``, atomically; `half` stores float16.

        `layout` is ``llasa``, or ``transformers`` for ``transformers.Xcodec2Model``, and for
        ``NeuCodecModel`` where the two rates differ. Raises `LlasaError` for another one, a codec
        that it cannot hold, or an unwritable folder.
        """
        save_model(self.model, Path(folder), layout, half)

    @cached_property
    def id(self) -> str:
        """Identity of the codes: those of one codec cannot be used with a codec of another id.

        16 hexadecimal digits of the quantiser's input weights, which half precision leaves the
        same, as does training the decoder alone.
        """
        return _digest(self.model.quantizer.project_in.weight)

    @cached_property
    def speaker_encoder_id(self) -> str:
        """Identity of the speaker embeddings, like `id` for codes; "" if it has none."""
        encoder = self.model.speaker_encoder
        return "" if encoder is None else _digest(encoder.out.weight)

    @torch.inference_mode()
    def encode(
        self,
        audios: Sequence[Audio | NDArray[Any] | Tensor],
        rates: int | Sequence[int] = SPEECH_RATE,
        pad: str = "released",
    ) -> list[NDArray[np.int64]]:
        """Codes of each clip, the same whether it comes alone or in a list.

        Args:
            audios: `Audio`, or what it is made of: mono (n,), or channels (n, c) or (c, n), which
                are averaged; floats in [-1, 1] or integers.
            rates: Hertz of all clips or of each; other rates than `input_rate` are resampled. An
                `Audio` has its own.
            pad: ``released`` appends ``hop - n % hop`` zeros, so a clip of n samples gives
                ``n // hop + 1`` codes; ``none`` cuts to whole frames, ``n // hop`` codes. The hop
                is `input_hop`, the samples are those at `input_rate`.

        Returns one int64 array (codes,) a clip. Raises `LlasaError` for audio that is empty, too
        short, not finite, of wrong shape or type.
        """
        clips = inputs.waveforms(audios, rates, pad, self.input_rate, self.input_hop)
        with self._autocast():
            return [self.model.encode(self._batch(x))[0].cpu().numpy() for x in clips]

    @torch.inference_mode()
    def speaker_embedding(
        self, audio: Audio | NDArray[Any] | Tensor, rate: int = SPEECH_RATE
    ) -> SpeakerEmbedding | None:
        """The speaker embedding of a recording; None for a codec without a speaker encoder.

        Silence at both ends does not count. Takes and raises what `encode` does for one clip.
        """
        encoder = self.model.speaker_encoder
        if encoder is None:
            return None
        waveform = self._batch(inputs.voiced(audio, rate, self.input_rate, self.input_hop))
        return SpeakerEmbedding(encoder(waveform)[0].cpu().numpy(), self.speaker_encoder_id)

    @torch.inference_mode()
    def decode(
        self,
        codes: Sequence[NDArray[Any] | Tensor | Sequence[int]],
        speaker_embedding: SpeakerEmbedding | None = None,
    ) -> list[NDArray[np.float32]]:
        """Waveform of each code sequence, the same whether it comes alone or in a list.

        Codes are integers (n,) in [0, codebook_size), at least one. All are spoken in the voice of
        `speaker_embedding`; None leaves the voice to the codes. Returns one float32 array
        (n * hop,) a sequence, nominally in [-1, 1]. Raises `LlasaError` for codes that are empty,
        out of range or not whole numbers, and for the speaker embedding of another codec.
        """
        checked = [
            self._batch(inputs.checked_codes(item, self.codebook_size, f"Sequence {i}"))
            for i, item in enumerate(codes)
        ]
        embedding = self._check_embedding(speaker_embedding)
        with self._autocast():
            found = [self.model.decode(item, embedding)[0] for item in checked]
        return [sound.float().cpu().numpy() for sound in found]

    @torch.inference_mode()
    def decode_part(
        self,
        codes: NDArray[np.int64],
        start: int,
        stop: int | None = None,
        phase: PhaseState | None = None,
        context: float = inputs.CONTEXT_SECONDS,
        speaker_embedding: SpeakerEmbedding | None = None,
    ) -> tuple[NDArray[np.float32], PhaseState]:
        """Waveform of `codes[start:]`, decoded with up to `context` seconds before them.

        The decoder sees neighbouring frames, so codes sound different without those before them.
        `phase` is the phase of a harmonic head's sound at `start` (None: it begins there). Returns
        float32 ((n - start) * hop,), and the phase at `stop` (`start` by default), with which to
        decode the next part; the same errors as `decode`.
        """
        part, at, until = inputs.checked_part(codes, start, stop, context, self)
        embedding = self._check_embedding(speaker_embedding)
        with self._autocast():
            sound, then = self.model.decode_part(
                self._batch(part), at, until, phase or PhaseState(), embedding
            )
        return sound[0, at * self.hop :].float().cpu().numpy(), then

    def _autocast(self) -> torch.autocast:
        mixed = self.dtype != torch.float32
        return torch.autocast(self.device.type, self.dtype if mixed else None, enabled=mixed)

    def _batch(self, values: NDArray[Any]) -> Tensor:
        """The values as a batch of one, on the device."""
        return torch.from_numpy(values)[None].to(self.device)

    def _check_embedding(self, given: SpeakerEmbedding | None) -> Tensor | None:
        values = inputs.embedding_values(given, self)
        return None if values is None else self._batch(values)


def _digest(weight: Tensor) -> str:
    """A hash of weights, 16 hexadecimal digits, equal for float32 and float16."""
    return hashlib.sha256(weight.detach().cpu().half().numpy().tobytes()).hexdigest()[:16]


def _device(device: str | torch.device | None) -> torch.device:
    """The device asked for, checked; CUDA where there is one by default."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        raise LlasaError(f"The device {device} cannot be used: {first_line(error)}.") from error
    return torch.device(device)

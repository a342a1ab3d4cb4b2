"""The codec without PyTorch: what ``llasa export onnx`` wrote, in onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llasa.audio.audio import Audio
from llasa.base.errors import LlasaError
from llasa.base.files import CONFIG, read_json
from llasa.base.packages import onnx
from llasa.codec import inputs
from llasa.codec.config import CodecConfig
from llasa.codec.protocol import PhaseState
from llasa.codec.speaker import SpeakerEmbedding

if TYPE_CHECKING:
    from torch import Tensor

ENCODER, DECODER, SPEAKER = "encoder.onnx", "decoder.onnx", "speaker.onnx"
IDS = "onnx.json"


class OnnxCodec:
    """Implements ``llasa.codec.protocol.CodecLike``; see `Codec`, which it agrees with to 1e-3."""

    def __init__(self, folder: str | Path, threads: int = 1) -> None:
        """Open a codec folder of an ONNX export; `LlasaError` where it is not one, or damaged."""
        self._folder, self._threads = Path(folder), threads
        try:
            config = CodecConfig.from_dict(read_json(self._folder / CONFIG)["codec"])
            ids = read_json(self._folder / IDS)
            self.id, self.speaker_encoder_id = str(ids["id"]), str(ids["speaker_encoder_id"])
        except (KeyError, TypeError, ValueError) as error:
            raise LlasaError(f"{folder} is damaged: export the model again.") from error
        self.config = config
        self.sample_rate, self.hop = config.output_rate, config.output_hop
        self.frame_rate, self.codebook_size = config.frame_rate, config.codebook_size
        self.speaker_size = config.speaker_size
        self._sessions: dict[str, Any] = {}

    def encode(
        self,
        audios: Sequence[Audio | NDArray[Any] | Tensor],
        rates: int | Sequence[int] = 16_000,
        pad: str = "released",
    ) -> list[NDArray[np.int64]]:
        """Codes of each clip; see `Codec.encode`."""
        c = self.config
        clips = inputs.waveforms(audios, rates, pad, c.input_rate, c.input_hop)
        return [self._run(ENCODER, waveform=clip[None])[0][0] for clip in clips]

    def speaker_embedding(
        self, audio: Audio | NDArray[Any] | Tensor, rate: int = 16_000
    ) -> SpeakerEmbedding | None:
        """How the speaker of a recording sounds; see `Codec.speaker_embedding`."""
        if not self.speaker_size:
            return None
        clip = inputs.voiced(audio, rate, self.config.input_rate, self.config.input_hop)
        return SpeakerEmbedding(
            self._run(SPEAKER, waveform=clip[None])[0][0], self.speaker_encoder_id
        )

    def decode(
        self,
        codes: Sequence[NDArray[Any] | Tensor | Sequence[int]],
        speaker_embedding: SpeakerEmbedding | None = None,
    ) -> list[NDArray[np.float32]]:
        """Waveform of each code sequence; see `Codec.decode`."""
        checked = [
            inputs.checked_codes(item, self.codebook_size, f"Sequence {i}")
            for i, item in enumerate(codes)
        ]
        values = inputs.embedding_values(speaker_embedding, self)
        return [self._sound(item, 0, 0, PhaseState(), values)[0] for item in checked]

    def decode_part(
        self,
        codes: NDArray[np.int64],
        start: int,
        stop: int | None = None,
        phase: PhaseState | None = None,
        context: float = inputs.CONTEXT_SECONDS,
        speaker_embedding: SpeakerEmbedding | None = None,
    ) -> tuple[NDArray[np.float32], PhaseState]:
        """Waveform of `codes[start:]` after some context; see `Codec.decode_part`."""
        part, at, until = inputs.checked_part(codes, start, stop, context, self)
        values = inputs.embedding_values(speaker_embedding, self)
        return self._sound(part, at, until, phase or PhaseState(), values)

    def _sound(
        self,
        codes: NDArray[np.int64],
        at: int,
        stop: int,
        phase: PhaseState,
        values: NDArray[np.float32] | None,
    ) -> tuple[NDArray[np.float32], PhaseState]:
        """The waveform from frame `at` on, whose phase is `phase` there, and that at `stop`."""
        feed: dict[str, NDArray[Any]] = {"codes": codes[None]}
        if self.speaker_size:
            nobody = np.zeros(self.speaker_size, np.float32)
            feed["embedding"] = (nobody if values is None else values)[None]
        then = PhaseState()
        if self.config.decoder_head == "harmonic":
            feed |= {"at": np.array([at]), "stop": np.array([stop])}
            feed |= {"frames": np.array([phase.frames]), "cycles": np.array([phase.cycles])}
            sound, cycles = self._run(DECODER, **feed)
            then = PhaseState(phase.frames + stop - at, float(cycles[0]) % 1.0)
        else:
            (sound,) = self._run(DECODER, **feed)
        return sound[0, at * self.hop :], then

    def _run(self, name: str, **feed: NDArray[Any]) -> list[NDArray[Any]]:
        """What a graph makes of this; it is opened on its first use."""
        if name not in self._sessions:
            self._sessions[name] = onnx(self._folder / name, self._threads)
        found: list[NDArray[Any]] = self._sessions[name].run(None, feed)
        return found

"""What others ask of a codec, so that another object may stand in for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    from llasa.audio.audio import Audio
    from llasa.codec.speaker import SpeakerEmbedding


class PhaseState(NamedTuple):
    """Phase between two frames: frames since the sound began, and cycles of the voice.

    Whoever decodes a sound in parts passes it from one part to the next.
    """

    frames: int = 0
    cycles: float = 0.0


class CodecLike(Protocol):
    """`Codec` as speech synthesis uses it; see there for what each of these is."""

    @property
    def sample_rate(self) -> int: ...
    @property
    def hop(self) -> int: ...
    @property
    def frame_rate(self) -> float: ...
    @property
    def codebook_size(self) -> int: ...
    @property
    def speaker_size(self) -> int: ...
    @property
    def speaker_encoder_id(self) -> str: ...
    @property
    def id(self) -> str: ...

    def encode(
        self,
        audios: Sequence[Audio | NDArray[Any] | Tensor],
        rates: int | Sequence[int] = ...,
        pad: str = "released",
    ) -> list[NDArray[np.int64]]: ...

    def speaker_embedding(
        self, audio: Audio | NDArray[Any] | Tensor, rate: int = ...
    ) -> SpeakerEmbedding | None: ...

    def decode(
        self,
        codes: Sequence[NDArray[Any] | Tensor | Sequence[int]],
        speaker_embedding: SpeakerEmbedding | None = None,
    ) -> list[NDArray[np.float32]]: ...

    def decode_part(
        self,
        codes: NDArray[np.int64],
        start: int,
        stop: int | None = None,
        phase: PhaseState | None = None,
        context: float = ...,
        speaker_embedding: SpeakerEmbedding | None = None,
    ) -> tuple[NDArray[np.float32], PhaseState]: ...

"""Which thread the codec works in, and whose speech is decoded first."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import count
from queue import PriorityQueue
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from llasa.audio.audio import Audio
from llasa.codec.inputs import CONTEXT_SECONDS
from llasa.codec.protocol import CodecLike, PhaseState
from llasa.codec.speaker import SpeakerEmbedding
from llasa.serving.batching import EngineClient

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")
_PATIENCE = 1.0
"""Seconds that decoding may be postponed for more urgent speech."""


class CodecThreads:
    """Shares a codec among many threads; it works in two threads of its own.

    One decodes speech, most urgent first; what nobody listens to yet is due within `_PATIENCE`. The
    other encodes uploads, which takes a second at worst. (Not in the callers' threads, because
    torch keeps a pool of threads for each of those.)
    """

    def __init__(self, codec: CodecLike) -> None:
        self._codec = codec
        self._uploads = ThreadPoolExecutor(1, "llasa-uploads")
        self._speech = ThreadPoolExecutor(1, "llasa-codec")
        self._queue: PriorityQueue[tuple[float, int, Future[Any], Callable[[], Any]]]
        self._queue = PriorityQueue()
        self._number = count()

    def for_uploads(self) -> CodecLike:
        """The codec for what is uploaded."""
        return ThreadedCodec(self._codec, self._upload, self._upload)

    def for_client(self, client: EngineClient) -> CodecLike:
        """The codec for what a client of the engine speaks."""
        return ThreadedCodec(self._codec, self._upload, partial(self._decode_for, client))

    def _upload(self, work: Callable[[], T]) -> T:
        return self._uploads.submit(work).result()

    def _decode_for(self, client: EngineClient, work: Callable[[], T]) -> T:
        future: Future[T] = Future()
        client.awaits(future)
        needed = min(client.due, time.monotonic() + _PATIENCE)
        self._queue.put((needed, next(self._number), future, work))
        self._speech.submit(self._next)
        return future.result()

    def _next(self) -> None:
        """Do the most urgent work."""
        _, _, future, work = self._queue.get()
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(work())
            except Exception as error:  # handed to who asked
                future.set_exception(error)


class _Runner(Protocol):
    """Does some work in a thread of its own and waits for it."""

    def __call__(self, work: Callable[[], T], /) -> T: ...


class ThreadedCodec:
    """A `CodecLike` that encodes and decodes in the given threads."""

    def __init__(self, codec: CodecLike, encoding: _Runner, decoding: _Runner) -> None:
        self._codec, self._encoding, self._decoding = codec, encoding, decoding
        self.sample_rate, self.hop = codec.sample_rate, codec.hop
        self.frame_rate, self.codebook_size = codec.frame_rate, codec.codebook_size
        self.speaker_size, self.speaker_encoder_id, self.id = (
            codec.speaker_size,
            codec.speaker_encoder_id,
            codec.id,
        )

    def encode(
        self,
        audios: Sequence[Audio | NDArray[Any] | Tensor],
        rates: int | Sequence[int] = 16_000,
        pad: str = "released",
    ) -> list[NDArray[np.int64]]:
        """See `Codec.encode`."""
        return self._encoding(partial(self._codec.encode, audios, rates, pad))

    def speaker_embedding(
        self, audio: Audio | NDArray[Any] | Tensor, rate: int = 16_000
    ) -> SpeakerEmbedding | None:
        """See `Codec.speaker_embedding`."""
        return self._encoding(partial(self._codec.speaker_embedding, audio, rate))

    def decode(
        self,
        codes: Sequence[NDArray[Any] | Tensor | Sequence[int]],
        speaker_embedding: SpeakerEmbedding | None = None,
    ) -> list[NDArray[np.float32]]:
        """See `Codec.decode`."""
        return self._decoding(partial(self._codec.decode, codes, speaker_embedding))

    def decode_part(
        self,
        codes: NDArray[np.int64],
        start: int,
        stop: int | None = None,
        phase: PhaseState | None = None,
        context: float = CONTEXT_SECONDS,
        speaker_embedding: SpeakerEmbedding | None = None,
    ) -> tuple[NDArray[np.float32], PhaseState]:
        """See `Codec.decode_part`."""
        work = partial(
            self._codec.decode_part, codes, start, stop, phase, context, speaker_embedding
        )
        return self._decoding(work)

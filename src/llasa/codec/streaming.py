"""Streaming decoder: short stretches of codes decoded with context, then cross-faded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llasa.audio.audio import Samples, rise
from llasa.base.arrays import Integers
from llasa.base.errors import LlasaError
from llasa.base.names import check_whole
from llasa.codec.protocol import CodecLike, PhaseState
from llasa.codec.speaker import SpeakerEmbedding


@dataclass(frozen=True)
class StreamSettings:
    """How a stream is decoded; all numbers are frames (20 ms).

    Every stretch is decoded together with `context` frames before it and `ahead` frames after it,
    which are decoded again later. Two stretches are cross-faded over the first `overlap` of these.
    The first stretch has `first` frames, and each next one 2.5 times as many, up to `largest`: so
    a player does not run dry where a second of sound takes 0.4 s to make.
    """

    context: int = 109
    ahead: int = 14
    overlap: int = 1
    first: int = 10
    largest: int = 200

    def __post_init__(self) -> None:
        check_whole(0, context=self.context, overlap=self.overlap)
        check_whole(1, ahead=self.ahead, first=self.first)
        if self.overlap > min(self.ahead, self.first):
            raise LlasaError(
                f"overlap is {self.overlap}: at most ahead ({self.ahead}) and first ({self.first})."
            )
        if self.largest < self.first:
            raise LlasaError(f"largest is {self.largest}: at least first ({self.first}).")


class StreamingDecoder:
    """One sequence of codes to sound, piece by piece.

    The work for a code does not depend on how many came before. Where the codec's decoder sees no
    further than `context` and `ahead` less `overlap` (`CodecConfig.reach`), the pieces joined are
    what `Codec.decode` gives for all codes at once; otherwise they are close to it. The phases of
    a harmonic head drift by rounding, inaudibly: 0.1 % after some seconds in float32.

    Args:
        before: codes that the sequence continues; they are not decoded.
        speaker_embedding: of the voice; None leaves it to the codes.
    """

    def __init__(
        self,
        codec: CodecLike,
        settings: StreamSettings | None = None,
        before: Integers | None = None,
        speaker_embedding: SpeakerEmbedding | None = None,
    ) -> None:
        self._codec, self._embedding = codec, speaker_embedding
        self._settings = settings or StreamSettings()
        self._codes = np.zeros(0, np.int64) if before is None else before
        self._done = len(self._codes)  # frames of `_codes` that were given out
        self._chunk = self._settings.first
        self._phase = PhaseState()
        self._tail: Samples = np.zeros(0, np.float32)  # where the last stretch went on

    @property
    def missing(self) -> int:
        """Number of codes still missing for the next piece of sound."""
        return max(1, self._done + self._chunk + self._settings.ahead - len(self._codes))

    def push(self, codes: Integers) -> Samples:
        """Add codes (n,); returns the sound (samples,) that is ready, often empty."""
        self._codes = np.concatenate([self._codes, codes])
        pieces: list[Samples] = [np.zeros(0, np.float32)]
        while len(self._codes) >= self._done + self._chunk + self._settings.ahead:
            pieces.append(self._decode(self._chunk))
            self._chunk = min(5 * self._chunk // 2, self._settings.largest)
        return np.concatenate(pieces)

    def finish(self) -> Samples:
        """The rest of the sound; after this nothing can be pushed."""
        rest = len(self._codes) - self._done
        return self._decode(rest) if rest else np.zeros(0, np.float32)

    def _decode(self, frames: int) -> Samples:
        hop, wanted = self._codec.hop, self._settings
        stop = self._done + frames
        sound, self._phase = self._codec.decode_part(
            self._codes[: stop + wanted.ahead],
            self._done,
            stop,
            self._phase,
            wanted.context / self._codec.frame_rate,
            self._embedding,
        )
        fade = min(len(self._tail), frames * hop)
        if fade:
            rising = rise(fade)
            sound[:fade] = self._tail[:fade] * (1 - rising) + sound[:fade] * rising
        self._tail = sound[frames * hop : (frames + wanted.overlap) * hop]
        keep = max(0, stop - wanted.context)
        self._codes, self._done = self._codes[keep:], stop - keep
        return sound[: frames * hop]

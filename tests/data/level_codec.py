"""A codec without weights, and a worker process that tokenizes with it."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from llasa.audio.audio import Audio
from llasa.base.errors import LlasaError
from llasa.data.tokenize import tokenize


class LevelCodec:
    """A real, if coarse, codec: the loudness of every 20 ms in 64 steps."""

    id = "level"
    codebook_size = 64
    frame_rate = 50.0
    input_rate = 8000

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay

    def encode(
        self, audios: Sequence[Audio | NDArray[np.float32]], rates: Sequence[int] = ()
    ) -> list[NDArray[np.int64]]:
        time.sleep(self.delay)
        codes = []
        for number, audio in enumerate(audios):
            sound = audio if isinstance(audio, Audio) else Audio(audio, rates[number])
            samples, rate = sound.samples, sound.rate
            if np.abs(samples).max() > 2:
                raise LlasaError("A recording is far too loud.")
            frames = samples[: len(samples) // (rate // 50) * (rate // 50)].reshape(-1, rate // 50)
            codes.append((np.abs(frames).mean(1) * 63).clip(0, 63).astype(np.int64))
        return codes


if __name__ == "__main__":
    manifest, out, delay = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where it was ignored
    codec = LevelCodec(float(delay))
    tokenize(manifest, out, codec, shard_size=4, progress=False)  # type: ignore[arg-type]

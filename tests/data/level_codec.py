"""A codec without weights, and a worker process that tokenizes with it."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from llasa.data.tokenize import tokenize
from llasa.errors import LlasaError


class LevelCodec:
    """A real, if coarse, codec: the loudness of every 20 ms in 64 steps."""

    codebook_size = 64
    frame_rate = 50.0

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay
        self.batches: list[list[int]] = []

    def encode(
        self, audios: Sequence[NDArray[np.float32]], rates: Sequence[int]
    ) -> list[NDArray[np.int64]]:
        time.sleep(self.delay)
        self.batches.append([len(a) for a in audios])
        if any(np.abs(a).max() > 2 for a in audios):
            raise LlasaError("A recording is far too loud.")
        codes = []
        for samples, rate in zip(audios, rates, strict=True):
            frames = samples[: len(samples) // (rate // 50) * (rate // 50)].reshape(-1, rate // 50)
            codes.append((np.abs(frames).mean(1) * 63).clip(0, 63).astype(np.int64))
        return codes


if __name__ == "__main__":
    manifest, out, delay = sys.argv[1:]
    tokenize(
        manifest,
        out,
        LevelCodec(float(delay)),
        codec_name="level",
        shard_size=4,
        batch_seconds=0.2,
        progress=False,
    )

"""Codes of many clips at once, each as it has them alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from llasa.audio.audio import INT16_SCALE
from llasa.codec.codec import Codec

Codes = NDArray[np.int64]


@torch.inference_mode()
def encode_clips(codec: Codec, clips: Sequence[NDArray[Any]], batch_seconds: float) -> list[Codes]:
    """Codes of each clip, float32 or 16-bit samples at the codec's input rate.

    As ``Codec.encode`` does, zeros fill the last frame of each clip. Clips of as many frames make a
    batch, so nothing else is padded and every clip has the codes that it has alone, up to rounding.
    """
    hop = codec.input_hop
    alike: dict[int, list[int]] = defaultdict(list)
    for number, clip in enumerate(clips):
        alike[len(clip) // hop + 1].append(number)
    found: dict[int, Codes] = {}
    for frames, numbers in sorted(alike.items()):
        rows = max(1, int(batch_seconds * codec.frame_rate / frames))
        for start in range(0, len(numbers), rows):
            part = numbers[start : start + rows]
            waves = np.zeros((len(part), frames * hop), clips[part[0]].dtype)
            for row, number in zip(waves, part, strict=True):
                row[: len(clips[number])] = clips[number]
            batch = torch.from_numpy(waves).to(codec.device)
            if not batch.is_floating_point():
                batch = batch.float() / INT16_SCALE
            found.update(zip(part, codec.model.encode(batch).cpu().numpy(), strict=True))
    return [found[number] for number in range(len(clips))]

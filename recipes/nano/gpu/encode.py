"""Pools to token shards: clips of one length go through the encoder together."""

from __future__ import annotations

import json
import shutil
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pool import RATE, Clip, Pool, pools

from llasa.base.files import read_json, write_atomic
from llasa.codec.codec import Codec
from llasa.codec.snake import compile_snake
from llasa.data.shards import META_FILE, ShardMeta, ShardWriter, shard_path
from llasa.text import clean_text

SHORTEST, LONGEST = 0.4, 16.0
"""Seconds of clips that are kept."""
BATCH_SECONDS = 600
Codes = NDArray[np.int64]


def encode_pool(pool: Pool, codec: Codec, batch_seconds: float) -> dict[int, Codes]:
    """Codes of the clips that have a text, by their number.

    As ``Codec.encode`` does, zeros fill the last frame of each clip. Clips of as many frames make a
    batch, so nothing else is padded and every clip has the codes that it has alone, up to rounding.
    """
    hop, samples, clips = codec.input_hop, pool.samples(), pool.clips()
    alike: dict[int, list[int]] = defaultdict(list)
    for number, clip in enumerate(clips):
        if clip.text and SHORTEST * RATE <= clip.samples <= LONGEST * RATE:
            alike[clip.samples // hop + 1].append(number)
    found: dict[int, Codes] = {}
    for frames, numbers in sorted(alike.items()):
        rows = max(1, int(batch_seconds * RATE / (frames * hop)))
        for start in range(0, len(numbers), rows):
            part = numbers[start : start + rows]
            waves = np.zeros((len(part), frames * hop), np.int16)
            for row, number in zip(waves, part, strict=True):
                clip = clips[number]
                row[: clip.samples] = samples[clip.start : clip.start + clip.samples]
            batch = torch.from_numpy(waves).to(codec.device).float() / 32767
            found.update(zip(part, codec.model.encode(batch).cpu().numpy(), strict=True))
    return found


@torch.inference_mode()
def encode(audio: Path, tokens: Path, codec: Codec, batch_seconds: float = BATCH_SECONDS) -> None:
    """A data set for every group of pools that has texts, in ``tokens``; what is there stays.

    Data sets made with another codec are thrown away.
    """
    if codec.device.type == "cuda":
        compile_snake(codec.model)
        torch.set_float32_matmul_precision("highest")  # the codes are those of any machine
        torch.backends.cudnn.allow_tf32 = False
    for folder in tokens.glob("*/"):
        if ShardMeta.load(folder).codec != codec.id:
            shutil.rmtree(folder)
    groups: dict[str, list[Pool]] = defaultdict(list)
    for pool in pools(audio):
        groups[pool.group].append(pool)
    for group, members in groups.items():
        if (tokens / group).exists() or not any(clip.text for clip in members[0].clips()):
            continue
        began = time.monotonic()
        meta = ShardMeta(codec.id, codec.codebook_size, float(codec.frame_rate), len(members))
        hidden = tokens / f".{group}"
        shutil.rmtree(hidden, ignore_errors=True)
        meta.save(hidden)
        count = 0
        for number, pool in enumerate(members):
            codes = encode_pool(pool, codec, batch_seconds)
            clips = pool.clips()
            with ShardWriter(hidden, number, meta) as writer:
                for index in sorted(codes):
                    clip: Clip = clips[index]
                    text = clean_text(clip.text or "").text
                    writer.add_timed(text, codes[index], clip.speaker, clip.timing, clip.phones)
                count += writer.codes
        hidden.rename(tokens / group)
        hours, seconds = count / codec.frame_rate / 3600, time.monotonic() - began
        print(f"{group}: {hours:.2f} h, {count:,} codes in {seconds:.0f} s", flush=True)


def sample(tokens: Path, out: Path, most: int) -> None:
    """Copy data sets into ``out``, the smallest first, as many shards as hold ``most`` codes."""
    shutil.rmtree(out, ignore_errors=True)

    def codes(folder: Path, number: int) -> int:
        return (shard_path(folder, number) / "codes.bin").stat().st_size // 2

    sizes = {
        folder: [codes(folder, n) for n in range(ShardMeta.load(folder).shards)]
        for folder in tokens.glob("*/")
    }
    for folder, shards in sorted(sizes.items(), key=lambda item: sum(item[1])):
        kept = int((np.cumsum(shards) <= most).sum())
        if kept == 0:
            break
        most -= sum(shards[:kept])
        for number in range(kept):
            shutil.copytree(shard_path(folder, number), shard_path(out / folder.name, number))
        meta = {**read_json(folder / META_FILE), "shards": kept}
        write_atomic(out / folder.name / META_FILE, (json.dumps(meta) + "\n").encode())

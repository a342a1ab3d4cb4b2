"""Pools to token shards: clips of one length go through the encoder together."""

from __future__ import annotations

import json
import shutil
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from encoding import Codes, encode_clips
from pool import RATE, Clip, Pool, pools

from llasa.base.files import read_json, write_atomic
from llasa.codec.codec import Codec
from llasa.codec.snake import compile_snake
from llasa.data.shard_writer import ShardWriter
from llasa.data.shards import META_FILE, ShardMeta, shard_path
from llasa.text import clean_text

SHORTEST, LONGEST = 0.4, 16.0
"""Seconds of clips that are kept."""
BATCH_SECONDS = 600


def encode_pool(pool: Pool, codec: Codec, batch_seconds: float) -> dict[int, Codes]:
    """Codes of the clips that have a text, by their number."""
    samples, clips = pool.samples(), pool.clips()
    kept = [
        number
        for number, clip in enumerate(clips)
        if clip.text and SHORTEST * RATE <= clip.samples <= LONGEST * RATE
    ]
    waves = [samples[clips[n].start :][: clips[n].samples] for n in kept]
    return dict(zip(kept, encode_clips(codec, waves, batch_seconds), strict=True))


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
                for index, found in codes.items():
                    clip: Clip = clips[index]
                    text = clean_text(clip.text or "")
                    writer.add_timed(text, found, clip.speaker, clip.timing, clip.phones)
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

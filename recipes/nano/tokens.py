"""Speak texts with hibari-tts straight into token shards: the sound is encoded and thrown away.

    python tokens.py CODEC TEXTS OUT_FOLDER --letters MANIFEST [--blocks 3] [--workers 2]

MANIFEST, hibari's clips with their phones, shows which letters make which sounds (`letters.py`).
Clips of as many frames are encoded together, so that each has the codes that it has alone, up to
rounding. Every block of texts becomes a data set of its own in OUT_FOLDER once it is complete.
Safe to interrupt: a rerun makes the shards that lack.
"""

from __future__ import annotations

import argparse
import zlib
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import soxr
from encoding import encode_clips
from letters import LetterModel, letter_model, letter_times, spoken_words
from script import run
from speech import RATE, trim
from timed_hibari import TimedHibari

from llasa.base.errors import LlasaError
from llasa.codec.codec import Codec
from llasa.codec.snake import compile_snake
from llasa.data.manifest import Utterance, read_manifest
from llasa.data.shard_writer import ShardWriter
from llasa.data.shards import ShardMeta, finished_shards
from llasa.models.find import find_codec

SHARD = 2000
"""Texts of a shard."""
SHORTEST = 0.3
"""Seconds of a clip that is kept."""
BATCH_SECONDS = 60
BLOCK = 24_000
"""Texts of a block: about 20 hours."""


def make_shard(
    number: int,
    first: int,
    texts: list[str],
    out: Path,
    meta: ShardMeta,
    codec: Codec,
    voice: TimedHibari,
    model: LetterModel,
) -> None:
    """One shard of texts, of which `first` is the number of the first."""
    clips, rows = [], []
    for place, text in enumerate(texts):
        samples, rate, times = voice.speak(text, np.random.default_rng(first + place))
        if len(samples) < SHORTEST * rate:
            continue
        samples, cut = trim(soxr.resample(samples, rate, RATE))
        clips.append(soxr.resample(samples, RATE, codec.model.config.input_rate))
        rows.append(Utterance(Path(), text=text, **times.moved(-cut)._asdict()))
    with ShardWriter(out, number, meta) as writer:
        for clip, codes in zip(rows, encode_clips(codec, clips, BATCH_SECONDS), strict=True):
            text = clip.text or ""
            timing = letter_times(clip, model)
            writer.add_timed(text, codes, "hibari_heart", timing, clip.phones)


def work(
    part: int, parts: int, codec_name: str, block: Path, texts: list[str], first: int, letters: Path
) -> None:
    """Every `parts`-th shard of a block that lacks, from the `part`-th."""
    codec, meta = Codec.load(find_codec(codec_name), "cpu"), ShardMeta.load(block)
    done = set(finished_shards(block, meta))
    missing = [number for number in range(part, meta.shards, parts) if number not in done]
    if not missing:
        return
    compile_snake(codec.model)
    voice, model = TimedHibari(), letter_model(spoken_words(read_manifest(letters)))
    for number in missing:
        some = slice(number * SHARD, (number + 1) * SHARD)
        make_shard(number, first + some.start, texts[some], block, meta, codec, voice, model)
        print(f"{block.name}: shard {number} of {meta.shards}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("codec")
    parser.add_argument("texts", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--letters", type=Path, required=True)
    parser.add_argument("--blocks", type=int, default=1000, help="end after so many")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    codec = Codec.load(find_codec(args.codec), "cpu")
    lines = args.texts.read_text().splitlines()
    for number, first in list(enumerate(range(0, len(lines), BLOCK)))[: args.blocks]:
        texts, whole = lines[first : first + BLOCK], args.out / f"{number:03d}"
        if whole.exists():
            if ShardMeta.load(whole).codec != codec.id:
                raise LlasaError(f"{whole} is of another codec: remove {args.out}.")
            continue
        block = args.out / f".{number:03d}"
        shards = -(-len(texts) // SHARD)
        source = f"hibari, CRC-32 {zlib.crc32(chr(10).join(texts).encode()):08x}"
        ShardMeta(codec.id, codec.codebook_size, float(codec.frame_rate), shards, source).save(
            block
        )
        context = get_context("spawn")
        common = (args.workers, args.codec, block, texts, first, args.letters)
        running = [
            context.Process(target=work, args=(part, *common)) for part in range(args.workers)
        ]
        for process in running:
            process.start()
        for process in running:
            process.join()
        if any(process.exitcode for process in running):
            raise SystemExit(f"A worker failed on {block}.")
        block.rename(whole)


if __name__ == "__main__":
    run(main)

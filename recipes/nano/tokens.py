"""Speak texts with hibari-tts straight into token shards: the sound is encoded and thrown away.

    python tokens.py CODEC TEXTS OUT_FOLDER --letters hibari/manifest.jsonl [--hours 150]
        [--part 0/2]

MANIFEST, hibari's clips with their phones, shows which letters make which sounds (`letters.py`).
Clips of as many frames are encoded together, so that each has the codes that it has alone, up to
rounding. Safe to interrupt: a rerun makes the shards that lack; `--part I/N` makes every N-th, for
processes beside each other.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

import numpy as np
import soxr
import torch
from letters import LONGEST, LetterModel, _key, letter_times, words_of
from numpy.typing import NDArray
from script import run
from speech import RATE, trim
from timed_hibari import TimedHibari

from llasa.codec.codec import Codec
from llasa.data.manifest import Utterance, read_manifest
from llasa.data.shards import ShardMeta, ShardWriter, finished_shards
from llasa.errors import LlasaError
from llasa.model_folder import find_codec

SHARD = 2000
"""Texts of a shard."""
SHORTEST = 0.3
"""Seconds of a clip that is kept."""
BATCH_SECONDS = 60
WORDS_AN_HOUR = 10_000
"""About what hibari says."""


def letter_model(manifest: Path) -> LetterModel:
    """Learnt from the words of clips with phones."""
    words: Counter[tuple[str, str]] = Counter(
        _key(clip, first, last, group)
        for clip in read_manifest(manifest)
        for first, last, _, group in words_of(clip)
        if last - first <= LONGEST
    )
    model = LetterModel(words)
    model.align = cache(model.align)  # type: ignore[method-assign]
    return model


def encode(codec: Codec, clips: list[NDArray[np.float32]]) -> list[NDArray[np.int64]]:
    """Codes of each clip at the codec's input rate, zeros filling its last frame."""
    hop = codec.model.config.hop
    alike: dict[int, list[int]] = defaultdict(list)
    for number, clip in enumerate(clips):
        alike[len(clip) // hop + 1].append(number)
    found: dict[int, NDArray[np.int64]] = {}
    for frames, numbers in alike.items():
        rows = max(1, int(BATCH_SECONDS * 50 / frames))
        for start in range(0, len(numbers), rows):
            part = numbers[start : start + rows]
            waves = np.zeros((len(part), frames * hop), np.float32)
            for row, number in zip(waves, part, strict=True):
                row[: len(clips[number])] = clips[number]
            codes = codec.model.encode(torch.from_numpy(waves))
            found.update(zip(part, codes.numpy(), strict=True))
    return [found[number] for number in range(len(clips))]


@torch.inference_mode()
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
        clips.append(soxr.resample(samples, RATE, codec.model.config.sample_rate))
        rows.append(Utterance(Path(), text=text, **times.moved(-cut)._asdict()))
    with ShardWriter(out, number, meta) as writer:
        for clip, codes in zip(rows, encode(codec, clips), strict=True):
            text = clip.text or ""
            timing = [
                (character / len(text), seconds * meta.frame_rate)
                for character, seconds in letter_times(clip, model)
            ]
            phones = [(symbol, end * meta.frame_rate) for symbol, end in clip.phones]
            writer.add(text, codes, "hibari_heart", timing, phones)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("codec")
    parser.add_argument("texts", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--letters", type=Path, required=True)
    parser.add_argument("--hours", type=float, default=150.0)
    parser.add_argument("--part", default="0/1", help="I/N: every N-th shard from the I-th")
    args = parser.parse_args()
    part, _, parts = args.part.partition("/")
    if not (part.isdigit() and parts.isdigit() and int(part) < int(parts)):
        parser.error(f"--part is {args.part}: give I/N, I from 0 to N - 1")
    texts, words = [], 0
    for text in args.texts.read_text().splitlines():
        words += len(text.split())
        if words > args.hours * WORDS_AN_HOUR:
            break
        texts.append(text)
    codec = Codec.load(find_codec(args.codec), "cpu")
    shards = -(-len(texts) // SHARD)
    source = f"hibari, {args.texts.name}, {len(texts)} texts"
    meta = ShardMeta(codec.id, codec.codebook_size, float(codec.frame_rate), shards, source)
    meta.save(args.out)
    if not texts:
        raise LlasaError(f"{args.texts} holds no texts")
    done = set(finished_shards(args.out, meta))
    missing = [n for n in range(int(part), shards, int(parts)) if n not in done]
    if missing:
        voice, model = TimedHibari(), letter_model(args.letters)
    for number in missing:
        first = number * SHARD
        make_shard(number, first, texts[first : first + SHARD], args.out, meta, codec, voice, model)
        print(f"shard {number} of {shards}", flush=True)


if __name__ == "__main__":
    run(main)

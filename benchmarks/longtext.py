"""A long text against its sentences spoken alone: words and voice.

    python benchmarks/longtext.py LIST.jsonl [--minutes 10] [--seeds 1] [--json out.json]

The sentences of a list ({"text": ...} a line, as of `llasa eval`) are spoken as one text, from a
stream that is cut where a part begins with a sentence, and each alone. Whisper writes down both;
GE2E compares both with the first sentence alone. Intervals are those of the difference, over the
pieces of the stream and their sentences drawn together.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import llasa
from llasa.evaluation.items import read_items
from llasa.evaluation.judges import Judges
from llasa.evaluation.statistics import Pair, change, estimate
from llasa.text import split_sentences
from llasa.verifiers import Candidate

LETTERS_PER_SECOND = 14
Spoken = Iterable[tuple[str, llasa.Audio]]
Rows = dict[str, list[Pair]]


def pieces(
    tts: llasa.Llasa, texts: list[str], seed: int
) -> Iterator[tuple[list[str], llasa.Audio]]:
    """Sentences of one text, and the sound of them, as they come."""
    whole = " ".join(texts)
    starts = list(accumulate((len(text) + 1 for text in texts[:-1]), initial=0))
    first = 0
    sound: list[NDArray[np.float32]] = []
    for chunk in tts.stream(whole, seed=seed):
        if chunk.span[0] > starts[first] and chunk.span[0] in starts:
            now = starts.index(chunk.span[0])
            yield texts[first:now], llasa.Audio(np.concatenate(sound), tts.rate)
            first, sound = now, []
        sound.append(chunk.samples)
    yield texts[first:], llasa.Audio(np.concatenate(sound), tts.rate)


def judge(judges: Judges, like: llasa.Audio, spoken: Spoken, rows: Rows) -> None:
    """Add a row to each measure: what the judges find, summed over texts and their sounds."""
    found: Rows = defaultdict(list)
    for text, audio in spoken:
        for name, pair in judges(Candidate(text=text, audio=audio, prompt=like)).measures.items():
            found[name].append(pair)
    for name, pairs in found.items():
        rows[name].append((sum(a for a, _ in pairs), sum(b for _, b in pairs)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("list", type=Path)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--minutes", type=float, default=10.0, help="of speech, about")
    parser.add_argument("--seeds", type=int, default=1, help="times that all is done")
    parser.add_argument("--json", type=Path, help="also write the results here")
    args = parser.parse_args()
    tts, judges = llasa.load(args.model), Judges("whisper,ge2e")
    lines = [" ".join(item.text.split()) for item in read_items(args.list) if item.text]
    texts = [text for text in lines if split_sentences(text) == [text]]
    count = np.searchsorted(np.cumsum([*map(len, texts)]), args.minutes * 60 * LETTERS_PER_SECOND)
    texts = texts[: int(count)]
    like = tts(texts[0], seed=0).audio
    alone: Rows = defaultdict(list)
    together: Rows = defaultdict(list)
    seconds = 0.0
    for seed in range(1, args.seeds + 1):
        done = 0
        for sentences, audio in pieces(tts, texts, seed):
            judge(judges, like, [(" ".join(sentences), audio)], together)
            single = (
                (text, tts(text, seed=seed * len(texts) + number).audio)
                for number, text in enumerate(sentences, done)
            )
            judge(judges, like, single, alone)
            seconds += audio.duration / args.seeds
            done += len(sentences)
            print(f"\rseed {seed}: {done}/{len(texts)} sentences", end="", flush=True)
        print()
    report = {"sentences": len(texts), "seeds": args.seeds, "seconds": seconds}
    print(f"{len(texts)} sentences, {seconds:.0f} s of speech, {args.seeds} seeds")
    print("| measure | alone | as one text | difference |\n|---|---|---|---|")
    for name, pairs in together.items():
        less = change(pairs, alone[name], quotient=False)
        values = [estimate(alone[name]).value, estimate(pairs).value]
        report[name] = {"alone": values[0], "together": values[1], "difference": less}
        print(
            f"| {name} | {values[0]:.3f} | {values[1]:.3f} | "
            f"{less.value:+.3f} ({less.low:+.3f} to {less.high:+.3f}) |"
        )
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

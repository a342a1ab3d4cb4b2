"""How exactly the words of a speech are timed, on speech whose times are known.

    python benchmarks/timings.py [MODEL] [--list LIST.jsonl] [--whisper] [--json out.json]

hibari-tts (pip install hibari-tts onnx) speaks sentences, thirty here or those of a list ({"text":
...} a line), and its network tells when each word begins and ends. The model gets the codes of that
sound as if it had spoken them, and times the words: by its own attention heads, and as it does
without them (in proportion to the letters). `--whisper` adds forced alignment by Whisper-base.
Errors are absolute, in milliseconds; "last ends" are apart from the others, as hibari counts the
silence in which a sentence fades away as its last phone. The goal is a mean of 60 ms over all.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np

import llasa
from llasa.base.errors import LlasaError
from llasa.evaluation.alignment import Aligner
from llasa.evaluation.items import read_items
from llasa.models.folder import ModelFiles
from llasa.tts.timing import Said, Timings
from llasa.verifiers.asr.whisper import Whisper
from sentences import HARVARD

RECIPE = Path(__file__).parents[1] / "recipes" / "nano"
GOAL = 60.0
"""Milliseconds."""
LONGER = """\
She had always wanted to speak in public, but her voice was weak and nobody ever asked her.
When the meeting ended, everyone went home; only the two brothers stayed behind.
I would rather walk to the station than wait here for another bus.
Is there anything in the house that we could eat tonight?
He opened the letter, read it twice, and put it back into the drawer.
Most people believe that the weather was better when they were young.
Yes, of course, you may take as many apples as you like.
The captain told the passengers that the ship would arrive an hour late.
Nothing that he said in the morning was true in the afternoon.
After the storm, the streets were full of branches and broken glass.
""".splitlines()
"""With commas and questions, which the others lack."""
Spans = list[tuple[float, float]]


def without_heads(tts: llasa.Llasa) -> llasa.Llasa:
    """The same model, which does not say which heads read."""
    settings = replace(tts.settings, alignment=None)
    files = ModelFiles(settings, tts.files.lm, tts.files.codec, tts.files.root)
    return llasa.Llasa(files, tts.vocabulary, tts.engine, tts.codec)


def times_of(timings: Timings) -> Spans:
    return [(word.start, word.end) for word in timings.words]


def timed(
    tts: llasa.Llasa, texts: list[str], voice: str | None, whisper: bool
) -> Iterator[tuple[Spans, dict[str, Spans], float, float]]:
    """Of each sentence the true times, those that were found, seconds of it and of the work."""
    sys.path.insert(0, str(RECIPE))
    hibari = import_module("timed_hibari").TimedHibari()
    rng, guessing = np.random.default_rng(0), without_heads(tts)
    aligner = Aligner(Whisper()) if whisper else None
    for text in texts:
        samples, rate, times = hibari.speak(text, rng)
        truth = [
            (start, end)
            for (_, start), (_, end) in zip(times.timing[::2], times.timing[1::2], strict=True)
        ]
        request = tts.request(text, voice=voice, seed=0)
        if len(request.passages) > 1 or len(truth) != len(text.split()):
            continue  # hibari did not say when each word is spoken, or it is more than a sentence
        (codes,) = tts.codec.encode([llasa.Audio(samples, rate)])
        embedding = None if request.voice is None else request.voice.speaker_embedding
        (sound,) = tts.codec.decode([codes], embedding)
        said = Said(request.passages[0], request.voice, False, codes, (), False, 0.0, 1.0)
        began = time.perf_counter()
        own = tts.timer.part(text, said, sound)
        took = time.perf_counter() - began
        found: dict[str, Spans] = {own.source: times_of(own)}
        found["estimate"] = times_of(guessing.timer.part(text, said, sound))
        if aligner is not None:
            clip = llasa.Audio(samples, rate).resample(16_000).samples
            found["whisper"] = [(a, b) for a, b in aligner.words(clip, text.split())]
        yield truth, found, len(samples) / rate, took


def errors_of(truth: Spans, found: Spans) -> dict[str, list[float]]:
    """Milliseconds, too late where positive, by kind of border."""
    if len(truth) != len(found):
        raise LlasaError(f"{len(truth)} words were said, but {len(found)} were timed.")
    starts, ends = (
        1000 * (np.array(b) - np.array(a))
        for a, b in zip(zip(*truth, strict=True), zip(*found, strict=True), strict=True)
    )
    return {
        "first starts": starts[:1].tolist(),
        "other starts": starts[1:].tolist(),
        "last ends": ends[-1:].tolist(),
        "other ends": ends[:-1].tolist(),
        "all": [*starts.tolist(), *ends.tolist()],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="nano")
    parser.add_argument("--list", type=Path, help="other sentences")
    parser.add_argument("--voice", help="the model's voice that is nearest to hibari's (default)")
    parser.add_argument("--whisper", action="store_true", help="also by forced alignment")
    parser.add_argument("--json", type=Path, help="also write the results here")
    args = parser.parse_args()
    tts = llasa.load(args.model)
    texts = [*HARVARD, *LONGER]
    if args.list is not None:
        texts = [item.text or "" for item in read_items(args.list)]
    errors: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    sentences, seconds, work = 0, 0.0, 0.0
    for truth, times, length, took in timed(tts, texts, args.voice, args.whisper):
        sentences, seconds, work = sentences + 1, seconds + length, work + took
        for source, spans in times.items():
            for border, values in errors_of(truth, spans).items():
                errors[source][border] += values
    print(f"{sentences} sentences, {seconds:.0f} s; {1000 * work / seconds:.1f} ms for a second")
    print("| timed by | borders | n | mean error, ms | 95 % below | bias |")
    print("|---|---|---|---|---|---|")
    report: dict[str, dict[str, dict[str, float]]] = {}
    for source, kinds in errors.items():
        report[source] = {}
        for border, values in kinds.items():
            mean, most = np.abs(values).mean(), np.percentile(np.abs(values), 95)
            row = {"n": len(values), "mean": mean, "p95": most, "bias": np.mean(values)}
            report[source][border] = {name: round(float(value), 1) for name, value in row.items()}
            numbers = f"{len(values)} | {mean:.0f} | {most:.0f} | {row['bias']:+.0f}"
            print(f"| {source} | {border} | {numbers} |")
    found = report.get("attention", report["estimate"])["all"]["mean"]
    word = "met" if found <= GOAL else "missed"
    print(f"Mean error {found:.0f} ms: the goal of {GOAL:.0f} ms is {word}.")
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

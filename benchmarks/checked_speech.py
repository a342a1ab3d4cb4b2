"""What checked speech gains and costs: word errors and CPU time with `check` and without.

    python benchmarks/checked_speech.py LIST.jsonl [--model nano] [--seeds 3] [--limit N]
        [--json out.json]

The list, {"text": ..., "said": ...} a line, is to hold sentences that nothing was chosen with. Who
checks is `content` (Moonshine); words are counted by a recogniser that took no part (`--judge`).
Each sentence is spoken alone, plainly and checked in turn, so that other work on the machine hits
both; CPU seconds are those of all threads. Set OMP_NUM_THREADS to choose the threads.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import llasa
from llasa.base.errors import LlasaError
from llasa.base.files import write_json
from llasa.evaluation.experiment import as_file, machine
from llasa.evaluation.items import Item, choose, read_items
from llasa.evaluation.judges import Judges
from llasa.evaluation.statistics import Pair, change, estimate
from llasa.verifiers import Candidate

WAYS = ("plain", "checked")


def speak(tts: llasa.Llasa, item: Item, seed: int, way: str) -> tuple[llasa.Speech, float]:
    """The speech, and its CPU seconds."""
    began = time.process_time()
    speech = tts(item.text or "", seed=seed, check=way == "checked")
    return speech, time.process_time() - began


def measure(
    tts: llasa.Llasa, judges: Judges, items: Sequence[Item], seeds: int
) -> Iterator[dict[str, Any]]:
    """A row for every sentence, seed and way: its word errors and CPU seconds."""
    for way in WAYS:
        speak(tts, items[0], 0, way)  # opens the models
    for seed in range(seeds):
        for item in items:
            for way in WAYS:
                speech, cpu = speak(tts, item, seed, way)
                found = judges(Candidate(item.words, as_file(speech.audio)))
                yield {
                    "id": item.id,
                    "seed": seed,
                    "way": way,
                    "measures": found.measures,
                    "heard": found.heard,
                    "cpu_seconds": round(cpu, 3),
                    "seconds": round(speech.seconds, 3),
                    "checks": [check.to_dict() for check in speech.checks],
                }


def table(rows: Sequence[dict[str, Any]]) -> tuple[list[str], dict[str, Any]]:
    """Lines of a table with 95 % intervals over all that was spoken, and the same as numbers."""
    measures = dict.fromkeys(name for row in rows for name in row["measures"])
    wanted: dict[str, float] = {**{f"{name} %": 100.0 for name in measures}, "CPU s": 1.0}
    lines, numbers = [f"| | {' | '.join(WAYS)} | quotient |", "|---|---|---|---|"], {}
    for title, factor in wanted.items():
        name = title.removesuffix(" %")
        by_way: list[list[Pair]] = [
            [
                (row["cpu_seconds"], 1.0) if title == "CPU s" else row["measures"][name]
                for row in rows
                if row["way"] == way and (title == "CPU s" or name in row["measures"])
            ]
            for way in WAYS
        ]
        plain, checked = by_way
        found = [estimate(plain), estimate(checked), change(checked, plain, quotient=True)]
        factors = (factor, factor, 1.0)
        cells = [
            f"{f * e.value:.2f} ({f * e.low:.2f} to {f * e.high:.2f})"
            for f, e in zip(factors, found, strict=True)
        ]
        lines.append(f"| {title} | {' | '.join(cells)} |")
        numbers[name] = {
            key: e._asdict() for key, e in zip((*WAYS, "quotient"), found, strict=True)
        }
    return lines, numbers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("list", type=Path, help='JSONL, {"text": ...} a line')
    parser.add_argument("--model", default="nano")
    parser.add_argument("--judge", default="whisper", help="who counts the words (whisper)")
    parser.add_argument("--seeds", type=int, default=3, help="times that all is spoken (3)")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N sentences")
    parser.add_argument("--json", type=Path, help="also write the results here")
    args = parser.parse_args()
    if args.seeds < 1 or (args.limit is not None and args.limit < 1):
        parser.error("--seeds and --limit must be 1 or more.")
    try:
        items, language = choose(read_items(args.list), None, args.limit, "text")
        judges = Judges(args.judge, language, chosen_by="content")
        judges.load()
        tts = llasa.load(args.model)
        rows = list(measure(tts, judges, items, args.seeds))
    except LlasaError as error:
        parser.error(str(error))
    print(*judges.warnings, f"{machine()}; {len(items)} sentences, {args.seeds} seeds", sep="\n")
    lines, numbers = table(rows)
    print(*lines, sep="\n")
    checks = [check for row in rows for check in row["checks"]]
    again = [check for check in checks if check["tries"] > 1]
    print(f"{len(again)} of {len(checks)} sentences were spoken again:")
    for check in again:
        print(f"- {check['tries']} tries, {'right' if check['ok'] else 'wrong'}: {check['text']}")
    if args.json:
        report = {"machine": machine(), "list": args.list.name, "model": args.model}
        write_json(args.json, {**report, "results": numbers, "rows": rows}, indent=1)


if __name__ == "__main__":
    main()

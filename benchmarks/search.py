"""Wall time of best-of-N, judged by content and speaker, against best-of-1.

    python benchmarks/search.py [--model nano] [--n 16] [--repeats 5] [--json out.json]

Runs of all ways alternate, so that other work on the machine hits each; ratios are medians over the
rounds. Best-of-1 is the plain call without a search. CPU seconds are those of all threads: they say
what the work is where others use the machine, too; language model and codec are by the clock.
Verifiers compare with a recording of the model itself, so that models without voice prompts can be
measured. Models are opened before.
Set OMP_NUM_THREADS to choose the threads.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch

import llasa
from llasa.search.result import Compute
from llasa.search.strategies import Strategy

TEXT = "The boy was there when the sun rose, and the dog ran after him."


def ways(
    n: int, verify: str, screens: list[int], threshold: str | None, reference: llasa.Audio
) -> dict[str, Strategy | None]:
    """What is compared, by name."""
    judging: dict[str, Any] = {"verify": verify, "reference": reference}
    many = partial(llasa.best_of_n, n=n, **judging)
    found: dict[str, Strategy | None] = {
        "best-of-1": None,
        "best-of-1, judged": partial(llasa.sample, **judging),
        f"best-of-{n}": many,
    }
    names = verify.split(",")
    for last in names if len(names) > 1 else []:
        order = ",".join([*(name for name in names if name != last), last])
        found[f"best-of-{n}, lazy, {last} last"] = partial(many, verify=order, lazy=True)
    for heard in screens:
        found[f"best-of-{n}, {heard} heard"] = partial(many, screen=heard)
    if threshold is not None:
        enough = [float(number) for number in threshold.split(",")]
        found[f"best-of-{n}, until {threshold}"] = partial(many, threshold=enough)
    return found


def once(tts: llasa.Llasa, text: str, seed: int, search: Strategy | None) -> dict[str, float]:
    """Seconds of one call, and where a search spent them."""
    wall, cpu = time.perf_counter(), time.process_time()
    speech = tts(text, seed=seed, search=search)
    row = {"seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    compute = sum((part.compute for part in speech.search), Compute())
    row["audio"] = compute.audio_seconds or speech.seconds
    row["lm"], row["codec"] = compute.lm_seconds, compute.codec_seconds
    return row | {f"{name}, cpu": cost.cpu_seconds for name, cost in compute.verifiers.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="nano")
    parser.add_argument("--text", default=TEXT)
    parser.add_argument("--n", type=int, default=16)
    parser.add_argument("--verify", default="content,speaker")
    parser.add_argument(
        "--screens", type=int, nargs="*", default=[4, 2], help="takes heard in screened searches"
    )
    parser.add_argument("--threshold", help="also measure with an early exit at these scores")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the results here")
    args = parser.parse_args()
    tts = llasa.load(args.model)
    reference = tts("This is my voice.", seed=0).audio
    compared = ways(args.n, args.verify, args.screens, args.threshold, reference)
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in compared}
    for seed in range(-1, args.repeats):
        for name, search in compared.items():
            row = once(tts, args.text, max(seed, 0), search)
            if seed >= 0:  # the first round opens models and warms up
                rows[name].append(row)
    base = rows["best-of-1"]
    results = {
        name: {
            "ratio": ratio(own, base, "seconds"),
            "cpu_ratio": ratio(own, base, "cpu"),
            **{key: statistics.median(row[key] for row in own) for key in own[0]},
        }
        for name, own in rows.items()
    }
    report = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "model": args.model,
        "text": args.text,
        "repeats": args.repeats,
        "results": results,
    }
    print(f"{report['machine']}, {report['threads']} threads, torch {torch.__version__}")
    longest = max(results.values(), key=len)
    keys = list(longest)
    print(f"| | {' | '.join(keys)} |\n|---|{'---|' * len(keys)}")
    for name, row in results.items():
        print(f"| {name} | {' | '.join(f'{row[k]:.2f}' if k in row else '-' for k in keys)} |")
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def ratio(own: list[dict[str, float]], base: list[dict[str, float]], key: str) -> float:
    """Median of the quotients of each round."""
    return statistics.median(a[key] / b[key] for a, b in zip(own, base, strict=True))


if __name__ == "__main__":
    main()

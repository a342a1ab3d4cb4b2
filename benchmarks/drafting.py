"""Speed of decoding plainly, by lookup and by a draft head, and whether the tokens are equal.

    python benchmarks/drafting.py [MODEL] [--head FILE] [--most 1 2 4] [--json out.json]

Says texts with the model's own sampling on one thread, each side in turn with the same seeds, so
that other work on the machine hits all; a ratio is the median over the texts. Times are those that
the process computed (CPU seconds), which other work disturbs least; ``--wall`` takes those of the
clock. Without ``--head`` that of the model folder is taken, if it has one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import torch

import llasa
from llasa.lm.draft_head import HeadDrafter, load_draft_head
from llasa.lm.drafting import Drafter, Lookup
from llasa.lm.engine import generate
from llasa.lm.torch import TorchEngine
from llasa.models.find import DEFAULT_MODEL

TEXTS = (
    "The early train was late again, and nobody on the platform seemed surprised.",
    "Please leave the parcel with my neighbour, who is at home all day.",
    "We walked along the river until the lights of the town went out.",
    "Nothing in the letter explained why she had left so suddenly.",
    "A small boat with a red sail came slowly round the point.",
    "He asked for two tickets, one of them for a child of seven.",
    "The meeting begins at nine, so do not forget to bring your notes.",
    "Snow fell through the night and covered every road in the valley.",
    "My grandmother kept her recipes in a tin above the kitchen door.",
    "If the weather is fine tomorrow, we shall climb the hill behind the house.",
    "The museum shows paintings that were never meant to be seen.",
    "Turn left at the old mill, and then follow the path through the wood.",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default=DEFAULT_MODEL)
    parser.add_argument("--head", type=Path, help="file of a draft head")
    parser.add_argument("--most", type=int, nargs="+", default=[1, 2, 4], help="drafted tokens")
    parser.add_argument("--texts", type=int, default=len(TEXTS))
    parser.add_argument("--batches", type=int, nargs="+", default=[1], help="sequences of a text")
    parser.add_argument("--wall", action="store_true", help="times of the clock")
    parser.add_argument("--json", type=Path, help="also write the results here")
    args = parser.parse_args()
    torch.set_num_threads(1)
    tts = llasa.load(args.model, device="cpu")
    engine = tts.engine
    assert isinstance(engine, TorchEngine)
    sides: dict[str, Drafter | None] = {"plain": None}
    head = args.head or tts.files.draft
    for most in args.most:
        sides[f"lookup {most}"] = Lookup(most)
        if head is not None:
            options = (engine.decoder, engine.columns, most)
            sides[f"head {most}"] = HeadDrafter(load_draft_head(head), *options)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, 1 thread, torch {torch.__version__}"
    print(f"{tts.name}, {machine}")
    print("| batch | drafts | tokens a pass | tokens/s | times plain | other tokens |")
    print("|---|---|---|---|---|---|")
    clock = time.perf_counter if args.wall else time.process_time
    rows = []
    for batch in args.batches:
        found = measure(tts, engine, sides, TEXTS[: args.texts], batch, clock)
        for row in found:
            print("| {batch} | {drafts} | {per_pass:.2f} | {rate:.0f} | ".format(**row), end="")
            print("{ratio:.2f} | {other} |".format(**row), flush=True)
        rows += found
    if args.json:
        report = {"machine": machine, "model": tts.name, "results": rows}
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def measure(
    tts: llasa.Llasa,
    engine: TorchEngine,
    sides: dict[str, Drafter | None],
    texts: tuple[str, ...],
    batch: int,
    clock: Any,
) -> list[dict[str, Any]]:
    """A row a side; ``other`` counts the sequences that are not those of plain decoding."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    passes, tokens, other = dict.fromkeys(sides, 0), 0, dict.fromkeys(sides, 0)
    for number, text in enumerate(("Hello.", *texts)):  # the first one warms up
        task = tts.task(tts.request(text, seed=number))
        plain: list[list[int]] = []
        for name, drafter in sides.items():
            engine.drafter, engine.passes = drafter, 0
            begun = clock()
            spoken = [g.tokens for g in generate(engine, [task.prompt] * batch, task.params)]
            took = clock() - begun
            if not number:
                continue
            plain = plain or spoken
            seconds[name].append(took)
            passes[name] += engine.passes
            other[name] += sum(a != b for a, b in zip(spoken, plain, strict=True))
        tokens += sum(map(len, plain))
    return [
        {
            "batch": batch,
            "drafts": name,
            "per_pass": tokens / passes[name] / batch,
            "rate": tokens / sum(own),
            "ratio": statistics.median(p / s for p, s in zip(seconds["plain"], own, strict=True)),
            "other": other[name],
        }
        for name, own in seconds.items()
    ]


if __name__ == "__main__":
    main()

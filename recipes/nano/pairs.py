"""Pairs of a better and a worse take of the same text, from what `takes.py` noted.

    python pairs.py OUT.jsonl TAKES.jsonl [TAKES.jsonl ...]

The best take is paired with the worst, the second best with the second worst, while their scores
are at least `--least` apart and the better one is itself at least `--good`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from script import run

from llasa.data.manifest import parse_row
from llasa.errors import LlasaError
from llasa.files import write_atomic


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("takes", type=Path, nargs="+")
    parser.add_argument("--pairs", type=int, default=2, help="of a text, at most")
    parser.add_argument("--least", type=float, default=0.08)
    parser.add_argument("--good", type=float, default=-0.25)
    args = parser.parse_args()
    texts = {row["said"]: row["takes"] for path in args.takes for row in read(path)}
    pairs = [
        {"text": text, "chosen": better["codes"], "rejected": worse["codes"]}
        for text, takes in texts.items()
        for better, worse in paired(takes, args.pairs, args.least, args.good)
    ]
    if not pairs:
        raise SystemExit("pairs.py: no text has takes that differ enough; make more takes")
    write_atomic(args.out, "".join(json.dumps(pair) + "\n" for pair in pairs).encode())
    print(f"{args.out}: {len(pairs)} pairs of {len(texts)} texts")


def read(path: Path) -> list[dict[str, Any]]:
    """What `takes.py` wrote."""
    rows = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        where = f"{path}, line {number}"
        row = parse_row(line, where, '{"said": ..., "takes": [...]}')
        if not isinstance(row.get("said"), str) or not isinstance(row.get("takes"), list):
            raise LlasaError(f"{where}: it has no takes; give what takes.py wrote.")
        rows.append(row)
    return rows


def paired(
    takes: list[dict[str, Any]], most: int, least: float, good: float
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Better and worse takes, none of them twice; those without a score take no part."""
    order = sorted((t for t in takes if t["score"] is not None), key=lambda t: -t["score"])
    couples = zip(order[: len(order) // 2], reversed(order), strict=False)
    return [
        (better, worse)
        for better, worse in list(couples)[:most]
        if better["score"] >= good and better["score"] - worse["score"] >= least
    ]


if __name__ == "__main__":
    run(main)

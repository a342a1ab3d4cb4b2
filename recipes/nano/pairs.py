"""Pairs of a better and a worse take of the same text, from what `takes.py` noted.

    python pairs.py OUT.jsonl TAKES.jsonl [TAKES.jsonl ...]

The best take is paired with the worst, the second best with the second worst, while their scores
are at least `--least` apart and the better one is itself at least `--good`.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from script import run

from llasa.base import jsonl
from llasa.base.errors import LlasaError
from llasa.base.files import write_atomic


class Take(NamedTuple):
    """One way in which a text was said."""

    codes: list[int]
    score: Any
    """A number, or None where nobody judged it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("takes", type=Path, nargs="+")
    parser.add_argument("--pairs", type=int, default=2, help="of a text, at most")
    parser.add_argument("--least", type=float, default=0.08)
    parser.add_argument("--good", type=float, default=-0.25)
    args = parser.parse_args()
    if args.out.resolve() in [path.resolve() for path in args.takes]:
        parser.error("OUT would replace the takes: give another file")
    texts: dict[str, list[Take]] = defaultdict(list)
    for path in args.takes:
        for said, takes in read(path):
            texts[said] += takes
    pairs = [
        {"text": text, "chosen": better.codes, "rejected": worse.codes}
        for text, takes in texts.items()
        for better, worse in paired(takes, args.pairs, args.least, args.good)
    ]
    if not pairs:
        raise SystemExit("No text has takes that differ enough: make more takes.")
    write_atomic(args.out, b"".join(map(jsonl.render, pairs)))
    print(f"{args.out}: {len(pairs)} pairs of {len(texts)} texts")


def read(path: Path) -> Iterator[tuple[str, list[Take]]]:
    """Texts and their takes, as `takes.py` wrote them, but those that could not be said."""
    for number, line in jsonl.lines(path.read_bytes()):
        where = f"{path}, line {number}"
        row = jsonl.parse_object(line, where, '{"said": ..., "takes": [...]}')
        try:
            takes = [Take(list(take["codes"]), _score(take["score"])) for take in row["takes"]]
            said = str(row["said"])
        except (KeyError, TypeError, ValueError) as error:
            raise LlasaError(f"{where}: these are no takes; give what takes.py wrote.") from error
        if said:
            yield said, takes


def _score(value: Any) -> float | None:
    return None if value is None else float(value)


def paired(takes: list[Take], most: int, least: float, good: float) -> list[tuple[Take, Take]]:
    """Better and worse takes, none of them twice; those without a score take no part."""
    order = sorted((take for take in takes if take.score is not None), key=lambda t: -t.score)
    couples = list(zip(order[: len(order) // 2], reversed(order), strict=False))
    return [
        (better, worse)
        for better, worse in couples[:most]
        if better.score >= good and better.score - worse.score >= least
    ]


if __name__ == "__main__":
    run(main)

"""Short commands of a small vocabulary: some to learn from, others to be tested with.

    python commands.py TRAIN.txt TEST.txt [--learnt 4000] [--tested 100]

Every word occurs in both lists, but no command does.
"""

from __future__ import annotations

import argparse
import random
from itertools import product
from pathlib import Path

from llasa.base.files import write_atomic

VERBS = ("open", "close", "check", "clean", "find", "move", "paint", "lock")
PLACES = ("kitchen", "garden", "bedroom", "office", "cellar", "school")
THINGS = ("window", "door", "table", "clock", "chair", "lamp", "box", "shelf")
HOURS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
TIMES = ("now", "today", "tomorrow", "tonight", *(f"at {hour}" for hour in HOURS))


def commands() -> list[str]:
    """All of them, in a random order that is always the same."""
    parts = product(VERBS, PLACES, THINGS, TIMES)
    all_of_them = [f"{verb} the {place} {thing} {time}." for verb, place, thing, time in parts]
    random.Random(0).shuffle(all_of_them)
    return [command.capitalize() for command in all_of_them]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--learnt", type=int, default=4000, metavar="N")
    parser.add_argument("--tested", type=int, default=100, metavar="N")
    args = parser.parse_args()
    texts = commands()
    if args.learnt < 1 or args.tested < 1 or args.learnt + args.tested > len(texts):
        parser.error(f"there are {len(texts)} commands: give 1 or more for each list")
    lists = {args.test: texts[: args.tested], args.train: texts[args.tested :][: args.learnt]}
    for path, some in lists.items():
        write_atomic(path, "".join(f"{text}\n" for text in some).encode())


if __name__ == "__main__":
    main()

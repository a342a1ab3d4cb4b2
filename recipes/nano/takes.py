"""Let the model say each text several times, and note what a recogniser makes of every take.

    python takes.py TEXTS OUT.jsonl --sentences 2000 [--takes 8] [--part 0/2]

One line a text: as the model was given it, and its takes with their codes and scores (of
Moonshine: minus the share of wrong words, and its own doubt as a tie-break). Of `--part K/N` every
Nth text from the Kth on is spoken, so that several of these can share a list. Safe to interrupt: a
rerun goes on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from script import run

import llasa
from llasa.training.distill.takes import choose, speak_takes

WORDS = (6, 20)
"""Words of a text: a single one says little about reading, long ones take long."""
VERIFIER = "moonshine"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("texts", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--sentences", type=int, default=2000)
    parser.add_argument("--takes", type=int, default=8)
    parser.add_argument("--temperature", type=float, default=0.4, help="above that of the model")
    parser.add_argument("--top-k", type=int, default=30)
    parser.add_argument("--part", default="0/1", metavar="K/N")
    args = parser.parse_args()
    part, _, parts = args.part.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and int(part) < int(parts)):
        parser.error("--part must be K/N, K from 0 to N - 1")
    if args.sentences < 1:
        parser.error("--sentences must be 1 or more")
    lines = args.texts.read_text().splitlines()
    texts = choose(lines, args.sentences, WORDS)[int(part) :: int(parts)]
    torch.set_num_threads(1)
    tts = llasa.load(args.model)
    if tts.capabilities.lm_clones:
        parser.error(f"{args.model} goes on from a voice, which pairs do not have: take another")
    sampling = {"temperature": args.temperature, "top_k": args.top_k}
    speak_takes(tts, texts, args.out, args.takes, VERIFIER, **sampling)
    print(f"{args.out}: {len(texts)} texts")


if __name__ == "__main__":
    run(main)

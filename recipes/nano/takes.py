"""Let the model say each text several times, and note what a recogniser makes of every take.

    python takes.py TEXTS OUT.jsonl --sentences 2000 [--takes 8] [--part 0/2]

One line a text: as the model was given it, and its takes with their codes and scores (of
Moonshine: minus the share of wrong words, and its own doubt as a tie-break). Of `--part K/N` every
Nth text from the Kth on is spoken, so that several of these can share a list. Safe to interrupt: a
rerun goes on.
"""

from __future__ import annotations

import argparse
import random
from functools import partial
from pathlib import Path
from typing import Any

import torch
from script import run

import llasa
from llasa.base.errors import LlasaError
from llasa.base.rows import Rows

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
    texts = choose(args.texts.read_text().splitlines(), args.sentences)[int(part) :: int(parts)]
    torch.set_num_threads(1)
    tts = llasa.load(args.model)
    if tts.capabilities.lm_clones:
        parser.error(f"{args.model} goes on from a voice, which pairs do not have: take another")
    rows = Rows(args.out, lambda row: row["text"])
    search = partial(llasa.best_of_n, n=args.takes, verify=VERIFIER)
    sampling = {"temperature": args.temperature, "top_k": args.top_k}
    for number, text in enumerate(texts):
        if text not in rows:
            try:
                said = takes_of(tts(text, seed=number, search=search, **sampling), tts)
            except LlasaError as error:
                said = {"said": "", "takes": [], "problem": str(error)}
            rows.add({"text": text, **said})
    print(f"{args.out}: {len(texts)} texts")


def choose(lines: list[str], count: int) -> list[str]:
    """So many texts in a random order, always the same."""
    least, most = WORDS
    lines = [line for line in lines if least <= len(line.split()) <= most]
    random.Random(0).shuffle(lines)
    return lines[:count]


def takes_of(speech: llasa.Speech, tts: llasa.Llasa) -> dict[str, Any]:
    """What the model was given to say, and the takes that came to an end, the best first.

    None where the text was said in several parts.
    """
    if len(speech.search) != 1:
        return {"said": "", "takes": []}
    (part,) = speech.search
    takes = [
        {"codes": take.codes.tolist(), "score": take.to_dict()["scores"][VERIFIER]}
        for take in part.candidates
        if take.finish == "stop"
    ]
    return {"said": tts.settings.form(part.text), "takes": takes}


if __name__ == "__main__":
    run(main)

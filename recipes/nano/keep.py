"""Keep what the campaign has learnt with the project, in half precision.

    python keep.py codec RUN_FOLDER OUT
    python keep.py lm RUN_FOLDER OUT

Takes the newest checkpoint of a run. A campaign without its work folder goes on from there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from script import run

from llasa.base.errors import LlasaError
from llasa.codec.codec import Codec
from llasa.lm.checkpoint import load_llama, save_llama
from llasa.training.checkpoint import checkpoints
from llasa.vocabulary.vocabulary import Vocabulary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["codec", "lm"])
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    if not (found := checkpoints(args.run)):
        raise LlasaError(f"{args.run} has no checkpoint yet: train first.")
    step, folder = found[-1]
    if args.kind == "codec":
        Codec.load(folder, "cpu").save(args.out, half=True)
    else:
        save_llama(load_llama(folder), args.out, half=True)
        Vocabulary.load(folder).save(args.out)
    print(f"{args.out}: {args.kind} of step {step}")


if __name__ == "__main__":
    run(main)

"""Keep what the campaign has learnt with the project, in half precision.

    python keep.py codec|lm|decoder RUN_FOLDER OUT

Takes the newest checkpoint of a run. A campaign without its work folder goes on from there, at the
step that `OUT/KIND.step` names, with fresh optimizers.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from safetensors.torch import save_file
from script import run

from llasa.base.errors import LlasaError
from llasa.base.files import atomic_path, write_atomic
from llasa.codec.codec import Codec
from llasa.lm.checkpoint import load_llama, save_llama
from llasa.training.checkpoint import checkpoints, load_state
from llasa.vocabulary.vocabulary import Vocabulary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["codec", "lm", "decoder"])
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    if not (found := checkpoints(args.run)):
        raise LlasaError(f"{args.run} has no checkpoint yet: train first.")
    step, folder = found[-1]
    if args.kind == "lm":
        save_llama(load_llama(folder), args.out / "lm", half=True)
        Vocabulary.load(folder).save(args.out / "lm")
    else:
        Codec.load(folder, "cpu").save(args.out / "codec", half=True)
    if args.kind == "decoder":
        weights = load_state(folder)["discriminators"]
        with atomic_path(args.out / "discriminators.safetensors") as path:
            save_file({name: weight.half() for name, weight in weights.items()}, path)
    write_atomic(args.out / f"{args.kind}.step", f"{step}\n".encode())
    print(f"{args.out}: {args.kind} of step {step}")


if __name__ == "__main__":
    run(main)

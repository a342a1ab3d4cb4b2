"""``llasa train codec``, ``llasa train lm`` and ``llasa train grpo``."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path

from llasa.base.errors import LlasaError
from llasa.cli.parser import Parser

NEXT_CODEC = """{0} is the codec. Next, recordings become codes, from which a language model learns:
    llasa data tokenize MANIFEST.jsonl -o tokens --codec {0}
    llasa train lm LM.yaml"""
NEXT_LM = """{0} is the language model. Next, pack it with its codec and hear it:
    llasa pack {0} CODEC -o mine
    llasa say "Hello." --model mine --play"""


def train_command(train: Parser) -> None:
    train.epilog = (
        "Settings come from the YAML file and from key=value, which wins. A run whose folder holds "
        "checkpoints is continued. Several GPUs: torchrun --nproc-per-node N -m llasa train ..."
    )
    train.add_argument("kind", choices=("codec", "lm", "grpo"))
    train.add_argument(
        "settings",
        nargs="+",
        metavar="CONFIG.yaml | key=value",
        help="a settings file, and overrides such as run.steps=1000",
    )
    train.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    overrides = [item for item in args.settings if "=" in item]
    paths = [item for item in args.settings if "=" not in item]
    if len(paths) > 1:
        raise LlasaError(
            f"{paths[1]!r} is neither a second settings file (one is enough) nor key=value."
        )
    from llasa.training.config import load_settings

    path = paths[0] if paths else None
    if args.kind == "codec":
        from llasa.training.codec.settings import CodecTraining
        from llasa.training.codec.trainer import train_codec

        codec = load_settings(CodecTraining, path, overrides)
        train_codec(codec)
        _say_next(codec.run.out, NEXT_CODEC)
    elif args.kind == "grpo":
        from llasa.training.lm.grpo import GRPOTraining, train_grpo

        grpo = load_settings(GRPOTraining, path, overrides)
        train_grpo(grpo)
        _say_next(grpo.run.out, NEXT_LM)
    else:
        from llasa.training.lm.settings import LMTraining
        from llasa.training.lm.trainer import train_lm

        lm = load_settings(LMTraining, path, overrides)
        train_lm(lm)
        _say_next(lm.run.out, NEXT_LM)


def _say_next(run: str, commands: str) -> None:
    """What to do with the last checkpoint of a run that has ended, told once."""
    from llasa.training.checkpoint import checkpoints

    found = checkpoints(Path(run))
    if found and os.environ.get("RANK", "0") == "0":
        print(f"llasa: {commands.format(shlex.quote(str(found[-1][1])))}", file=sys.stderr)

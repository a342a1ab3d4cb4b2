"""``llasa train codec`` and ``llasa train lm``."""

from __future__ import annotations

import argparse

from llasa.base.errors import LlasaError
from llasa.cli.parser import Parser


def train_command(train: Parser) -> None:
    train.epilog = (
        "Settings come from the YAML file and from key=value, which wins. A run whose folder holds "
        "checkpoints is continued. Several GPUs: torchrun --nproc-per-node N -m llasa train ..."
    )
    train.add_argument("kind", choices=("codec", "lm"))
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

        train_codec(load_settings(CodecTraining, path, overrides))
    else:
        from llasa.training.lm.settings import LMTraining
        from llasa.training.lm.trainer import train_lm

        train_lm(load_settings(LMTraining, path, overrides))

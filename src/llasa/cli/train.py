"""``llasa train codec``, ``lm``, ``grpo``, ``draft`` and ``plan``."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path

from llasa.base.errors import LlasaError
from llasa.cli.options import print_json
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
        "checkpoints is continued. Several GPUs: torchrun --nproc-per-node N -m llasa train ... "
        "`plan` says what the training of a language model with these settings would take."
    )
    train.add_argument("kind", choices=("codec", "lm", "grpo", "draft", "plan"))
    train.add_argument(
        "settings",
        nargs="+",
        metavar="CONFIG.yaml | key=value",
        help="a settings file, and overrides such as run.steps=1000",
    )
    plan = train.add_argument_group("plan")
    plan.add_argument("--gpus", type=int, default=8, metavar="N", help="how many there are (8)")
    kinds = "h100, h200, a100, a100-40, l40s or rtx4090 (h100)"
    plan.add_argument("--gpu", default="h100", metavar="KIND", help=kinds)
    share = "share of the GPUs' peak that is used (0.4; 0.2 is poor, 0.45 is good)"
    plan.add_argument("--mfu", type=float, default=0.4, metavar="X", help=share)
    hours = "speech in the training data (default: what run.steps learns from)"
    plan.add_argument("--hours", type=float, metavar="H", help=hours)
    plan.add_argument("--json", action="store_true", help="the plan as JSON")
    train.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    overrides = [item for item in args.settings if "=" in item]
    paths = [item for item in args.settings if "=" not in item]
    if len(paths) > 1:
        raise LlasaError(
            f"{paths[1]!r} is neither a second settings file (one is enough) nor key=value."
        )
    from llasa.training.config import load_settings

    path = _settings_file(paths[0], args.kind) if paths else None
    if args.kind == "plan":
        _plan(args, path, overrides)
        return
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
    elif args.kind == "draft":
        from llasa.training.lm.draft import DraftTraining, train_draft

        written = train_draft(load_settings(DraftTraining, path, overrides))
        print(f"llasa: {written} is written; the model speaks faster with it.", file=sys.stderr)
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


def _settings_file(name: str, kind: str) -> str:
    """The file itself, or that of a recipe's folder."""
    if not Path(name).is_dir():
        return name
    return str(Path(name, "codec.yaml" if kind == "codec" else "lm.yaml"))


def _plan(args: argparse.Namespace, path: str | None, overrides: list[str]) -> None:
    from dataclasses import asdict

    from llasa.training.config import load_settings
    from llasa.training.lm.plan import make_plan
    from llasa.training.lm.settings import LMTraining

    settings = load_settings(LMTraining, path, overrides)
    plan = make_plan(settings, args.gpus, args.gpu, args.mfu, args.hours)
    if args.json:
        more = {"fits": plan.fits, "steps": plan.steps, "days": plan.days}
        print_json(asdict(plan) | more)
        return
    needed = sum(plan.memory.values())
    rows = [
        ("parameters", f"{plan.parameters / 1e9:.3f} G"),
        *((name, f"{size / 1e9:.2f} GB") for name, size in plan.memory.items()),
        ("memory of each GPU", f"{needed / 1e9:.1f} of {plan.available / 1e9:.0f} GB"),
        ("batch", f"{plan.tokens_per_step:,} tokens, {plan.passes} passes of each GPU"),
        ("speed", f"{plan.tokens_per_second:,.0f} tokens/s at {args.mfu:.0%} of the peak"),
        ("length", f"{plan.tokens / 1e9:.3g} G tokens, {plan.steps:,} steps"),
        ("time", f"{plan.days:.2g} days" if plan.days >= 1 else f"{plan.days * 24:.2g} hours"),
    ]
    for name, value in rows:
        print(f"{name:34}{value}")
    if not plan.fits:
        print(
            "It does not fit: use checkpointing, parallel.sync=each, a smaller data.tokens, or "
            "more GPUs."
        )

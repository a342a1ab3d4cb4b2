"""``llasa finetune``: a model that speaks in a new voice, from recordings of it."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from llasa.base.errors import LlasaError
from llasa.base.files import folder_megabytes, only_writer, write_atomic
from llasa.base.names import plain
from llasa.cli.options import DEVICE_HELP, print_warnings, report
from llasa.cli.parser import Flags, Parser, add_flags, given
from llasa.models.find import DEFAULT_MODEL
from llasa.models.folder import CARD

if TYPE_CHECKING:
    from llasa.evaluation.report import Report

DATA: Flags = {
    "voice": (str, "NAME", "whose voice it is (default: the speakers that the data names)"),
    "format": (str, "FORMAT", "of the data, as 'llasa data import' has it (default: found out)"),
    "language": (str, "CODE", "of the data, where it does not tell"),
    "test": (Path, "MANIFEST", "recordings to judge by (default: a twentieth of the texts)"),
    "clip": (
        Path,
        "FILE",
        "recording that the codec takes the voice from (default: typical)",
    ),
}
TRAINING: Flags = {
    "epochs": (float, "N", "times that all data is seen (3)"),
    "steps": (int, "N", "steps, in place of epochs"),
    "rate": (float, "X", "peak learning rate (full: 1e-5, of small models 5e-4; lora: 5e-4)"),
    "tokens": (int, "N", "of a batch (4096)"),
    "own_speech": (float, "X", "rows that the model speaks itself, for each row of the data, so "
                   "that it forgets less (full: 0.25, lora: 0)"),
    "seed": (int, "N", "of the split and of the training (0)"),
}  # fmt: skip


def finetune_command(command: Parser) -> None:
    command.epilog = (
        "The same command goes on with what was interrupted; its work lies in MODEL-run. "
        "See docs/finetune.md."
    )
    sources = "a folder of clips with their texts, a manifest, or a folder of token shards"
    command.add_argument("data", metavar="DATA", type=Path, help=sources)
    command.add_argument("-o", "--output", required=True, metavar="MODEL", type=Path)
    base = f"a shipped model (default: {DEFAULT_MODEL}), a model folder, or a hub id"
    command.add_argument("--from", dest="base", default=DEFAULT_MODEL, metavar="NAME", help=base)
    command.add_argument("--codec", metavar="NAME", help="another codec: a folder, hub id or model")
    add_flags(command.add_argument_group("data"), DATA)
    group = command.add_argument_group("training")
    method = "all weights (default), or low-rank adapters"
    group.add_argument("--method", choices=("full", "lora"), default="full", help=method)
    add_flags(group, {**TRAINING, "rank": (int, "N", "of the adapters (8)")})
    apart = "keep the adapter beside the weights; it is merged when the model is loaded"
    group.add_argument("--no-merge", dest="merge", action="store_false", help=apart)
    group.add_argument("--device", help=DEVICE_HELP)
    group.add_argument("--bf16", action="store_true", help="mixed precision")
    group = command.add_argument_group("report (needs the extra eval)")
    group.add_argument("--no-report", dest="judge", action="store_false", help="do not judge")
    group.add_argument("--check-only", action="store_true", help="judge data and base; no training")
    add_flags(group, {"judges": (str, "NAMES", "verifiers (whisper,ge2e)")})
    limit = "held-out texts that are judged (20)"
    group.add_argument("--limit", type=int, default=20, metavar="N", help=limit)
    group.add_argument("--json", action="store_true", help="the summary on stdout")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    if args.limit < 1:
        raise LlasaError(f"--limit cannot be {args.limit}: give 1 or more.")
    if not args.data.exists():
        raise LlasaError(f"{args.data} does not exist: give a folder of clips or a manifest.")
    from llasa.evaluation.finetune import Comparison, advice
    from llasa.evaluation.judges import Judges
    from llasa.lm.lora import LoraSettings
    from llasa.training.finetune.run import Finetune
    from llasa.training.finetune.settings import Finetuning

    given_to_it = [f.name for f in fields(Finetuning) if f.name not in ("out", "lora")]
    settings = Finetuning(
        out=args.output,
        lora=LoraSettings(8 if args.rank is None else args.rank),
        **given(args, *given_to_it),
    )
    names = _judges(args) if args.judge else []
    if args.check_only and not names:
        raise LlasaError(
            "--check-only is a report and there is no judge: leave out --no-report, or name judges."
        )
    Judges(names, settings.language or "en").load()  # what fails is said before any work is done
    job = Finetune(settings)
    with only_writer(job.work):
        job.prepare()
        comparison = None
        if names:
            judges = Judges(names, job.language or "en")
            comparison = Comparison(job, judges, args.limit, args.command_line)
            before = comparison.before()
            print_warnings(advice(job, before))
            if args.check_only:
                _show(before, args)
                return
        out = job.pack(job.train())
        voices = ", ".join(job.speakers)
        print(plain(f"{out}: voices {voices}, {folder_megabytes(out):.1f} MB"), file=sys.stderr)
        if comparison is None:
            return
        found = comparison.after()
        card = out / CARD
        write_atomic(card, f"{card.read_text()}\n{found.text()}\n".encode())
    _show(found, args)


def _judges(args: argparse.Namespace) -> list[str]:
    """Names of the judges: those given, or the usual ones that are installed."""
    from llasa.evaluation.finetune import JUDGES
    from llasa.verifiers.registry import missing_packages

    if args.judges is not None:
        return [name.strip() for name in args.judges.split(",") if name.strip()]
    missing = {name: missing_packages(name) for name in JUDGES}
    lacking = sorted({package for found in missing.values() for package in found.values()})
    if lacking:
        without = ", ".join(name for name in JUDGES if missing[name])
        how = " && ".join(f"pip install {package}" for package in lacking)
        print_warnings([f"The report is without the judge {without}: run {how}."])
    return [name for name in JUDGES if not missing[name]]


def _show(found: Report, args: argparse.Namespace) -> None:
    """Write a report, and show its table or print its summary."""
    report(found.write(), f"{found.text()}\n{found.experiment.folder}: report.html", args)

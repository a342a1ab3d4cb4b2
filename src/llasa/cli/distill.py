"""``llasa distill``: a model learns to say at once what search finds among many takes."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from llasa.base.files import folder_megabytes, only_writer
from llasa.base.names import plain
from llasa.cli.options import DEVICE_HELP, print_warnings, report
from llasa.cli.parser import Flags, Parser, add_flags, given
from llasa.models.find import DEFAULT_MODEL

SEARCH: Flags = {
    "rounds": (int, "N", "of search and learning (2)"),
    "sentences": (int, "N", "texts of a round (200)"),
    "takes": (int, "N", "of each text (8)"),
    "verify": (str, "NAME", "the verifier that chooses (content)"),
    "good": (float, "X", "least score of a take that is learnt (-0.1)"),
    "temperature": (float, "T", "of the takes (default: as the model advises)"),
    "top_k": (int, "K", "of the takes"),
}
TRAINING: Flags = {
    "epochs": (float, "N", "times that the winners are seen in a round (2)"),
    "rate": (float, "X", "peak learning rate (of small models 2.5e-4, else 5e-6)"),
    "tokens": (int, "N", "of a batch (4096)"),
    "seed": (int, "N", "of takes and training (0)"),
}


def distill_command(command: Parser) -> None:
    command.epilog = (
        "The same command goes on with what was interrupted; its work lies in MODEL-run. "
        "See docs/distill.md."
    )
    command.add_argument("texts", metavar="TEXTS", type=Path, help="a file with a text a line")
    command.add_argument("-o", "--output", required=True, metavar="MODEL", type=Path)
    base = f"a shipped model (default: {DEFAULT_MODEL}), a model folder, or a hub id"
    command.add_argument("--from", dest="base", default=DEFAULT_MODEL, metavar="NAME", help=base)
    add_flags(command.add_argument_group("search"), SEARCH)
    add_flags(command.add_argument_group("training"), TRAINING)
    command.add_argument("--device", help=DEVICE_HELP)
    group = command.add_argument_group("report (needs the extra eval)")
    held = {"held_out": (int, "N", "texts that are never learnt, to judge by (40)")}
    add_flags(group, held)
    judges = "verifiers of other families than the one that chooses (whisper,distillmos)"
    add_flags(group, {"judges": (str, "NAMES", judges)})
    group.add_argument("--no-report", dest="judge", action="store_false", help="do not judge")
    group.add_argument("--json", action="store_true", help="the summary on stdout")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """All rounds, each judged beside the start."""
    from llasa.evaluation.distill import JUDGES, Curve
    from llasa.evaluation.judges import Judges
    from llasa.training.distill.run import Distillation, Distilling

    own = [field.name for field in fields(Distilling) if field.name != "out"]
    job = Distillation(Distilling(out=args.output, **given(args, *own)))
    curve = None
    if args.judge:
        names = ",".join(JUDGES) if args.judges is None else args.judges
        language = job.files.settings.languages[0] if job.files.settings.languages else "en"
        judges = Judges(names, language, chosen_by=job.settings.verify)
        print_warnings(judges.warnings)
        curve = Curve(job, judges, args.command_line)
    found = None
    with only_writer(job.work):
        if curve is not None:
            found = curve.judge(0)
        for round in range(1, job.settings.rounds + 1):
            job.run(round)
            if curve is not None:
                found = curve.judge(round)
        out = job.finish()
    print(plain(f"{out}: {folder_megabytes(out):.1f} MB"), file=sys.stderr)
    if found is not None:
        report(found.write(), f"{found.text()}\n{found.experiment.folder}: report.html", args)

"""``llasa study scaling``: what larger models and more data buy."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from llasa.base.errors import LlasaError
from llasa.cli.parser import Parser, add_flags


def study_command(study: Parser) -> None:
    kinds = study.add_subparsers(dest="kind", required=True)
    scaling = kinds.add_parser("scaling", help="train a grid of sizes and shares of the data")
    scaling.epilog = (
        "Run it again to continue; finished runs are only read. On a cluster: "
        "llasa study scaling GRID.yaml --slurm | sbatch, and then the command without --slurm."
    )
    scaling.add_argument("grid", metavar="GRID.yaml", help="see recipes/scaling/grid.yaml")
    scaling.add_argument("settings", nargs="*", metavar="key=value", help="overrides of the grid")
    add_flags(scaling, {"only": (int, "N", "run N alone, from 0, and write no page")})
    jobs = "print an array job for SLURM, one task a run, in place of running anything"
    scaling.add_argument("--slurm", action="store_true", help=jobs)
    report = "write the page of the runs that are finished, without running others"
    scaling.add_argument("--report", action="store_true", help=report)
    scaling.set_defaults(run=run_scaling)


def run_scaling(args: argparse.Namespace) -> None:
    """Train and judge the missing runs, and write the page."""
    from llasa.evaluation.scaling_grid import RESULT, ScalingGrid, read_outcome, run_cell
    from llasa.training.config import load_settings

    grid = load_settings(ScalingGrid, args.grid, args.settings)
    grid.base = str(Path(args.grid).parent / grid.base)
    cells = grid.cells
    if args.slurm:
        print(slurm_script(args, len(cells)))
        return
    if args.only is not None:
        if not 0 <= args.only < len(cells):
            raise LlasaError(f"--only {args.only}: there are runs 0 to {len(cells) - 1}.")
        run_cell(cells[args.only], args.command_line)
        return
    if args.report:
        found = (read_outcome(cell.folder / RESULT) for cell in cells)
        runs = [run for run in found if run is not None]
        if not runs:
            raise LlasaError(f"No run in {grid.out} is finished yet.")
    else:
        runs = []
        for number, cell in enumerate(cells, 1):
            run = run_cell(cell, args.command_line)
            about = f"{number} of {len(cells)} runs: {run.name}, loss {run.loss:.3f}"
            print(f"llasa: {about}", file=sys.stderr)
            runs.append(run)
    from llasa.evaluation.scaling_report import write_study

    print(write_study(runs, Path(grid.out), args.command_line))


def slurm_script(args: argparse.Namespace, count: int) -> str:
    """An array job with a task for each run; edit the resources to fit the cluster."""
    command = shlex.join([sys.executable, "-m", "llasa", "study", "scaling", args.grid])
    words = [command, *map(shlex.quote, args.settings)]
    return "\n".join(
        [
            "#!/bin/bash",
            f"#SBATCH --job-name=llasa-scaling --array=0-{count - 1} --requeue",
            "#SBATCH --ntasks=1 --cpus-per-task=8 --gres=gpu:1 --time=24:00:00",
            "# A task that is killed goes on from its last checkpoint when it is queued again.",
            f'{" ".join(words)} --only "$SLURM_ARRAY_TASK_ID"',
        ]
    )

"""``llasa eval understanding``: how a model says what its text means, by machines and listeners."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llasa.base import jsonl
from llasa.base.errors import LlasaError
from llasa.base.files import write_atomic
from llasa.cli.options import add_speech_flags, engine_of, load_model, report, speech_settings
from llasa.cli.parser import Parser, add_flags, named_paths
from llasa.models.find import find_model
from llasa.models.identity import file_identity, identity, named_file, speaking_identity

if TYPE_CHECKING:
    from llasa.audio.audio import Audio
    from llasa.evaluation.understanding import Probe

SEED = 0


def add_understanding(command: Parser) -> None:
    """Arguments of the command."""
    command.add_argument(
        "list", nargs="?", type=Path, help="JSONL of items, such as recipes/understanding/en.jsonl"
    )
    command.add_argument("-o", "--output", metavar="FOLDER")
    people = "print what listeners voted on the page of an earlier run"
    command.add_argument("--votes", nargs="+", type=Path, metavar="FILE", help=people)
    texts = "only write the texts, for llasa say --batch or another system"
    command.add_argument("--texts", type=Path, metavar="FILE", help=texts)
    others = "score another system's ID.wav, ID.reference.wav and ID.again.wav, too"
    command.add_argument(
        "--recordings", nargs="+", action="extend", metavar="NAME=FOLDER", help=others, default=[]
    )
    command.add_argument("--no-model", action="store_true", help="score the recordings alone")
    command.add_argument("--json", action="store_true", help="the summary on stdout")
    flags = {
        "voice": (str, "NAME", "voice of the model"),
        "category": (str, "NAME", "items of this category alone"),
        "limit": (int, "N", "only the first N items of each category"),
    }
    add_flags(command, flags)
    add_speech_flags(command, SEED, language=False)
    command.set_defaults(run=run_understanding, language=None)  # each item has its own


def run_understanding(args: argparse.Namespace) -> None:
    """Print votes, write texts, or speak, measure and report."""
    if args.votes:
        _print_votes(args)
        return
    if args.list is None:
        raise LlasaError("Name the list of items, such as recipes/understanding/en.jsonl.")
    from llasa.evaluation.understanding import read_probes

    probes = _chosen(read_probes(args.list), args)
    if args.texts is not None:
        lines = [_line(probe, take, args.seed) for probe in probes for take in probe.takes]
        write_atomic(args.texts, b"".join(map(jsonl.render, lines)))
        report({"texts": str(args.texts)}, f"{args.texts}: {len(lines)} texts", args)
        return
    if args.output is None:
        raise LlasaError("Give a folder for the report with -o.")
    folders = _folders(args)
    from llasa.evaluation.experiment import Experiment
    from llasa.evaluation.hearing import ears
    from llasa.evaluation.understanding import evaluate_understanding
    from llasa.evaluation.understanding_report import show_scores, write_report

    settings, systems = _systems(args, probes, folders)
    run = Experiment(args.output, settings, args.command_line)
    rows = evaluate_understanding(probes, systems, ears, run)
    summary = write_report(probes, rows, run)
    files = "report.md, listen.html, summary.json"
    report(summary, f"{show_scores(probes, rows)}\n{args.output}: {files}", args)


def _chosen(probes: list[Probe], args: argparse.Namespace) -> list[Probe]:
    if args.limit is not None and args.limit < 1:
        raise LlasaError(f"--limit cannot be {args.limit}: give 1 or more.")
    counts: dict[tuple[str, str], int] = {}
    chosen = []
    for probe in probes:
        group = probe.language, probe.category
        counts[group] = counts.get(group, 0) + 1
        if args.category in (None, probe.category) and counts[group] <= (args.limit or 1 << 30):
            chosen.append(probe)
    if not chosen:
        known = ", ".join(dict.fromkeys(probe.category for probe in probes))
        raise LlasaError(f"--category {args.category} is in no item: there are {known}.")
    return chosen


def _line(probe: Probe, take: str, seed: int) -> dict[str, Any]:
    from llasa.evaluation.understanding import take_id

    return {"id": take_id(probe, take), "text": probe.takes[take], "seed": _seed(take, seed)}


def _seed(take: str, seed: int) -> int:
    """The second reading of a text is to be another one."""
    from llasa.evaluation.understanding import AGAIN

    return seed + (take == AGAIN)


def _folders(args: argparse.Namespace) -> dict[str, Path]:
    own = () if args.no_model else (_own_name(args),)
    folders = named_paths("--recordings", args.recordings, "FOLDER", own)
    if args.no_model and not folders:
        raise LlasaError("--no-model leaves nothing to score: give --recordings NAME=FOLDER.")
    return folders


def _own_name(args: argparse.Namespace) -> str:
    """What tables call the model that speaks here."""
    from llasa.evaluation.experiment import folder_name

    return folder_name(Path(args.model).name)


def _systems(
    args: argparse.Namespace, probes: list[Probe], folders: dict[str, Path]
) -> tuple[dict[str, Any], dict[str, Callable[[Probe, str], Audio]]]:
    """Settings that decide the scores, and what gives the takes of each system."""
    from llasa.evaluation.understanding import recordings

    systems = {name: recordings(folder, probes) for name, folder in folders.items()}
    settings: dict[str, Any] = {"items": named_file(args.list)}
    settings |= {f"recordings {name}": _heard(folder) for name, folder in folders.items()}
    if args.no_model:
        return settings, systems
    speaking = speech_settings(args)
    own = ("model", "codec", "int8", "fast", "voice", "seed")
    settings |= {**{name: getattr(args, name) for name in own}, **speaking}
    settings |= speaking_identity(
        find_model(args.model, args.codec), args.int8, engine_of(args), args.fast
    )
    tts = load_model(args, [args.voice])

    def speak(probe: Probe, take: str) -> Audio:
        seed, text = _seed(take, args.seed), probe.takes[take]
        return tts(text, voice=args.voice, language=probe.language, seed=seed, **speaking).audio

    return settings, {_own_name(args): speak, **systems}


def _heard(folder: Path) -> str:
    """What the files of a folder hold."""
    return identity([file_identity(path) for path in sorted(folder.iterdir()) if path.is_file()])


def _print_votes(args: argparse.Namespace) -> None:
    from llasa.evaluation.tables import markdown
    from llasa.evaluation.understanding_report import read_votes, votes_table

    table = votes_table(read_votes(args.votes))
    report({"votes": table}, markdown(table), args)

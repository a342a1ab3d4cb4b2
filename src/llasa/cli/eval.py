"""``llasa eval``: scores of a model, of searches with it, or of codecs, and a report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llasa.base.errors import LlasaError
from llasa.base.files import digest, write_atomic
from llasa.base.hub import find_folder
from llasa.base.names import check_choice
from llasa.base.packages import require
from llasa.cli.options import (
    DEVICE_HELP,
    add_speech_flags,
    engine_of,
    load_model,
    report,
    speech_settings,
    write_stdout,
)
from llasa.cli.parser import Flags, Parser, add_flags, given, named_paths
from llasa.cli.search_flags import COMBINE, SWEEP_FLAGS
from llasa.cli.understanding import add_understanding
from llasa.models.capabilities import capabilities
from llasa.models.find import DEFAULT_MODEL, find_codec, find_model
from llasa.models.identity import file_identity, identity, named_file, speaking_identity

if TYPE_CHECKING:
    from llasa.evaluation.items import Item
    from llasa.evaluation.judges import Judges
    from llasa.evaluation.report import Report

SEED = 0
RECOGNIZERS = "moonshine,whisper"

SHARED: Flags = {
    "judges": (str, "NAMES", "verifiers, as in whisper,ge2e,dnsmos"),
    "chosen_by": (str, "NAMES", "verifiers that took part in choosing or training; warns"),
    "language": (str, "XX", "judge items in this language"),
    "limit": (int, "N", "only the first N items"),
}
SPEAKING: Flags = {
    "benchmark": (str, "NAME", "layout of MANIFEST"),
    "root": (Path, "FOLDER", "where the recordings are (default: beside it)"),
    "voice": (str, "NAME", "voice for items without a prompt"),
}
_CHOOSERS = "who chooses, one after the other: content speaker content,speaker"
SWEEP: Flags = {
    "strategies": (str, "NAME", "(all)"),
    "budgets": (int, "N", "candidates (1 2 4 8 16 32 64)"),
    "verify": (str, "NAMES", f"{_CHOOSERS} (default: content)"),
}
_CODECS = "model, codec folder or hub id; opus:KBPS; transformers:NAME[@CODEBOOKS] for EnCodec, DAC"
CODECS: Flags = {"codecs": (str, "NAME", f"{_CODECS} and Mimi (default: {DEFAULT_MODEL})")}


def eval_command(command: Parser) -> None:
    kinds = command.add_subparsers(dest="kind", required=True)
    tts = kinds.add_parser("tts", help="speak texts and judge the speech")
    _add_speaking_flags(tts)
    tts.add_argument("--no-recordings", action="store_true", help="judge the model's speech alone")
    peer_help = "judge another system's recordings of the same texts, too"
    tts.add_argument("--peers", nargs="+", action="extend", metavar="NAME=MANIFEST", help=peer_help)
    written_help = 'also speak what is "said", in words, and compare with it'
    tts.add_argument("--written", action="store_true", help=written_help)
    tts.set_defaults(run=run_tts)
    search = kinds.add_parser("search", help="draw quality against compute spent on search")
    _add_speaking_flags(search)
    group = search.add_argument_group("sweep")
    add_flags(group, SWEEP, nargs="+")
    group.add_argument("--combine", nargs="+", choices=COMBINE, help="ways to combine (sum)")
    add_flags(group, SWEEP_FLAGS)
    original = "compare with the prompts themselves (SIM-o), not with what the codec makes of them"
    group.add_argument("--original", action="store_true", help=original)
    search.set_defaults(run=run_search, verify=["content"], combine=["sum"])
    codec = kinds.add_parser("codec", help="compare recordings before and after codecs")
    _add_shared_flags(codec)
    add_flags(codec, CODECS, nargs="+")
    codec.add_argument("--device", help=DEVICE_HELP)
    codec.set_defaults(run=run_codec, codecs=[DEFAULT_MODEL], root=None)
    asr = kinds.add_parser("asr", help="write down recordings, and compare with their words")
    _add_shared_flags(asr)
    asr.set_defaults(run=run_asr, judges=RECOGNIZERS, root=None)
    tables = kinds.add_parser("tables", help="print the paper's tables, with reports of ours")
    folder = "report of a llasa eval, by table and test set: T1, T2.en, T2.zh, T2.hard, T3.clean, "
    folder += "T3.other, T4.en, T4.zh, T5"
    tables.add_argument("reports", nargs="+", metavar="TABLE=FOLDER", help=folder)
    tables.add_argument("-o", "--output", metavar="FILE", help="Markdown (default: stdout)")
    tables.set_defaults(run=run_tables)
    understood = "questions, stress, pauses, readings: what texts ask for beside their words"
    add_understanding(kinds.add_parser("understanding", help=understood))


def _add_speaking_flags(command: Parser) -> None:
    _add_shared_flags(command)
    add_flags(command, SPEAKING)
    command.add_argument("--no-prompts", action="store_true", help="speak in the model's own voice")
    add_speech_flags(command, SEED, language=False)


def _add_shared_flags(command: Parser) -> None:
    command.add_argument("manifest", help='JSONL, {"text": ..., "audio": PATH} a line')
    command.add_argument("-o", "--output", required=True, metavar="FOLDER")
    add_flags(command, SHARED)
    command.add_argument("--listen", type=int, default=10, metavar="N", help="audio in the report")
    command.add_argument("--json", action="store_true", help="the summary on stdout")
    command.set_defaults(benchmark="manifest", chosen_by="")


def run_tts(args: argparse.Namespace) -> None:
    if args.check:
        args.chosen_by = ",".join(filter(None, ("content", args.chosen_by)))
    items, judges, settings = _prepare_speaking(args)
    from llasa.evaluation.experiment import Experiment
    from llasa.evaluation.items import read_peer
    from llasa.evaluation.report import Report
    from llasa.evaluation.tts import SYSTEMS, WRITTEN, evaluate_tts, speaker

    if args.written and (lone := next((item for item in items if item.said is None), None)):
        raise LlasaError(
            f'--written speaks what is "said", but the item {lone.id} has none: write it in words.'
        )
    manifests = named_paths("--peers", args.peers or [], "MANIFEST", SYSTEMS)
    if manifests and any(item.opening for item in items):
        raise LlasaError("--peers speak whole texts, but these items go on after an opening.")
    peers = {name: read_peer(path, items) for name, path in manifests.items()}
    settings |= {"no_recordings": args.no_recordings}
    if args.written:
        settings |= {"written": True}
    if manifests:
        heard = {name: [*map(file_identity, found.values())] for name, found in peers.items()}
        settings |= {"peers": {name: identity(hashes) for name, hashes in heard.items()}}
    experiment = Experiment(args.output, settings, args.command_line)
    tts = load_model(args, [args.voice])
    speak = speaker(tts, args.seed, voice=args.voice, **speech_settings(args))
    recordings, written = not args.no_recordings, args.written
    rows = evaluate_tts(items, speak, tts.codec, judges, experiment, recordings, written, peers)
    title, against = f"{args.model} on {args.manifest}", WRITTEN if written else None
    _finish(Report(title, experiment, judges, rows, args.listen, against=against), args)


def run_search(args: argparse.Namespace) -> None:
    """Search with every strategy and budget, judge, draw and report."""
    if args.check:
        raise LlasaError("--check is a search of its own: measure it with llasa eval tts --check.")
    args.chosen_by = ",".join(filter(None, (*args.verify, args.process, args.chosen_by)))
    items, judges, settings = _prepare_speaking(args, both=True)
    from llasa.evaluation.experiment import Experiment
    from llasa.evaluation.plots import draw_curves
    from llasa.evaluation.report import Report
    from llasa.evaluation.search import Sweep, evaluate_search
    from llasa.evaluation.tts import speaker

    require("matplotlib.figure")
    shared: Any = {"language": settings["language"], **given(args, "weights", "reference")}
    steps = given(args, "stride", "search_seconds", "process")
    if args.original:
        steps["original"] = True
    selectors: dict[str, Any] = {}
    for names in args.verify:
        rules = args.combine if "," in names else ["sum"]
        for rule in rules:
            name = f"{rule} {names}" if len(rules) > 1 else names
            selectors[name] = {**shared, "verify": names, "combine": rule}
    if len(selectors) == 1:
        selectors = {"": next(iter(selectors.values()))}
    settings["search"] = {"selectors": list(selectors.values()), **steps}
    plan = Sweep(**given(args, "strategies", "budgets"), **steps, selectors=selectors)
    plan.load()
    experiment = Experiment(args.output, settings, args.command_line)
    tts = load_model(args, [args.voice])
    plan.check(items, tts.voice(args.voice))
    speak = speaker(tts, args.seed, voice=args.voice, **speech_settings(args))
    rows = evaluate_search(items, speak, plan, tts.codec, judges, experiment)
    title = f"Search with {args.model} on {args.manifest}"
    shown: Any = {"against": plan.systems[0], "played": plan.ends, "across": True}
    _finish(
        Report(title, experiment, judges, rows, args.listen, pictures=draw_curves, **shown), args
    )


def run_codec(args: argparse.Namespace) -> None:
    items, judges, settings = _prepare(args, "audio")
    names = args.codecs
    if len(set(names)) < len(names):
        raise LlasaError("A codec is named twice: once is enough.")
    from llasa.evaluation.codec import code_measures, evaluate_codec
    from llasa.evaluation.experiment import Experiment
    from llasa.evaluation.report import Report
    from llasa.evaluation.systems import OwnCodec, find_system

    systems = [find_system(name, args.device) for name in names]
    ours = [system.name for system in systems if isinstance(system, OwnCodec)]
    settings |= {"codecs": [system.name for system in systems]}
    settings["identity"] = {name: digest(find_folder(find_codec(name))) for name in ours}
    experiment = Experiment(args.output, settings, args.command_line)
    rows = evaluate_codec(items, systems, judges, experiment)
    title = f"Codecs on {args.manifest}"
    _finish(Report(title, experiment, judges, rows, args.listen, code_measures), args)


def run_asr(args: argparse.Namespace) -> None:
    """Transcribe recordings with recognisers, and judge them by the words that were said."""
    items, judges, settings = _prepare(args, "audio")
    from llasa.evaluation.asr import evaluate_asr, identities, listeners
    from llasa.evaluation.experiment import Experiment
    from llasa.evaluation.report import Report

    if (lone := next((item for item in items if item.words is None), None)) is not None:
        raise LlasaError(f"The item {lone.id} has no text to compare with: give it one.")
    recognizers = listeners(judges)
    settings["identity"] = identities(judges)
    experiment = Experiment(args.output, settings, args.command_line)
    rows = evaluate_asr(items, recognizers, experiment)
    _finish(Report(f"Hearing {args.manifest}", experiment, judges, rows, args.listen), args)


def run_tables(args: argparse.Namespace) -> None:
    """The paper's tables in Markdown, with what earlier evaluations found."""
    from llasa.evaluation.paper import paper_tables

    folders = named_paths("TABLE=FOLDER", args.reports, "FOLDER", ())
    text = f"{paper_tables(folders)}\n"
    if args.output is None:
        write_stdout(text.encode())
    else:
        write_atomic(Path(args.output), text.encode())


def _prepare(
    args: argparse.Namespace, needs: str, both: bool = False
) -> tuple[list[Item], Judges, dict[str, Any]]:
    """Items, judges (those that chose among them with `both`), and settings that are shared."""
    from llasa.evaluation.datasets import BENCHMARKS
    from llasa.evaluation.items import choose
    from llasa.evaluation.judges import Judges

    for name in ("limit", "listen"):
        least = int(name == "limit")
        if (value := getattr(args, name)) is not None and value < least:
            raise LlasaError(f"--{name} cannot be {value}: give {least} or more.")
    check_choice(args.benchmark, BENCHMARKS, "The benchmark")
    benchmark, path = BENCHMARKS[args.benchmark], Path(args.manifest)
    if not path.exists():
        raise LlasaError(f"{path} does not exist: give {benchmark.about}.")
    items = benchmark.load(path, args.root)
    items, language = choose(items, args.language, args.limit, needs)
    judges = Judges(args.judges or benchmark.judges, language, args.chosen_by, both)
    settings = {
        "items": named_file(path) if path.is_file() else str(path.resolve()),
        "benchmark": args.benchmark,
        "language": language,
        "judges": judges.names,
        "chosen_by": [verifier.name for verifier in judges.choosers],
        "sound": "16 bits",
    }
    return items, judges, settings


def _prepare_speaking(
    args: argparse.Namespace, both: bool = False
) -> tuple[list[Item], Judges, dict[str, Any]]:
    """The same for commands that speak."""
    items, judges, settings = _prepare(args, "text", both)
    settings |= speech_settings(args)
    files = find_model(args.model, args.codec)
    from llasa.evaluation.datasets import without_prompts

    if args.no_prompts:
        items = without_prompts(items)
    elif any(item.prompt or item.opening for item in items):
        try:
            capabilities(files).check_cloning()
        except LlasaError as error:
            raise LlasaError(f"{error} Or give --no-prompts.") from error
    own = ("model", "codec", "int8", "fast", "voice", "seed", "no_prompts")
    settings |= {name: getattr(args, name) for name in own}
    settings |= speaking_identity(files, args.int8, engine_of(args), args.fast)
    return items, judges, settings


def _finish(found: Report, args: argparse.Namespace) -> None:
    """Write the report and show its table, or print the summary."""
    files = "report.html, report.md, summary.json, summary.csv"
    report(found.write(), f"{found.text()}\n{args.output}: {files}", args)

"""``llasa eval``: scores of a model, of searches with it, or of codecs, and a report."""

from __future__ import annotations

import argparse
import sys
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llasa.cli.options import (
    add_model_flags,
    add_normalize_flag,
    add_sampling_flags,
    load_model,
    print_json,
    speech_settings,
)
from llasa.cli.parser import Parser
from llasa.cli.search import COMBINE, add_process_flags
from llasa.errors import LlasaError
from llasa.files import digest
from llasa.model_folder import DEFAULT_MODEL, find_codec, find_model
from llasa.names import did_you_mean

if TYPE_CHECKING:
    from llasa.evaluation.items import Item
    from llasa.evaluation.judges import Judges
    from llasa.evaluation.report import Report

SEED = 0


def eval_command(command: Parser) -> None:
    """Arguments of ``eval``."""
    kinds = command.add_subparsers(dest="kind", required=True, parser_class=Parser)
    tts = kinds.add_parser("tts", help="speak texts and judge the speech")
    _add_speaking_flags(tts)
    tts.add_argument("--no-recordings", action="store_true", help="judge the model's speech alone")
    tts.set_defaults(run=run_tts)
    search = kinds.add_parser("search", help="draw quality against compute spent on search")
    _add_speaking_flags(search)
    group = search.add_argument_group("sweep")
    group.add_argument("--strategies", nargs="+", metavar="NAME", help="(all)")
    group.add_argument(
        "--budgets", nargs="+", type=int, metavar="N", help="candidates (1 2 4 8 16 32 64)"
    )
    group.add_argument(
        "--verify",
        nargs="+",
        metavar="NAMES",
        default=["content"],
        help="who chooses, one after the other: content speaker content,speaker (default: content)",
    )
    group.add_argument(
        "--combine", nargs="+", choices=COMBINE, default=["sum"], help="ways to combine (sum)"
    )
    add_process_flags(group)
    search.set_defaults(run=run_search)
    codec = kinds.add_parser("codec", help="compare recordings before and after codecs")
    _add_shared_flags(codec)
    codec.add_argument(
        "--codecs",
        nargs="+",
        default=[DEFAULT_MODEL],
        metavar="NAME",
        help="model, codec folder or hub id; opus:KBPS; transformers:NAME[@CODEBOOKS] for EnCodec, "
        f"DAC and Mimi (default: {DEFAULT_MODEL})",
    )
    codec.add_argument("--device", help="cpu, cuda, cuda:1 or mps (default: a GPU if there is one)")
    codec.set_defaults(run=run_codec, benchmark="manifest", root=None)


def _add_speaking_flags(command: Parser) -> None:
    """What is spoken, and how."""
    _add_shared_flags(command)
    command.add_argument(
        "--benchmark", default="manifest", metavar="NAME", help="layout of MANIFEST"
    )
    command.add_argument("--root", type=Path, help="where the recordings are (default: beside it)")
    command.add_argument("--no-prompts", action="store_true", help="speak in the model's own voice")
    command.add_argument("--voice", metavar="NAME", help="voice for items without a prompt")
    command.add_argument("--int8", action="store_true", help="8-bit weights on the CPU")
    add_normalize_flag(command)
    add_model_flags(command)
    group = command.add_argument_group("sampling (default: as the model advises)")
    group.add_argument("--seed", type=int, default=SEED, help=f"of every utterance ({SEED})")
    add_sampling_flags(group)
    group.add_argument("--max-seconds", type=float, metavar="S", help="cut the speech off there")


def _add_shared_flags(command: Parser) -> None:
    command.add_argument("manifest", help='JSONL, {"text": ..., "audio": PATH} a line')
    command.add_argument("-o", "--output", required=True, metavar="FOLDER")
    command.add_argument("--judges", metavar="NAMES", help="verifiers, as in whisper,ge2e,dnsmos")
    command.add_argument(
        "--chosen-by",
        default="",
        metavar="NAMES",
        help="verifiers that took part in choosing or training, to be warned of",
    )
    command.add_argument("--language", metavar="XX", help="judge items in this language")
    command.add_argument("--limit", type=int, metavar="N", help="only the first N items")
    command.add_argument("--listen", type=int, default=10, metavar="N", help="audio in the report")
    command.add_argument("--json", action="store_true", help="the summary on stdout")


def run_tts(args: argparse.Namespace) -> None:
    """Speak, judge and report."""
    items, judges, settings = _prepare_speaking(args)
    from llasa.evaluation.report import Report
    from llasa.evaluation.run import Run
    from llasa.evaluation.tts import evaluate_tts, speaker

    run = Run(args.output, settings | {"no_recordings": args.no_recordings}, args.command_line)
    tts = load_model(args, [args.voice])
    speak = speaker(tts, args.seed, voice=args.voice, **speech_settings(args))
    rows = evaluate_tts(items, speak, tts.codec, judges, run, not args.no_recordings)
    _finish(Report(f"{args.model} on {args.manifest}", run, judges, rows, args.listen), args)


def run_search(args: argparse.Namespace) -> None:
    """Search with every strategy and budget, judge, draw and report."""
    args.chosen_by = ",".join(filter(None, (*args.verify, args.process, args.chosen_by)))
    items, judges, settings = _prepare_speaking(args, both=True)
    from llasa.evaluation.plots import draw_curves
    from llasa.evaluation.report import Report
    from llasa.evaluation.run import Run
    from llasa.evaluation.search import Sweep, evaluate_search
    from llasa.evaluation.tts import speaker
    from llasa.search.verifiers.packages import require

    require("matplotlib.figure")

    def given(*names: str) -> dict[str, Any]:
        return {name: value for name in names if (value := getattr(args, name)) is not None}

    shared: Any = {"language": settings["language"], **given("weights", "reference")}
    steps = given("stride", "search_seconds", "process")
    juries: dict[str, Any] = {}
    for names in args.verify:
        for rule in args.combine if "," in names else ["sum"]:
            rules = len(args.combine) > 1 and "," in names
            name = f"{rule} {names}" if rules else names
            juries[name] = {**shared, "verify": names, "combine": rule}
    if len(juries) == 1:
        juries = {"": next(iter(juries.values()))}
    settings["search"] = {"juries": list(juries.values()), **steps}
    plan = Sweep(**given("strategies", "budgets"), **steps, juries=juries)
    plan.load()
    run = Run(args.output, settings, args.command_line)
    tts = load_model(args, [args.voice])
    plan.check(items, tts.voice(args.voice))
    speak = speaker(tts, args.seed, voice=args.voice, **speech_settings(args))
    rows = evaluate_search(items, speak, plan, tts.codec, judges, run)
    title = f"Search with {args.model} on {args.manifest}"
    report = Report(
        *(title, run, judges, rows, args.listen),
        pictures=draw_curves,
        across=True,
        against=plan.systems[0],
        played=plan.ends,
    )
    _finish(report, args)


def run_codec(args: argparse.Namespace) -> None:
    """Encode, decode, judge and report."""
    items, judges, settings = _prepare(args, "audio")
    names = args.codecs
    if len(set(names)) < len(names):
        raise LlasaError("A codec is named twice: once is enough.")
    from llasa.evaluation.codec import code_measures, evaluate_codec
    from llasa.evaluation.report import Report
    from llasa.evaluation.run import Run
    from llasa.evaluation.systems import Ours, find_system

    systems = [find_system(name, args.device) for name in names]
    ours = [system.name for system in systems if isinstance(system, Ours)]
    settings |= {"codecs": [system.name for system in systems]}
    settings["weights"] = {name: digest(Path(find_codec(name))) for name in ours}
    run = Run(args.output, settings, args.command_line)
    rows = evaluate_codec(items, systems, judges, run)
    title = f"Codecs on {args.manifest}"
    _finish(Report(title, run, judges, rows, args.listen, code_measures), args)


def _prepare(
    args: argparse.Namespace, needs: str, both: bool = False
) -> tuple[list[Item], Judges, dict[str, Any]]:
    """Items, judges (those that chose among them with `both`), and settings that are shared."""
    from llasa.evaluation.benchmarks import BENCHMARKS
    from llasa.evaluation.items import choose
    from llasa.evaluation.judges import Judges

    for name in ("limit", "listen"):
        if (value := getattr(args, name)) is not None and value < (name == "limit"):
            raise LlasaError(f"--{name} cannot be {value}.")
    if args.benchmark not in BENCHMARKS:
        raise LlasaError(
            f"The benchmark {args.benchmark!r} is unknown: valid are {', '.join(BENCHMARKS)}."
            f"{did_you_mean(args.benchmark, BENCHMARKS)}"
        )
    benchmark = BENCHMARKS[args.benchmark]
    path = Path(args.manifest)
    if not path.exists():
        raise LlasaError(f"{path} does not exist: give {benchmark.about}.")
    items = benchmark.load(path, args.root)
    items, language = choose(items, args.language, args.limit, needs)
    judges = Judges(args.judges or benchmark.judges, language, args.chosen_by, both)
    settings = {
        "items": [str(path.resolve()), sha256(path.read_bytes()).hexdigest()[:16]]
        if path.is_file()
        else str(path.resolve()),
        "benchmark": args.benchmark,
        "language": language,
        "judges": judges.names,
        "chosen_by": [verifier.name for verifier in judges.choosers],
    }
    return items, judges, settings


def _prepare_speaking(
    args: argparse.Namespace, both: bool = False
) -> tuple[list[Item], Judges, dict[str, Any]]:
    """The same for commands that speak."""
    items, judges, settings = _prepare(args, "text", both)
    settings |= speech_settings(args)
    files = find_model(args.model, args.codec)
    from llasa.evaluation.benchmarks import without_prompts

    if args.no_prompts:
        items = without_prompts(items)
    elif any(item.prompt or item.opening for item in items):
        try:
            files.settings.check_cloning()
        except LlasaError as error:
            raise LlasaError(f"{error} Or give --no-prompts.") from error
    own = ("model", "codec", "int8", "voice", "seed", "no_prompts")
    settings |= {name: getattr(args, name) for name in own}
    settings["weights"] = digest(files.lm, Path(files.codec))
    return items, judges, settings


def _finish(report: Report, args: argparse.Namespace) -> None:
    """Write the report and show its table, or print the summary."""
    summary = report.write()
    for warning in report.judges.warnings:
        print(f"llasa: warning: {warning}", file=sys.stderr)
    if args.json:
        print_json(summary)
    else:
        print(report.text(), file=sys.stderr)
        print(f"{args.output}: report.html, report.md, summary.json, summary.csv", file=sys.stderr)

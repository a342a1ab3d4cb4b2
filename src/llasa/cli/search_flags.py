"""Search on the command line: its flags, the table of scores, and the kept candidates."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llasa.base.errors import LlasaError
from llasa.base.files import make_folder, write_json
from llasa.cli.parser import Flags, Parser, add_flags, flag, given
from llasa.models.capabilities import capabilities
from llasa.models.find import find_model
from llasa.text.languages import language_code

if TYPE_CHECKING:
    from llasa.search.result import Compute, SearchResult
    from llasa.search.strategies import Strategy
    from llasa.tts.speech import Speech

COMBINE = ("sum", "rank", "worst")
BEAMS = ("beam", "partial")
OPTIONS = {
    "best_of": ("n", ("best-of", *BEAMS)),
    "beams": ("beams", BEAMS),
    "expand": ("expand", BEAMS),
    "stride": ("stride", BEAMS),
    "search_seconds": ("seconds", ("partial",)),
    "process": ("process", ("partial",)),
}
"""Flags of certain strategies: the argument of each, and the strategies that take it."""
JUDGING = ("verify", "combine", "weights", "threshold", "reference", "lazy", "screen")
"""Flags that every strategy takes, named as the argument."""
SCORES = "scores.json"


def _numbers(value: str) -> list[float]:
    try:
        return [float(part) for part in value.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{value!r} isn't a list of numbers: write them as 1,0.5"
        ) from error


SWEEP_FLAGS: Flags = {
    "stride": (int, "N", "tokens between two choices (25)"),
    "search_seconds": (float, "S", "length of the beams in partial (2)"),
    "process": (str, "NAMES", "who judges the beams in partial (as --verify)"),
    "weights": (_numbers, "W,...", "one for each verifier"),
    "reference": (str, "FILE", "recording to compare with, in place of the voice's"),
}
"""Flags that `llasa eval search` has, too."""
_JUDGES = "who judges: names from 'llasa doctor', such as content,speaker (default: content)"
_ENOUGH = "scores, one for each verifier, that are good enough to stop; write --threshold=-0.1"
FLAGS: Flags = {
    "best_of": (int, "N", "speak it N times, keep the best; the budget of other strategies (16)"),
    "verify": (str, "NAMES", _JUDGES),
    **SWEEP_FLAGS,
    "beams": (int, "N", "partial candidates that are kept (what the budget allows, 4 of 16)"),
    "expand": (int, "N", "ways in which each goes on (as many as the budget allows)"),
    "threshold": (_numbers, "X,...", _ENOUGH),
    "screen": (int, "N", "only the N likeliest candidates are decoded and judged"),
    "keep_candidates": (str, "FOLDER", "write all candidates, and scores.json, there"),
}


def add_search_flags(command: Parser) -> None:
    """Flags for searching among many candidates."""
    group = command.add_argument_group("search (more compute, the best of many candidates)")
    add_flags(group, FLAGS)
    group.add_argument(
        "--combine", choices=COMBINE, help="sum of scores (default), mean rank, or worst rank"
    )
    group.add_argument(
        "--strategy",
        choices=("sample", "best-of", *BEAMS),
        help="best-of (default): whole candidates; beam: the best half seconds go on; partial: "
        "beam for the first seconds, then best-of; sample: one candidate, judged",
    )
    lazy = "the last verifier skips candidates that cannot win any more"
    group.add_argument("--lazy", action="store_const", const=True, help=lazy)
    group.add_argument("--scores", action="store_true", help="a table of all candidates on stderr")


def search_setting(args: argparse.Namespace) -> tuple[Strategy | None, dict[str, Any]]:
    """The strategy that the flags ask for, checked and with its verifiers open, and the flags.

    None where no search is asked for.
    """
    flags = given(args, *OPTIONS, *JUDGING)
    if args.strategy is None and not flags:
        if args.scores or args.keep_candidates is not None:
            lone = "--scores" if args.scores else "--keep-candidates"
            raise LlasaError(f"{lone} needs a search: add --best-of N, or --verify NAMES.")
        return None, {}
    name = args.strategy or ("best-of" if "best_of" in flags else "sample")
    for option, (_, strategies) in OPTIONS.items():
        if option in flags and name not in strategies:
            valid = " or ".join(strategies)
            raise LlasaError(f"{flag(option)} belongs to --strategy {valid}, not to {name}.")
    if name == "sample" and "verify" not in flags:
        lone = flag(next(iter(flags))) if flags else "--strategy sample"
        raise LlasaError(f"{lone} chooses nothing alone: add --verify NAMES, or --best-of N.")
    if args.check:
        raise LlasaError("Give either --check or a search, not both.")
    if args.keep_candidates is not None:
        make_folder(Path(args.keep_candidates))  # before the work
    from llasa.search.plan import plan
    from llasa.search.selector import Selector

    judging = given(args, *JUDGING)
    own = capabilities(find_model(args.model, args.codec)).language
    judging["language"] = language_code(args.language) or own
    Selector(**judging).load()
    options = {OPTIONS[option][0]: flags[option] for option in OPTIONS if option in flags}
    strategy = plan(name, **options, **judging)
    return strategy, {"search": {"strategy": name, **flags}}


def report_search(speech: Speech, args: argparse.Namespace) -> None:
    """Keep the candidates and print the table if the flags ask for it."""
    if args.keep_candidates is not None:
        keep_candidates(speech, Path(args.keep_candidates))
    if args.scores:
        for number, part in enumerate(speech.search, 1):
            title = [f"{number}. {part.text}"] if len(speech.search) > 1 else []
            print(*title, *score_table(part), spent(part.compute), sep="\n", file=sys.stderr)


def keep_candidates(speech: Speech, folder: Path) -> None:
    """Write the candidates of part 1 as 1-01.wav, 1-02.wav, ..., best first, and their scores."""
    make_folder(folder)
    parts = []
    for number, part in enumerate(speech.search, 1):
        rows = []
        for place, candidate in enumerate(part.candidates, 1):
            name = f"{number}-{place:02}.wav" if len(candidate.audio.samples) else None
            if name is not None:
                candidate.audio.write(folder / name)
            rows.append({"audio": name, **candidate.to_dict()})
        steps = [[candidate.to_dict() for candidate in step] for step in part.steps]
        parts.append({**part.to_dict(), "candidates": rows, "steps": steps})
    write_json(folder / SCORES, parts, indent=1)


def score_table(part: SearchResult) -> list[str]:
    """Lines of a table of all candidates, best first, and the reasons for missing scores."""
    names = list(part.families)
    rows = [["", "total", *names, "seconds", "end", "seed"]]
    for place, candidate in enumerate(part.candidates, 1):
        numbers = [candidate.total, *(candidate.scores.get(name, math.nan) for name in names)]
        cells = ["-" if math.isnan(number) else f"{number:.3f}" for number in numbers]
        end = "itself" if candidate.finish == "stop" else "cut off"
        seconds = f"{candidate.audio.duration:.2f}"
        rows.append([str(place), *cells, seconds, end, str(candidate.seed)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    reasons = [
        f"{place}: no score of {name}: {reason}"
        for place, candidate in enumerate(part.candidates, 1)
        for name, reason in candidate.reasons.items()
    ]
    return [*lines, *reasons]


def spent(compute: Compute) -> str:
    """One line on the time spent."""
    parts = [
        f"{compute.tokens} tokens in {compute.lm_seconds:.2f} s",
        f"{compute.audio_seconds:.1f} s decoded in {compute.codec_seconds:.2f} s",
        *(f"{name} {cost.seconds:.2f} s" for name, cost in compute.verifiers.items()),
    ]
    loading = sum(cost.load_seconds for cost in compute.verifiers.values())
    return ", ".join([*parts, f"opening verifiers {loading:.2f} s"] if loading > 0.01 else parts)

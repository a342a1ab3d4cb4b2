"""Search on the command line: its flags, the table of scores, and the kept candidates."""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llasa.cli.parser import Parser
from llasa.errors import LlasaError
from llasa.files import write_atomic

if TYPE_CHECKING:
    from llasa.search.result import Compute, SearchResult, Take
    from llasa.search.strategies import Strategy
    from llasa.speech import Speech

COMBINE = ("sum", "rank", "worst")
BEAMS = ("beam", "partial")
OPTIONS = {
    "best_of": ("n", ("best-of", "partial")),
    "beams": ("beams", BEAMS),
    "expand": ("expand", BEAMS),
    "stride": ("stride", BEAMS),
    "search_seconds": ("seconds", ("partial",)),
    "process": ("process", ("partial",)),
}
"""Flags that belong to some strategies, and the argument that each stands for."""
JUDGING = ("verify", "combine", "weights", "threshold", "language", "reference", "lazy", "screen")
"""Flags that every strategy takes, named as the argument."""
STRATEGIES = {
    "sample": "sample",
    "best-of": "best_of_n",
    "beam": "beam",
    "partial": "partial_search",
}
SCORES = "scores.json"


def add_search_flags(command: Parser) -> None:
    """How to choose among many ways of saying the text."""
    group = command.add_argument_group("search (more compute, the best of many takes)")
    group.add_argument("--best-of", type=int, metavar="N", help="speak it N times, keep the best")
    group.add_argument(
        "--verify",
        metavar="NAMES",
        help="who judges: names from 'llasa doctor', such as content,speaker (default: content)",
    )
    group.add_argument(
        "--combine", choices=COMBINE, help="sum of scores (default), mean rank, or worst rank"
    )
    add_process_flags(group)
    group.add_argument(
        "--strategy",
        choices=tuple(STRATEGIES),
        help="best-of (default): whole takes; beam: the best half seconds go on; partial: beam for "
        "the first seconds, then best-of; sample: one take, judged",
    )
    group.add_argument("--beams", type=int, metavar="N", help="partial takes that are kept (4)")
    group.add_argument("--expand", type=int, metavar="N", help="ways in which each goes on (4)")
    group.add_argument(
        "--threshold",
        type=_numbers,
        metavar="X,...",
        help="scores, one for each verifier, that are good enough to stop; write --threshold=-0.1",
    )
    group.add_argument("--language", metavar="CODE", help="of the speech, for content (en)")
    group.add_argument(
        "--lazy",
        action="store_const",
        const=True,
        help="the last verifier skips takes that cannot win any more",
    )
    group.add_argument(
        "--screen", type=int, metavar="N", help="only the N likeliest takes are decoded and judged"
    )
    group.add_argument("--scores", action="store_true", help="a table of all takes on stderr")
    group.add_argument(
        "--keep-candidates", metavar="FOLDER", help="write all takes, and scores.json, there"
    )


def add_process_flags(group: argparse._ArgumentGroup) -> None:
    """When takes are compared, and what else verifiers want to know."""
    group.add_argument("--stride", type=int, metavar="N", help="tokens between two choices (25)")
    group.add_argument(
        "--search-seconds", type=float, metavar="S", help="length of the beams in partial (2)"
    )
    group.add_argument(
        "--process", metavar="NAMES", help="who judges the beams in partial (as --verify)"
    )
    group.add_argument("--weights", type=_numbers, metavar="W,...", help="one for each verifier")
    group.add_argument(
        "--reference", metavar="FILE", help="recording to compare with, in place of the voice's"
    )


def search_setting(args: argparse.Namespace) -> tuple[Strategy | None, dict[str, Any]]:
    """The strategy that the flags ask for, checked and with its verifiers open, and the flags.

    None where no search is asked for.
    """
    given = [name for name in (*OPTIONS, *JUDGING) if getattr(args, name) is not None]
    if args.strategy is None and not given:
        if args.scores or args.keep_candidates is not None:
            flag = "--scores" if args.scores else "--keep-candidates"
            raise LlasaError(f"{flag} needs a search: add --best-of N, or --verify NAMES.")
        return None, {}
    name = args.strategy
    if name is None:
        name = "best-of" if args.best_of is not None else "sample"
    for flag in given:
        if flag in OPTIONS and name not in OPTIONS[flag][1]:
            valid = " or ".join(OPTIONS[flag][1])
            raise LlasaError(f"{_flag(flag)} belongs to --strategy {valid}, not to {name}.")
    if name == "sample" and args.verify is None:
        lone = _flag(given[0]) if given else "--strategy sample"
        raise LlasaError(f"{lone} chooses nothing alone: add --verify NAMES, or --best-of N.")
    flags = {flag: getattr(args, flag) for flag in given}
    arguments = {OPTIONS[flag][0] if flag in OPTIONS else flag: flags[flag] for flag in given}
    from llasa.search import strategies
    from llasa.search.jury import Jury

    Jury(**{flag: flags[flag] for flag in given if flag in JUDGING}).load()
    strategy = partial(getattr(strategies, STRATEGIES[name]), **arguments)
    return strategy, {"search": {"strategy": name, **flags}}


def report_search(speech: Speech, args: argparse.Namespace) -> None:
    """Keep the candidates and print the table, as far as that was asked for."""
    if args.keep_candidates is not None:
        keep_candidates(speech, Path(args.keep_candidates))
    if args.scores:
        for number, part in enumerate(speech.search, 1):
            title = [f"{number}. {part.text}"] if len(speech.search) > 1 else []
            print(*title, *score_table(part), spent(part.compute), sep="\n", file=sys.stderr)


def keep_candidates(speech: Speech, folder: Path) -> None:
    """Write every take of part 1 as 1-01.wav, 1-02.wav and so on, best first, and their scores."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LlasaError(f"{folder} cannot be used as a folder: {error.strerror}.") from error
    parts = []
    for number, part in enumerate(speech.search, 1):
        rows = []
        for place, take in enumerate(part.takes, 1):
            name = f"{number}-{place:02}.wav" if take.pieces else None
            if name is not None:
                take.audio.write(folder / name)
            rows.append({"audio": name, **take.to_dict()})
        steps = [[take.to_dict() for take in step] for step in part.steps]
        parts.append({**part.to_dict(), "candidates": rows, "steps": steps})
    write_atomic(folder / SCORES, json.dumps(parts, ensure_ascii=False, indent=1).encode())


def score_table(part: SearchResult) -> list[str]:
    """Lines of a table of all takes, best first, and why some are unscored."""
    names = list(part.families)
    head = ["", "total", *names, "seconds", "end", "seed"]
    rows = [head]
    for place, take in enumerate(part.takes, 1):
        numbers = [take.total, *(take.scores.get(name, float("nan")) for name in names)]
        cells = ["-" if number != number else f"{number:.3f}" for number in numbers]
        end = "itself" if take.finish == "stop" else "cut off"
        rows.append([str(place), *cells, f"{_seconds(take):.2f}", end, str(take.seed)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    reasons = [
        f"{place}: no score of {name}: {reason}"
        for place, take in enumerate(part.takes, 1)
        for name, reason in take.reasons.items()
    ]
    return [*lines, *reasons]


def spent(compute: Compute) -> str:
    """One line on where the time went."""
    costs = [f"{name} {cost.seconds:.2f} s" for name, cost in compute.verifiers.items()]
    loading = sum(cost.load_seconds for cost in compute.verifiers.values())
    return ", ".join(
        [
            f"{compute.tokens} tokens in {compute.lm_seconds:.2f} s",
            f"{compute.audio_seconds:.1f} s decoded in {compute.codec_seconds:.2f} s",
            *costs,
            *([f"opening verifiers {loading:.2f} s"] if loading > 0.01 else []),
        ]
    )


def _seconds(take: Take) -> float:
    return sum(map(len, take.pieces)) / take.rate


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _numbers(value: str) -> list[float]:
    try:
        return [float(part) for part in value.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{value!r} is no list of numbers: write them as 1,0.5"
        ) from error

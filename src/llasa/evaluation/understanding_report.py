"""Scores of text understanding by category: of machines against chance, and of listeners."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from llasa.base.errors import LlasaError
from llasa.base.files import read_json, write_atomic, write_json
from llasa.evaluation.experiment import Experiment, Row
from llasa.evaluation.listening import listening_page
from llasa.evaluation.statistics import Estimate, change, estimate
from llasa.evaluation.tables import markdown
from llasa.evaluation.understanding import AGAIN, CATEGORIES, MEASURES, REFERENCE, TEXT, Probe

Score = tuple[float, float]
"""Of one item: that of the text's take, and the chance."""


class Found(NamedTuple):
    """A category's score, its chance, how far apart they are, and the measure itself.

    effect: mean of the measure less the reference's, in its unit (of the text's take, where it is
    compared with nothing).
    """

    score: Estimate
    chance: Estimate
    above: Estimate
    effect: Estimate
    missing: int

    @property
    def valid(self) -> bool:
        """Whether the score is above chance beyond its interval."""
        return self.above.low > 0


Group = tuple[str, str, str]
"""Language, category and measure."""


def score_all(probes: Sequence[Probe], rows: Sequence[Row]) -> dict[Group, dict[str, Found]]:
    """Scores by group and system, in the order of the paper's categories; no `listen`."""
    values = {(row["item"], row["take"], row["system"]): row["value"] for row in rows}
    systems = dict.fromkeys(row["system"] for row in rows)
    groups: dict[Group, list[Probe]] = defaultdict(list)
    for probe in probes:
        groups[probe.language, probe.category, probe.measure].append(probe)
    order = [(lang, category) for lang, names in CATEGORIES.items() for category in names]
    chosen = sorted((g for g in groups if g[2] != "listen"), key=lambda g: order.index(g[:2]))
    return {
        group: {
            system: _found([_score(p, system, values) for p in groups[group]]) for system in systems
        }
        for group in chosen
    }


def _score(
    probe: Probe, system: str, values: Mapping[tuple[str, str, str], float | None]
) -> tuple[Score, float] | None:
    """Score, chance and the measure's effect; None where a take could not be measured."""
    takes = {take: values.get((probe.id, take, system)) for take in probe.takes}
    if any(value is None for value in takes.values()):
        return None
    text, reference, step = takes[TEXT], takes[REFERENCE], MEASURES[probe.measure].step
    assert text is not None
    assert reference is not None
    if step is None:
        return (text, reference), text
    again = takes[AGAIN]
    assert again is not None
    score = (float(text - reference >= step), float(again - reference >= step))
    return score, text - reference


def _found(scores: Sequence[tuple[Score, float] | None]) -> Found:
    known = [score for score in scores if score is not None]
    mine, chance = ([(score[n], 1.0) for score, _ in known] for n in (0, 1))
    nothing = Estimate(np.nan, np.nan, np.nan, 0)
    return Found(
        estimate(mine),
        estimate(chance),
        change(mine, chance, quotient=False) if known else nothing,
        estimate([(effect, 1.0) for _, effect in known]),
        len(scores) - len(known),
    )


def read_votes(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Votes of the listening page's files; where a listener voted twice, the last one counts."""
    votes: dict[tuple[str, ...], dict[str, Any]] = {}
    keys = ("language", "category", "system", "item")
    for path in paths:
        whole = read_json(path)
        try:
            listener = str(whole["listener"])
            for vote in whole["votes"]:
                if vote["vote"] not in (1, 2, 3):
                    raise ValueError
                votes[listener, *(str(vote[key]) for key in keys)] = {**vote, "listener": listener}
        except (KeyError, TypeError, ValueError) as error:
            raise LlasaError(f"{path} holds no votes of the listening page.") from error
    if not votes:
        raise LlasaError(f"{', '.join(map(str, paths))}: there are no votes yet.")
    return list(votes.values())


def votes_table(votes: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Mean votes (1 to 3) by category and system, with intervals over items, and how many."""
    found: dict[tuple[str, str], dict[str, dict[str, list[float]]]] = defaultdict(dict)
    for vote in votes:
        group = found[vote["language"], vote["category"]]
        group.setdefault(vote["system"], {}).setdefault(vote["item"], []).append(vote["vote"])
    systems = list(dict.fromkeys(vote["system"] for vote in votes))
    table = [["category", *systems, "votes"]]
    for (language, category), group in sorted(found.items()):
        cells, total = [], 0
        for system in systems:
            items = group.get(system, {})
            total += sum(map(len, items.values()))
            cells.append(estimate([(sum(v), len(v)) for v in items.values()]).shown("{:.2f}"))
        table.append([f"{category} ({language})", *cells, str(total)])
    return table


def scores_table(found: Mapping[Group, Mapping[str, Found]]) -> list[list[str]]:
    """Shares in percent, chance in the column beside; bold where above chance."""
    systems = list(next(iter(found.values()), {}))
    table = [["category", "heard by", "n", *(c for s in systems for c in (s, "chance"))]]
    for (language, category, measure), group in found.items():
        cells = []
        for one in group.values():
            score = one.score.shown("{:.0f}", 100)
            cells += [f"**{score}**" if one.valid else score, one.chance.shown("{:.0f}", 100)]
        count = max(one.score.utterances for one in group.values())
        table.append([f"{category} ({language})", MEASURES[measure].heard_by, str(count), *cells])
    return table


def effects_table(found: Mapping[Group, Mapping[str, Found]]) -> list[list[str]]:
    """The measures themselves: how far the text's takes are above the reference's."""
    systems = list(next(iter(found.values()), {}))
    table = [["category", "measure", *systems]]
    for (language, category, measure), group in found.items():
        if MEASURES[measure].step is not None:
            cells = [one.effect.shown("{:+.2f}") for one in group.values()]
            about = f"{MEASURES[measure].heard_by}, {MEASURES[measure].unit}"
            table.append([f"{category} ({language})", about, *cells])
    return table


def doubts(found: Mapping[Group, Mapping[str, Found]]) -> list[str]:
    """A sentence for each score that no system brings above chance."""
    return [
        f"{category} ({language}), {MEASURES[measure].heard_by}: no system here is above chance, "
        "so that this score proves nothing."
        for (language, category, measure), group in found.items()
        if not any(one.valid for one in group.values())
    ]


def show_scores(probes: Sequence[Probe], rows: Sequence[Row]) -> str:
    """The tables in Markdown, and what they do not show."""
    found = score_all(probes, rows)
    parts = [markdown(scores_table(found)), "How far the text is above the reference:"]
    return "\n\n".join([*parts, markdown(effects_table(found)), *doubts(found)])


ABOUT = (
    "Share of the items in which the text is heard, in percent; beside it the chance, where the "
    "reference is spoken once more in place of the text. Bold: above chance beyond the interval "
    "of the difference. In brackets: 95 % bootstrap intervals over items."
)


def write_report(probes: Sequence[Probe], rows: Sequence[Row], run: Experiment) -> dict[str, Any]:
    """Write report.md, summary.json and listen.html; returns the summary."""
    listened: dict[str, int] = defaultdict(int)
    for probe in probes:
        listened[f"{probe.category} ({probe.language})"] += probe.measure == "listen"
    problems = [f"{r['system']}, {r['id']}: {r['problem']}" for r in rows if "problem" in r]
    parts = ["# Text understanding", ABOUT, show_scores(probes, rows)]
    if only := {name: count for name, count in listened.items() if count}:
        parts.append(f"For listeners only: {', '.join(f'{n} of {k}' for k, n in only.items())}.")
    parts += [f"Machine: {run.machine}.", *(f"    {command}" for command in run.commands)]
    write_atomic(run.folder / "report.md", ("\n\n".join(parts) + "\n").encode())
    write_atomic(run.folder / "listen.html", listening_page(probes, rows, run))
    summary = {
        "commands": run.commands,
        "machine": run.machine,
        "settings": run.settings,
        "scores": [
            {
                **dict(zip(("language", "category", "measure"), group, strict=True)),
                "system": system,
                **{name: _plain(getattr(one, name)) for name in ("score", "chance", "effect")},
                "above_chance": one.valid,
                "missing": one.missing,
            }
            for group, systems in score_all(probes, rows).items()
            for system, one in systems.items()
        ],
        "problems": problems,
    }
    write_json(run.folder / "summary.json", summary, indent=1)
    return summary


def _plain(value: Estimate) -> dict[str, float | None]:
    return {k: None if np.isnan(v) else round(v, 4) for k, v in value._asdict().items()}

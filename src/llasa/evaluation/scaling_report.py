"""The page of a scaling study: a table of the runs, the law, what it foretells, and pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llasa.base.errors import LlasaError
from llasa.base.files import write_atomic, write_json
from llasa.base.packages import require
from llasa.evaluation.experiment import machine
from llasa.evaluation.plots import png
from llasa.evaluation.report import label, scale, show
from llasa.evaluation.scaling import FLOPS, Fit, Interval, fit_law
from llasa.evaluation.scaling_grid import LOSS, Outcome
from llasa.evaluation.tables import markdown

MORE = 10.0
"""Times the compute of the largest run of which the page says what it would buy."""
_SHOWN = ("WER", "CER", "median-WER", "median-CER", "runaways", "MOS", "understanding")
"""First words of the measures that are tabled and drawn after the loss."""

Axis = tuple[str, Callable[[Outcome], float], Callable[[Outcome], str]]
"""Label, place of a run on it, and what runs of one line have in common."""


def compute(run: Outcome) -> float:
    """Operations of a run's training."""
    return FLOPS * run.parameters * run.tokens


AXES: tuple[Axis, ...] = (
    ("parameters", lambda run: run.parameters, lambda run: f"{run.share:.0%} of the data"),
    ("tokens of speech", lambda run: run.tokens, lambda run: run.model),
    ("compute (operations)", compute, lambda run: run.model),
)


def fit_runs(runs: Sequence[Outcome]) -> Fit:
    """The law of the runs' losses."""
    sizes, tokens = [run.parameters for run in runs], [run.tokens for run in runs]
    return fit_law(sizes, tokens, [run.loss for run in runs])


def foretold(runs: Sequence[Outcome]) -> tuple[Outcome, Interval] | None:
    """The run with the most compute, and its loss by the law of all others; None if these are few.

    The interval is that of the law, not of the run's own chance.
    """
    *others, last = sorted(runs, key=compute)
    try:
        fit = fit_runs(others)
    except LlasaError:
        return None
    return last, fit.loss(last.parameters, last.tokens)


def write_study(runs: Sequence[Outcome], folder: Path, command: str) -> str:
    """Write scaling.md, scaling.json and scaling.png; returns the page.

    Too few runs for a law get a page without it, which says so.
    """
    measures = _measures(runs)
    parts = ["# Train-time scaling", markdown(_table(runs, measures))]
    summary: dict[str, Any] = {"command": command, "machine": machine(), "law": None}
    fit = None
    try:
        fit = fit_runs(runs)
    except LlasaError as error:
        parts.append(str(error))
    if fit is not None:
        numbers, found = _numbers(fit), foretold(runs)
        parts += _law_text(fit, runs, numbers, found)
        summary["law"] = {name: list(one) for name, one in numbers.items()}
        if found is not None:
            summary["foretold"] = {"run": found[0].name, "measured": found[0].loss}
            summary["foretold"]["loss"] = list(found[1])
    parts += ["![Loss and quality](scaling.png)", f"Machine: {machine()}.", f"    {command}"]
    page = "\n\n".join(parts) + "\n"
    write_atomic(folder / "scaling.png", _draw(runs, measures, fit))
    write_json(folder / "scaling.json", summary, indent=1)
    write_atomic(folder / "scaling.md", page.encode())
    return page


def _measures(runs: Sequence[Outcome]) -> list[str]:
    names = dict.fromkeys(name for run in runs for name in run.measures)
    return [LOSS, *(n for kind in _SHOWN for n in names if n.partition(" ")[0] == kind)]


def _table(runs: Sequence[Outcome], measures: Sequence[str]) -> list[list[str]]:
    header = ["run", "parameters", "tokens", "steps", "compute", *map(label, measures)]
    lines = [
        [
            *(run.name, _mega(run.parameters), _mega(run.tokens)),
            *(str(run.steps), f"{compute(run):.1e}"),
            *(show(name, run.measures.get(name)) for name in measures),
        ]
        for run in sorted(runs, key=compute)
    ]
    return [header, *lines]


def _numbers(fit: Fit) -> dict[str, Interval]:
    return {name: fit.interval(lambda law, n=name: getattr(law, n)) for name in "EAaBb"}  # type: ignore[misc]


def _law_text(
    fit: Fit,
    runs: Sequence[Outcome],
    numbers: Mapping[str, Interval],
    found: tuple[Outcome, Interval] | None,
) -> list[str]:
    law = [["", "value", "95 % interval"]]
    law += [[k, f"{v.value:.3g}", f"{v.low:.3g} to {v.high:.3g}"] for k, v in numbers.items()]
    parts = [
        "Fitted to the losses: L(N, D) = E + A / N^a + B / D^b, N parameters, D tokens of speech.",
        markdown(law),
        f"The runs lie {100 * fit.error:.2f} % from the law on average. Intervals are a residual "
        "bootstrap: they know nothing of other seeds, data or learning rates.",
    ]
    if found is not None:
        last, loss = found
        parts.append(
            f"**Foretold.** The law of the {len(runs) - 1} smaller runs says {_interval(loss)} for "
            f"{last.name}; it had {last.loss:.3f} "
            f"({100 * (loss.value / last.loss - 1):+.2f} %)."
        )
    last = max(runs, key=compute)
    much = MORE * compute(last)
    now, bigger, longer = (
        fit.loss(last.parameters * n, last.tokens * d) for n, d in ((1, 1), (MORE, 1), (1, MORE))
    )
    best = fit.best(much)
    ways = [
        ["", "parameters", "tokens", "loss"],
        [f"{last.name}, by the law", _mega(last.parameters), _mega(last.tokens), _interval(now)],
        [f"{MORE:g} times the parameters", _mega(MORE * last.parameters), "", _interval(bigger)],
        [f"{MORE:g} times the data", "", _mega(MORE * last.tokens), _interval(longer)],
    ]
    sizes = _millions(best.parameters), _millions(best.tokens)
    ways.append(["the best of both", *sizes, _interval(best.loss)])
    parts += [f"**What {MORE:g} times the compute of {last.name} would buy:**", markdown(ways)]
    return parts


def _interval(found: Interval) -> str:
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def _millions(found: Interval) -> str:
    return f"{found.value / 1e6:.3g} M [{found.low / 1e6:.3g}, {found.high / 1e6:.3g}]"


def _mega(number: float) -> str:
    return f"{number / 1e6:.3g} M"


def _draw(runs: Sequence[Outcome], measures: Sequence[str], fit: Fit | None) -> bytes:
    """A row of panels for each measure, a column for each axis; the law is dashed."""
    size = (12, 3 * len(measures))
    figure = require("matplotlib.figure").Figure(size, layout="constrained")
    grid = figure.subplots(len(measures), len(AXES), squeeze=False, sharex="col", sharey="row")
    for name, panels in zip(measures, grid, strict=True):
        for axis, panel in zip(AXES, panels, strict=True):
            _panel(panel, runs, name, axis, fit if name == LOSS else None)
        panels[0].set_ylabel(label(name))
    for (name, _, _), panel in zip(AXES, grid[-1], strict=True):
        panel.set_xlabel(name)
    return png(figure)


def _panel(panel: Any, runs: Sequence[Outcome], name: str, axis: Axis, fit: Fit | None) -> None:
    _, place, line = axis
    for number, group in enumerate(dict.fromkeys(map(line, runs))):
        some = sorted((r for r in runs if line(r) == group and name in r.measures), key=place)
        if not some:
            continue
        x = [place(run) for run in some]
        found = scale(name) * np.array([run.measures[name][:3] for run in some])
        middle, low, high = found.T
        style = {"color": f"C{number}", "marker": "o", "label": group}
        panel.plot(x, middle, linestyle="none" if fit else "-", **style)
        if np.isfinite(low).all():
            panel.fill_between(x, low, high, color=f"C{number}", alpha=0.12, linewidth=0)
        if fit is not None:
            law = [float(fit.law.loss(run.parameters, run.tokens)) for run in some]
            panel.plot(x, law, color=f"C{number}", linestyle="--")
    panel.set_xscale("log")
    panel.grid(alpha=0.3)
    panel.legend(fontsize=7)

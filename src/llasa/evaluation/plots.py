"""Curves of quality against compute."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from llasa.base.packages import require
from llasa.evaluation.judges import Judges
from llasa.evaluation.report import Systems, label, scale
from llasa.evaluation.search import AXES, CANDIDATES, SPENT, split
from llasa.evaluation.statistics import Estimate
from llasa.verifiers.content import Content

SIDES = ("judges of families that chose", "held-out judges")
_MARKS = "osD^v*"


def draw_curves(found: Systems, judges: Judges) -> dict[str, bytes]:
    """A picture (PNG) for each axis of compute, by file name: a row of panels for each metric.

    Bands are the intervals. Raises `LlasaError` without matplotlib.
    """
    measures = dict.fromkeys(name for values in found.values() for name in values)
    sides = {name: _side(name, judges) for name in measures if name not in SPENT}
    kinds = list(dict.fromkeys(map(_kind, sides)))
    pictures = {}
    for axis in AXES:
        figure = require("matplotlib.figure").Figure((11, 3 * len(kinds)), layout="constrained")
        grid = figure.subplots(len(kinds), 2, squeeze=False, sharex=True, sharey="row")
        for kind, panels in zip(kinds, grid, strict=True):
            for side, panel in enumerate(panels):
                names = [name for name in sides if (_kind(name), sides[name]) == (kind, side)]
                _draw(panel, found, names, axis)
            panels[0].set_ylabel(label(kind))
        for side, panel in enumerate(grid[0]):
            panel.set_title(SIDES[side])
        for panel in grid[-1]:
            panel.set_xlabel(axis if axis == CANDIDATES else f"{axis} per utterance")
        pictures[f"{axis.replace(' ', '-').lower()}.png"] = png(figure)
    return pictures


def png(figure: Any) -> bytes:
    """A figure as a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return file.getvalue()


def _draw(panel: Any, found: Systems, names: Sequence[str], axis: str) -> None:
    """A line for each strategy and judge."""
    strategies = dict.fromkeys(split(system)[0] for system in found)
    for mark, name in zip(_MARKS, names, strict=False):
        for number, strategy in enumerate(strategies):
            points = sorted(
                (_place(system, values, axis), *(scale(name) * part for part in values[name][:3]))
                for system, values in found.items()
                if split(system)[0] == strategy and name in values
            )
            if points:
                x, middle, low, high = np.array(points).T
                style = {"color": f"C{number}", "marker": mark, "markersize": 5}
                judge = name.partition(" ")[2]
                panel.plot(x, middle, label=f"{strategy}, {judge}" if judge else strategy, **style)
                if len(x) > 1:
                    panel.fill_between(x, low, high, color=f"C{number}", alpha=0.12, linewidth=0)
                else:
                    panel.errorbar(x, middle, [middle - low, high - middle], color=f"C{number}")
    panel.set_xscale("log", base=2)
    panel.xaxis.set_major_formatter("{x:g}")
    panel.grid(alpha=0.3)
    if names:
        panel.legend(fontsize=7)
    else:
        panel.text(0.5, 0.5, "none", transform=panel.transAxes, ha="center")


def _place(system: str, values: Mapping[str, Estimate], axis: str) -> float:
    return split(system)[1] if axis == CANDIDATES else values[axis].value


def _kind(name: str) -> str:
    return name.partition(" ")[0]


def _side(name: str, judges: Judges) -> int:
    """Where a measure is drawn; failures are those that the first judge of content sees."""
    judge = name.partition(" ")[2]
    if not judge and name != "failures":
        return 1
    heard = (v for v in judges.all if (v.name == judge if judge else isinstance(v, Content)))
    return int(not any(v.family in judges.choosing_families for v in [*heard][:1]))

"""A report of rows: Markdown, HTML with audio inside, JSON and CSV."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from typing import Any

from llasa.base.files import write_atomic, write_json
from llasa.evaluation.experiment import Experiment, Row
from llasa.evaluation.judges import Judges
from llasa.evaluation.statistics import Estimate, Pair, change, estimate, median
from llasa.evaluation.tables import Table, html, markdown

PERCENT = ("WER", "CER", "median-WER", "median-CER", "failures", "runaways", "codes")
"""Measures shown in percent, by their first word."""
LAST = ("failures", "runaways", "kbit/s", "RTF", "audio", "wall", "CPU")
"""First words of the measures that come last in a table."""
ALL = "all"
"""Name of all rows together, among the kinds."""

Systems = Mapping[str, Mapping[str, Estimate]]
"""Estimates by system and measure."""


@dataclass(frozen=True)
class Report:
    """All that a report shows.

    Args:
        title: heading.
        experiment: folder, settings, command and machine.
        judges: who judged.
        rows: of all systems.
        listen: utterances whose audio the page plays.
        extra: measures of one system's rows that aren't ratios of sums.
        pictures: PNG files by name, made of the estimates of all rows.
        across: measures stand side by side, systems below each other.
        against: system that all others are compared with, utterance by utterance.
        played: systems that the page plays, all by default.
    """

    title: str
    experiment: Experiment
    judges: Judges
    rows: Sequence[Row]
    listen: int = 10
    extra: Callable[[Sequence[Row]], dict[str, Estimate]] = field(default=lambda rows: {})
    pictures: Callable[[Systems, Judges], dict[str, bytes]] = field(default=lambda *found: {})
    across: bool = False
    against: str | None = None
    played: Sequence[str] | None = None

    @property
    def systems(self) -> list[str]:
        """Systems in the order of the rows."""
        return list(dict.fromkeys(row["system"] for row in self.rows))

    @cached_property
    def estimates(self) -> dict[str, dict[str, dict[str, Estimate]]]:
        """Estimates by kind, system and measure, in the order of the rows."""
        kinds = dict.fromkeys([ALL, *(row["kind"] for row in self.rows if row["kind"])])
        return {
            kind: {
                system: self._measures(
                    [r for r in self.rows if r["system"] == system and kind in (ALL, r["kind"])]
                )
                for system in self.systems
            }
            for kind in kinds
        }

    def _measures(self, rows: Sequence[Row]) -> dict[str, Estimate]:
        pairs: dict[str, list[Pair]] = {}
        for row in rows:
            for name, pair in row["measures"].items():
                pairs.setdefault(name, []).append(pair)
        found = {}
        for name, values in pairs.items():
            found[name] = estimate(values)
            measure, _, judge = name.partition(" ")
            if measure == ("WER" if f"WER {judge}".strip() in pairs else "CER"):
                found[f"median-{name}"] = median(values)
        return found | self.extra(rows)

    @cached_property
    def changes(self) -> Systems:
        """Difference of each system from the one it is compared with, over all rows.

        Error rates and costs as quotients, other measures as differences.
        """
        rows: dict[str, dict[str, Row]] = {}
        for row in self.rows:
            rows.setdefault(row["system"], {})[row["id"]] = row["measures"]
        base = rows.pop(self.against or "", {})
        found: dict[str, dict[str, Estimate]] = {system: {} for system in rows}
        for system, own in rows.items():
            for name in self.estimates[ALL][system]:
                both = [id for id in own if name in own[id] and name in base.get(id, ())]
                if any(name in measures for measures in base.values()):
                    mine, other = ([part[id][name] for id in both] for part in (own, base))
                    found[system][name] = change(mine, other, _is_quotient(name))
        return found

    @cached_property
    def tables(self) -> dict[str, Table]:
        """A table of all rows, one of the kinds, and one of what is compared."""
        tables = {ALL: _table(self.estimates[ALL])}
        if self.against is not None:
            tables[f"against {self.against}"] = _table(self.changes, _show_change)
        if self.across:
            tables = {name: _turned(table) for name, table in tables.items()}
        kinds = {
            kind if len(self.systems) == 1 else f"{kind}, {system}": measures
            for kind, systems in self.estimates.items()
            for system, measures in systems.items()
            if kind != ALL and measures
        }
        if kinds:
            tables["by kind"] = _turned(_table(kinds))
        return tables

    @cached_property
    def drawn(self) -> dict[str, bytes]:
        """The pictures by file name."""
        return self.pictures(self.estimates[ALL], self.judges)

    def write(self) -> dict[str, Any]:
        """Write report.md, report.html, summary.json and summary.csv; returns the summary."""
        folder, summary = self.experiment.folder, self._summary()
        write_json(folder / "summary.json", summary, indent=1)
        texts = {"summary.csv": self._csv(), "report.md": self.markdown()}
        texts["report.html"] = self.html()
        for name, data in {**self.drawn, **{n: text.encode() for n, text in texts.items()}}.items():
            write_atomic(folder / name, data)
        return summary

    def text(self) -> str:
        """The tables alone, in Markdown."""
        parts = []
        for name, table in self.tables.items():
            parts += [f"## {name}"] * (len(self.tables) > 1)
            parts.append(markdown(table))
        return "\n\n".join(parts)

    def markdown(self) -> str:
        """The report without audio."""
        warnings = [f"**Warning.** {warning}" for warning in self.judges.warnings]
        facts = "\n".join(f"- {fact}" for fact in self._facts())
        commands = "\n".join(f"    {command}" for command in self.experiment.commands)
        pictures = [f"![{name}]({name})" for name in self.drawn]
        parts = [f"# {self.title}", *warnings, *pictures, self.text(), NOTE, facts, commands]
        return "\n\n".join(parts) + "\n"

    def html(self) -> str:
        """One file with everything inside, the audio as MP3."""
        title = escape(self.title)
        parts = [f'<meta charset="utf-8"><title>{title}</title>{STYLE}', f"<h1>{title}</h1>"]
        parts += [f'<p class="warning">{escape(w)}</p>' for w in self.judges.warnings]
        for name, data in self.drawn.items():
            source = f"data:image/png;base64,{base64.b64encode(data).decode()}"
            parts.append(f'<img width="1100" alt="{name}" src="{source}">')
        for name, table in self.tables.items():
            parts += [f"<h2>{escape(name)}</h2>"] * (len(self.tables) > 1)
            parts.append(html([[*map(escape, line)] for line in table]))
        facts = "".join(f"<li>{escape(fact)}</li>" for fact in self._facts())
        commands = escape("\n".join(self.experiment.commands))
        parts.append(f"<p>{escape(NOTE)}</p><ul>{facts}</ul><pre>{commands}</pre>")
        parts.append(f"<h2>Listen</h2>\n{html(self._samples())}")
        return "<!doctype html>\n" + "\n".join(parts) + "\n"

    def _summary(self) -> dict[str, Any]:
        def plain(systems: Systems) -> dict[str, Any]:
            return {
                system: {name: value.to_json() for name, value in measures.items()}
                for system, measures in systems.items()
            }

        return {
            "title": self.title,
            "commands": self.experiment.commands,
            "machine": self.experiment.machine,
            "judging": self.judges.families,
            "choosing": self.judges.choosing_families,
            "warnings": self.judges.warnings,
            "settings": self.experiment.settings,
            "scores": {kind: plain(systems) for kind, systems in self.estimates.items()},
            "against": {} if self.against is None else {self.against: plain(self.changes)},
            "unscored": self._unscored(),
        }

    def _csv(self) -> str:
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["kind", "system", "measure", *Estimate._fields])
        for kind, systems in self.estimates.items():
            for system, measures in systems.items():
                for name, value in measures.items():
                    numbers = ("" if math.isnan(number) else number for number in value)
                    writer.writerow([kind, system, name, *numbers])
        return file.getvalue()

    def _unscored(self) -> list[str]:
        counts: Counter[tuple[str, str, str]] = Counter()
        for row in self.rows:
            spoken = {"speech": row["problem"]} if "problem" in row else {}
            problems = {**row["unscored"], **spoken}
            counts.update((row["system"], what, why) for what, why in problems.items())
        return [
            f"{system}: {what} is missing {times} times ({why.rstrip('.')})"
            for (system, what, why), times in counts.items()
        ]

    def _facts(self) -> list[str]:
        judges, shown = self.judges, self.experiment.settings.items()
        return [
            f"Judges: {', '.join(judges.names)}. Judging families: {', '.join(judges.families)}. "
            f"Choosing families: {', '.join(judges.choosing_families) or 'none'}.",
            *self._unscored(),
            f"Machine: {self.experiment.machine}.",
            *(f"{k}: {json.dumps(v, ensure_ascii=False)}" for k, v in shown if v not in _NOTHING),
        ]

    def _samples(self) -> Table:
        rows = {(row["id"], row["system"]): row for row in self.rows}
        played = self.systems if self.played is None else self.played
        lines = [["", *map(escape, played)]]
        for id in list(dict.fromkeys(row["id"] for row in self.rows))[: self.listen]:
            cells = [rows.get((id, system)) for system in played]
            row = next((row for row in cells if row and row["text"]), {"text": ""})
            title = escape(f"{id}: {row['text']}").replace("\n", "<br>")
            if row.get("said", row["text"]) != row["text"]:
                title += f"<br><small>said: {escape(row['said'])}</small>"
            lines.append([title, *map(self._player, cells)])
        return lines

    def _player(self, row: Row | None) -> str:
        if row is None:
            return ""
        player = escape(row.get("problem", ""))
        if "audio" in row:
            source = f"data:audio/mpeg;base64,{self.experiment.embedded(row)}"
            player = f'<audio controls preload="none" src="{source}"></audio>'
        heard = (f"{judge}: {words or '(nothing)'}" for judge, words in row["heard"].items())
        return player + "".join(f"<br><small>{escape(words)}</small>" for words in heard)


NOTE = "In brackets: 95 % bootstrap intervals over utterances."
STYLE = """<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto }
th, td { padding: .3rem .8rem; text-align: left; border-bottom: 1px solid #8885 }
th { vertical-align: bottom } td { vertical-align: top } pre { overflow-x: auto }
.warning { border-left: 4px solid #c60; padding-left: 1rem }
@media (prefers-color-scheme: dark) { body { background: #161616; color: #ddd } }
</style>"""
_NOTHING: tuple[Any, ...] = (None, {}, [])
"""Settings that the report does not list."""


def show(name: str, value: Estimate | None) -> str:
    """An estimate as tables have it."""
    if value is None:
        return "–"
    factor = scale(name)
    digits = 1 if factor > 1 else 2 if value.value >= 1 else 3
    return value.shown(f"{{:.{digits}f}}", factor)


def scale(name: str) -> int:
    """Factor by which a measure is multiplied for display."""
    return 100 if name.split()[0] in PERCENT else 1


def label(name: str) -> str:
    """A measure's name with its unit."""
    return f"{name} %" if scale(name) > 1 else name


def _is_quotient(name: str) -> bool:
    return name.split()[0] in (*PERCENT, *LAST)


def _show_change(name: str, value: Estimate | None) -> str:
    if value is None:
        return "–"
    return value.shown("{:.2f}", sign="×") if _is_quotient(name) else value.shown("{:+.3f}")


def _table(systems: Systems, show: Callable[[str, Estimate | None], str] = show) -> Table:
    """A line for each measure, a column for each system, and the number of utterances."""
    names = dict.fromkeys(name for found in systems.values() for name in found)
    order = sorted(names, key=lambda name: name.partition(" ")[0] in LAST)
    lines = [[label(n), *(show(n, found.get(n)) for found in systems.values())] for n in order]
    counts = ([value.utterances for value in found.values()] for found in systems.values())
    return [["", *systems], *lines, ["utterances", *(str(max(n, default=0)) for n in counts)]]


def _turned(table: Table) -> Table:
    """Columns as lines."""
    return [*map(list, zip(*table, strict=True))]

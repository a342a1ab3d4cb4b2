"""A report of rows: Markdown, HTML with audio inside, JSON and CSV."""

from __future__ import annotations

import base64
import csv
import html
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from llasa.audio import read_audio
from llasa.files import write_atomic

from .judges import Judges
from .metrics import Estimate, change, estimate
from .run import Row, Run

PERCENT = ("WER", "CER", "failures", "codes")
"""Measures shown in percent, by their first word."""
LAST = ("failures", "kbit/s", "RTF", "audio", "wall", "CPU")
"""First words of the measures that close a table."""
ALL = "all"
"""Group of all rows."""

Systems = Mapping[str, Mapping[str, Estimate]]
"""Estimates by system and measure."""
Table = list[list[str]]
"""Lines of cells; the first is the header."""


@dataclass(frozen=True)
class Report:
    """All that a report shows.

    Args:
        title: heading.
        run: folder, settings, command and machine.
        judges: who judged.
        rows: of all systems.
        listen: utterances whose audio the page plays.
        extra: measures of one system's rows that are no ratio of sums.
        pictures: PNG files by name, made of the estimates of all rows.
        across: measures stand side by side, systems below each other.
        against: system that all others are compared with, utterance by utterance.
        played: systems that the page plays, all by default.
    """

    title: str
    run: Run
    judges: Judges
    rows: Sequence[Row]
    listen: int = 10
    extra: Callable[[Sequence[Row]], dict[str, Estimate]] = field(default=lambda rows: {})
    pictures: Callable[[Systems, Judges], dict[str, bytes]] = field(default=lambda *found: {})
    across: bool = False
    against: str | None = None
    played: Sequence[str] | None = None

    @cached_property
    def estimates(self) -> dict[str, dict[str, dict[str, Estimate]]]:
        """Estimates by group, system and measure, in the order of the rows."""
        groups = list(dict.fromkeys(row["group"] for row in self.rows if row["group"]))
        return {group: self._systems(group) for group in [ALL, *groups]}

    @cached_property
    def tables(self) -> dict[str, Table]:
        """A table for each group."""
        tables = {group: _table(systems) for group, systems in self.estimates.items()}
        if self.against is not None:
            tables[f"against {self.against}"] = _table(self.changes, _show_change)
        if self.across:
            return {
                group: [*map(list, zip(*table, strict=True))] for group, table in tables.items()
            }
        return tables

    @cached_property
    def changes(self) -> Systems:
        """How far each system is from the one it is compared with, over all rows.

        Error rates and costs as quotients, other measures as differences.
        """
        rows: dict[str, dict[str, Row]] = {}
        for row in self.rows:
            rows.setdefault(row["system"], {})[row["id"]] = row["measures"]
        base = rows.pop(self.against or "", {})
        return {
            system: {
                name: change(
                    [own[id][name] for id in own if name in own[id] and name in base.get(id, ())],
                    [base[id][name] for id in own if name in own[id] and name in base.get(id, ())],
                    _is_quotient(name),
                )
                for name in self.estimates[ALL][system]
                if any(name in measures for measures in base.values())
            }
            for system, own in rows.items()
        }

    @cached_property
    def drawn(self) -> dict[str, bytes]:
        """The pictures by file name."""
        return self.pictures(self.estimates[ALL], self.judges)

    @property
    def systems(self) -> list[str]:
        """In the order of the rows."""
        return list(dict.fromkeys(row["system"] for row in self.rows))

    def write(self) -> dict[str, Any]:
        """Write report.md, report.html, summary.json and summary.csv; returns the summary."""
        summary = self._summary()
        files: dict[str, str | bytes] = {
            **self.drawn,
            "summary.json": json.dumps(summary, ensure_ascii=False, indent=1) + "\n",
            "summary.csv": self._csv(),
            "report.md": self.markdown(),
            "report.html": self.html(),
        }
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            write_atomic(self.run.folder / name, data)
        return summary

    def text(self) -> str:
        """The tables alone, in Markdown."""
        parts = []
        for group, (header, *lines) in self.tables.items():
            if len(self.tables) > 1:
                parts.append(f"## {group}")
            cells = [header, ["---"] * len(header), *lines]
            parts.append("\n".join(f"| {' | '.join(line)} |" for line in cells))
        return "\n\n".join(parts)

    def markdown(self) -> str:
        """The report without audio."""
        warnings = [f"**Warning.** {warning}" for warning in self.judges.warnings]
        facts = "\n".join(f"- {fact}" for fact in self._facts())
        commands = "\n".join(f"    {command}" for command in self.run.commands)
        pictures = [f"![{name}]({name})" for name in self.drawn]
        parts = [f"# {self.title}", *warnings, *pictures, self.text(), NOTE, facts, commands]
        return "\n\n".join(parts) + "\n"

    def html(self) -> str:
        """One file with everything inside, the audio as MP3."""
        parts = [f"<h1>{html.escape(self.title)}</h1>"]
        parts += [f'<p class="warning">{html.escape(w)}</p>' for w in self.judges.warnings]
        parts += [
            f'<img width="1100" alt="{name}" src="data:image/png;base64,{_base64(data)}">'
            for name, data in self.drawn.items()
        ]
        for group, (header, *lines) in self.tables.items():
            if len(self.tables) > 1:
                parts.append(f"<h2>{html.escape(group)}</h2>")
            parts.append(_html_table(header, lines))
        facts = "".join(f"<li>{html.escape(fact)}</li>" for fact in self._facts())
        commands = html.escape("\n".join(self.run.commands))
        parts += [f"<p>{html.escape(NOTE)}</p><ul>{facts}</ul><pre>{commands}</pre>"]
        parts += ["<h2>Listen</h2>", self._samples()]
        head = f'<meta charset="utf-8"><title>{html.escape(self.title)}</title>{STYLE}'
        return f"<!doctype html>\n{head}\n" + "\n".join(parts) + "\n"

    def _systems(self, group: str) -> dict[str, dict[str, Estimate]]:
        rows = [row for row in self.rows if group in (ALL, row["group"])]
        return {
            system: self._measures([row for row in rows if row["system"] == system])
            for system in self.systems
        }

    def _measures(self, rows: Sequence[Row]) -> dict[str, Estimate]:
        names = dict.fromkeys(name for row in rows for name in row["measures"])
        found = {
            name: estimate([r["measures"][name] for r in rows if name in r["measures"]])
            for name in names
        }
        return found | self.extra(rows)

    def _summary(self) -> dict[str, Any]:
        def plain(value: Estimate) -> dict[str, float | None]:
            return {k: None if math.isnan(v) else v for k, v in value._asdict().items()}

        return {
            "title": self.title,
            "commands": self.run.commands,
            "machine": self.run.machine,
            "judging": self.judges.families,
            "choosing": self.judges.choosing_families,
            "warnings": self.judges.warnings,
            "settings": self.run.settings,
            "scores": {
                group: {
                    system: {name: plain(value) for name, value in measures.items()}
                    for system, measures in systems.items()
                }
                for group, systems in self.estimates.items()
            },
            "against": {
                self.against: {
                    system: {name: plain(value) for name, value in measures.items()}
                    for system, measures in self.changes.items()
                }
            }
            if self.against is not None
            else {},
            "unscored": self._unscored(),
        }

    def _csv(self) -> str:
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["group", "system", "measure", *Estimate._fields])
        for group, systems in self.estimates.items():
            for system, measures in systems.items():
                for name, value in measures.items():
                    numbers = ["" if math.isnan(number) else number for number in value]
                    writer.writerow([group, system, name, *numbers])
        return file.getvalue()

    def _unscored(self) -> list[str]:
        counts: Counter[tuple[str, str, str]] = Counter()
        for row in self.rows:
            problems = dict(row["unscored"])
            if "problem" in row:
                problems["speech"] = row["problem"]
            counts.update((row["system"], what, why) for what, why in problems.items())
        return [
            f"{system}: {what} is missing {times} times ({why.rstrip('.')})"
            for (system, what, why), times in counts.items()
        ]

    def _facts(self) -> list[str]:
        choosing = ", ".join(self.judges.choosing_families) or "none"
        return [
            f"Judges: {', '.join(self.judges.names)}. Judging families: "
            f"{', '.join(self.judges.families)}. Choosing families: {choosing}.",
            *self._unscored(),
            f"Machine: {self.run.machine}.",
            *(f"{key}: {json.dumps(v, ensure_ascii=False)}" for key, v in self._shown().items()),
        ]

    def _shown(self) -> dict[str, Any]:
        return {key: v for key, v in self.run.settings.items() if v not in (None, {}, [])}

    def _samples(self) -> str:
        ids = list(dict.fromkeys(row["id"] for row in self.rows))[: self.listen]
        rows = {(row["id"], row["system"]): row for row in self.rows}
        played = self.systems if self.played is None else self.played
        lines = []
        for id in ids:
            cells = [rows.get((id, system)) for system in played]
            text = next((row["text"] for row in cells if row and row["text"]), "")
            lines.append([html.escape(f"{id}: {text}"), *map(self._player, cells)])
        return _html_table(["", *played], lines, escape=False)

    def _player(self, row: Row | None) -> str:
        if row is None:
            return ""
        player = html.escape(row.get("problem", ""))
        if "audio" in row:
            sound = read_audio(self.run.folder / row["audio"]).encode("mp3")
            source = f"data:audio/mpeg;base64,{_base64(sound)}"
            player = f'<audio controls preload="none" src="{source}"></audio>'
        heard = "".join(
            f"<br><small>{html.escape(judge)}: {html.escape(words) or '(nothing)'}</small>"
            for judge, words in row["heard"].items()
        )
        return player + heard


NOTE = "In brackets: 95 % bootstrap intervals over utterances."
STYLE = """<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto }
th, td { padding: .3rem .8rem; text-align: left; border-bottom: 1px solid #8885 }
th { vertical-align: bottom } td { vertical-align: top } pre { overflow-x: auto }
.warning { border-left: 4px solid #c60; padding-left: 1rem }
@media (prefers-color-scheme: dark) { body { background: #161616; color: #ddd } }
</style>"""


def show(name: str, value: Estimate | None) -> str:
    """An estimate as tables have it."""
    if value is None or math.isnan(value.value):
        return "–"
    factor = scale(name)
    digits = 1 if factor > 1 else 2 if value.value >= 1 else 3
    middle, low, high = (f"{factor * number:.{digits}f}" for number in value[:3])
    return middle if math.isnan(value.low) else f"{middle} [{low}, {high}]"


def scale(name: str) -> int:
    """What a measure is multiplied with to be shown."""
    return 100 if name.split()[0] in PERCENT else 1


def label(name: str) -> str:
    """A measure's name with its unit."""
    return f"{name} %" if scale(name) > 1 else name


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _is_quotient(name: str) -> bool:
    return name.split()[0] in (*PERCENT, *LAST)


def _show_change(name: str, value: Estimate | None) -> str:
    if value is None or math.isnan(value.value):
        return "–"
    form = "{:.2f}" if _is_quotient(name) else "{:+.3f}"
    middle, low, high = (form.format(number) for number in value[:3])
    return f"{'×' * _is_quotient(name)}{middle} [{low}, {high}]"


def _table(systems: Systems, show: Callable[[str, Estimate | None], str] = show) -> Table:
    """A line for each measure, a column for each system, and the number of utterances."""
    names = dict.fromkeys(name for found in systems.values() for name in found)
    order = sorted(names, key=lambda name: name.partition(" ")[0] in LAST)
    lines = [
        [label(name), *(show(name, found.get(name)) for found in systems.values())]
        for name in order
    ]
    counts = ([value.utterances for value in found.values()] for found in systems.values())
    most = (str(max(count, default=0)) for count in counts)
    return [["", *systems], *lines, ["utterances", *most]]


def _html_table(header: Sequence[str], lines: Sequence[Sequence[str]], escape: bool = True) -> str:
    def row(cells: Sequence[str], tag: str, raw: bool) -> str:
        return "".join(f"<{tag}>{c if raw else html.escape(c)}</{tag}>" for c in cells)

    body = "".join(f"<tr>{row(cells, 'td', not escape)}</tr>" for cells in lines)
    return f"<table><tr>{row(header, 'th', False)}</tr>{body}</table>"

"""Tables of a report, in Markdown and in HTML."""

from __future__ import annotations

from collections.abc import Sequence

Table = list[list[str]]
"""Lines of cells; the first is the header."""


def markdown(table: Sequence[Sequence[str]]) -> str:
    """A table of cells that are Markdown."""
    header, *lines = table
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, ["---"] * len(header), *lines])


def html(table: Table) -> str:
    """A table of cells that are HTML."""
    rows = []
    for number, cells in enumerate(table):
        tag = "td" if number else "th"
        rows.append("".join(f"<{tag}>{cell}</{tag}>" for cell in cells))
    return f"<table><tr>{'</tr><tr>'.join(rows)}</tr></table>"

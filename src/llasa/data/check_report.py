"""What a check of manifests found, as text and as one HTML file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from llasa.data.check import KINDS, Findings, Split

_MOST_SHOWN = 200
"""Findings of a kind that the page lists."""
_BARS = 30
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .2rem .8rem .2rem 0 }
th { text-align: left } tr { border-bottom: 1px solid #ddd } td { vertical-align: top }
td:nth-child(2) { overflow-wrap: anywhere } svg { background: #f6f6f6 } rect { fill: #48c }
"""


def summary(found: Findings) -> str:
    """Some lines for the terminal."""
    lines = []
    for split in found.splits:
        lines.append(f"{split.manifest.path}: {', '.join(_facts(split))}")
        lines += [f"  {count:,} {KINDS[kind]}" for kind, count in split.counts().items()]
        if not split.findings:
            lines.append("  nothing wrong was found")
    return "\n".join([*lines, *_shared(found)])


def html_report(found: Findings) -> bytes:
    """The page; it needs no other file."""
    body = ["<h1>Check of recordings</h1>"]
    body += [f"<p>{escape(sentence)}</p>" for sentence in _shared(found)]
    for split in found.splits:
        body.append(f"<h2>{escape(str(split.manifest.path))}</h2>")
        body.append(f"<p>{escape(', '.join(_facts(split)))}</p>")
        counts = split.counts()
        body.append(_table(("found", "what"), [(f"{n:,}", KINDS[k]) for k, n in counts.items()]))
        body.append(_histogram("seconds", np.array(split.seconds)))
        body.append(_histogram("characters a second", split.rates()))
        for kind, count in counts.items():
            body.append(f"<h3>{escape(KINDS[kind].capitalize())}</h3>")
            listed = [f for f in split.findings if f.kind == kind][:_MOST_SHOWN]
            rows = [(str(f.line), f.audio, f.reason) for f in listed]
            body.append(_table(("line", "recording", "why"), rows))
            if count > len(listed):
                body.append(f"<p>The first {len(listed):,} of {count:,}.</p>")
    head = f"<meta charset=utf-8><title>Check of recordings</title><style>{_STYLE}</style>"
    page = (
        f"<!doctype html>\n<html lang=en><head>{head}</head><body>{''.join(body)}</body></html>\n"
    )
    return page.encode("utf-8", "backslashreplace")


def _facts(split: Split) -> Iterable[str]:
    yield f"{split.rows:,} recordings"
    yield f"{split.hours:.2f} h"
    yield f"{len(split.speakers):,} speakers"
    if split.error_rate is not None:
        yield f"{split.error_rate:.1%} of the words heard otherwise"


def _shared(found: Findings) -> list[str]:
    """A sentence for each two splits with common speakers."""
    sentences = []
    for (a, b), people in found.shared.items():
        names = [str(found.splits[number].manifest.path) for number in (a, b)]
        some = ", ".join(people[:5]) + (", ..." if len(people) > 5 else "")
        sentences.append(f"Speakers in both {names[0]} and {names[1]}: {len(people):,} ({some}).")
    return sentences


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return "<p>Nothing wrong was found.</p>"
    lines = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    top = "".join(f"<th>{escape(name)}</th>" for name in header)
    return f"<table><tr>{top}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _histogram(name: str, values: NDArray[np.float64]) -> str:
    """A picture of how the values are spread, up to their 99.5th percentile."""
    values = values[np.isfinite(values)]
    if not values.size:
        return ""
    top = float(np.percentile(values, 99.5)) or 1.0
    counts, _ = np.histogram(values.clip(0, top), _BARS, (0, top))
    heights = (counts / counts.max() * 100).round(1).tolist()
    bars = [
        f'<rect x="{n * 12}" y="{100 - height}" width="11" height="{height}"/>'
        for n, height in enumerate(heights)
    ]
    median = float(np.median(values))
    text = f"{name}: 0 to {top:.1f}, half of them below {median:.1f}"
    picture = f'<svg width="{_BARS * 12}" height="100">{"".join(bars)}</svg>'
    return f"<p>{picture}<br>{escape(text)}</p>"

"""Where a long sentence, or a long text, is split into parts that are spoken one after another."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import pairwise

from llasa.base.errors import LlasaError

CHUNK_CHARS = 100
"""Characters a chunk holds (paper, table 2: over 100 characters two chunks, over 200 three)."""
PATIENCE = 400
"""Sentences longer than this are spoken in parts."""
LOOKAHEAD = 40
"""Characters of context that decide whether a mark ends a sentence."""
CLOSERS = "\"'”’»)\\]」』）】"
"""Quotes and brackets that may close on a mark, for a set of a regular expression."""
_PAUSE = re.compile(
    rf"(?<![.!?…,;:—–])[.!?…,;:—–]++[{CLOSERS}]*+(?=\s)|[。！？，、；：]++[{CLOSERS}]*+"
)
_SPACES = re.compile(r"\s+")


def chunk_places(text: str, max_chars: int) -> list[tuple[int, int]]:
    """Where a long text is cut into ceil(length / max_chars) parts of about equal length.

    Each cut is at the punctuation nearest to where equal parts would end, else at the nearest
    space, else right there (paper, table 2 and section 4.2: chunked synthesis), so that parts may
    be somewhat longer than `max_chars`. Gives their first characters, and one past the last.
    """
    if max_chars < 1:
        raise LlasaError(f"max_chars must be 1 or more, not {max_chars}.")
    begin, end = len(text) - len(text.lstrip()), len(text.rstrip())
    parts = -(-(end - begin) // max_chars)
    if parts <= 1:
        return [(begin, end)] if end > begin else []
    size = (end - begin) / parts
    stops = [match.end() for match in _PAUSE.finditer(text)]
    spaces = [match.start() for match in _SPACES.finditer(text)]
    cuts = [begin]
    for number in range(1, parts):
        target = begin + round(number * size)
        low, high = max(cuts[-1] + 1, target - size / 2), min(end - 1, target + size / 2)
        cut = _nearest(stops, target, low, high) or _nearest(spaces, target, low, high)
        cuts.append(cut or _between_letters(text, max(target, cuts[-1] + 1)))
    return list(pairwise([*cuts, end]))


def early_cuts(text: str, start: int, stop: int) -> Iterator[int]:
    """Where a sentence from `start` to `stop`, or what has come of it, is cut as it is too long."""
    while stop - start > PATIENCE + LOOKAHEAD:
        window = text[start : start + PATIENCE]
        cuts = [match.end() for match in _PAUSE.finditer(window, PATIENCE // 2)]
        cut = cuts[-1] if cuts else window.rfind(" ", 1)
        start = start + cut if cut >= 1 else _between_letters(text, start + PATIENCE)
        yield start


def _nearest(places: list[int], target: int, low: float, high: float) -> int | None:
    """The place (sorted list) nearest to the target within [low, high]."""
    window = places[bisect_left(places, low) : bisect_right(places, high)]
    return min(window, key=lambda place: abs(place - target), default=None)


def _between_letters(text: str, place: int) -> int:
    """The next place that does not part a letter from its combining marks."""
    while place < len(text) and unicodedata.category(text[place]).startswith("M"):
        place += 1
    return min(place, len(text))

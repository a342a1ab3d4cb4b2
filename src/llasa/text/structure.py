"""Structure of plain text: the ends of paragraphs, list items, headings and rows end sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from llasa.text.sentences import FoundSentence, find_sentences, pause_after
from llasa.text.splitting import PATIENCE
from llasa.text.traced import Traced

PARAGRAPH, HEADING, LINE = 0.6, 0.7, 0.4
"""Seconds of silence after a paragraph, a heading, and a list item or another short line."""


class Sentence(NamedTuple):
    """A sentence as it is written, without the marks of its list or heading.

    `pause` are the seconds of silence that follow by its mark, or by the paragraph that it ends,
    `silence` those that the text itself asks for. `cut`: the sentence goes on in the next one;
    `ends`: it is the last one of a paragraph, item or heading.
    """

    text: Traced
    pause: float
    silence: float = 0.0
    cut: bool = False
    ends: bool = False


def as_sentence(written: Traced, found: FoundSentence, pause: float | None) -> Sentence:
    """What was found in a text as a sentence.

    pause: seconds after the paragraph, item or heading that it ends; None where it ends none.
    """
    bare = written.sub(_MARKS, lambda _: " ").sub(_BARS, lambda _: ", ")
    own = pause_after(bare.text.rstrip())
    ends = pause is not None
    return Sentence(bare, max(own, pause or 0.0), found.silence, found.cut and not ends, ends)


class PlainReader:
    """Sentences of a plain text that comes in fragments; how it is cut into them does not matter.

    An empty line ends a paragraph. A line ends a sentence where it is a heading (`# Title`) or a
    row of a table, where the next one is a list item (`- milk`, `2. Bread`), and where it is short,
    has no mark at its end, and the next one begins like a sentence.
    """

    def __init__(self) -> None:
        self._text, self._offset = "", 0
        self._column = 0  # characters of the first line that are gone already

    def read(self, fragment: str, final: bool = False) -> Iterator[Sentence]:
        """The sentences that are complete now; with `final` all that are left."""
        raw, at = self._text + fragment, 0
        text = raw.replace("\r\n", " \n").translate(_NEWLINES)
        if raw.endswith("\r") and not final:  # perhaps half of a line end
            text = text[:-1]
        while at < len(text):
            stop, after, pause = self._block(text, at, final)
            while pause is not None and stop > at and text[stop - 1].isspace():
                stop -= 1
            for found in find_sentences(text, at, stop, final=pause is not None):
                at = found.after
                written = Traced.of(text[found.start : found.stop], self._offset + found.start)
                yield as_sentence(written, found, pause if at == stop else None)
            if pause is None:
                break
            at = after
        newline = text.rfind("\n", 0, at)
        self._column = at - newline - 1 if newline >= 0 else self._column + at
        self._text, self._offset = raw[at:], self._offset + at

    def _block(self, text: str, at: int, final: bool) -> tuple[int, int, float | None]:
        """Where the paragraph, item or heading from `at` on ends, where the next one begins, and
        the pause between; None for the pause where the end is not there yet."""
        line = at
        while True:
            kind = None if line == 0 and self._column else _ALONE.match(text, line)
            pause = PARAGRAPH if kind is None else LINE if kind["row"] else HEADING
            newline = text.find("\n", line)
            if newline < 0:
                if final:
                    return len(text), len(text), pause
                waits = kind is not None and len(text) - line < PATIENCE
                return line if waits else len(text), at, None
            if gap := _EMPTY_LINES.match(text, newline):
                return newline, gap.end(), pause
            start = _INDENT.match(text, newline + 1).end()  # type: ignore[union-attr]
            if not final and len(text) - start < _TELLING and text.find("\n", start) < 0:
                return newline, at, None  # it is not clear yet what the next line is
            if kind is not None:
                return newline, newline + 1, pause
            next_stands = _ALONE.match(text, newline + 1) or _ITEM.match(text, newline + 1)
            if next_stands or self._is_short(text, line, newline, start):
                return newline, newline + 1, LINE
            line = newline + 1

    def _is_short(self, text: str, line: int, stop: int, following: int) -> bool:
        """Whether a line was broken early, as titles and list rows are."""
        length = stop - line + (self._column if line == 0 else 0)
        last, after = text[line:stop].rstrip()[-1:], text[following : following + 1]
        return length < _SHORT and last.isalnum() and (after.isupper() or after.isdigit())


_SHORT = 40
_TELLING = 8
"""Number of characters that decide what kind a line is."""
_NEWLINES = dict.fromkeys(map(ord, "\r\x0b\x0c\x85\u2028\u2029"), "\n")
_EMPTY_LINES = re.compile(r"\n(?:[^\S\n]*+\n)++")
_INDENT = re.compile(r"[^\S\n]*+")
_ALONE = re.compile(r"[^\S\n]*+(?:(?P<row>\|)|#{1,6}[ \t]+\S)")
_ITEM = re.compile(r"[^\S\n]*+(?:[-*+•◦‣▪–—]|\d{1,3}[.)])[ \t]+\S")
_MARKS = re.compile(
    r"^\s*(?:(?:[-*+•◦‣▪–—]|\#{1,6})[ \t]+|\|[ \t]*|>[> \t]*|\[[ xX]\][ \t]+)++"
    r"|\n[ \t]*>[> \t]*|[ \t]*\|\s*$"
)
"""Marks of lists, headings, quotations and rows."""
_BARS = re.compile(r"[ \t]*\|[ \t]*")

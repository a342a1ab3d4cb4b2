"""Markdown as a person would read it out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING
from urllib.parse import unquote

from llasa.text.lexicon import is_respelling
from llasa.text.sentences import find_sentences
from llasa.text.structure import HEADING, LINE, PARAGRAPH, Sentence, as_sentence
from llasa.text.traced import Traced, join

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

CODE = "Code example."
"""Spoken in place of a code block."""
MarkdownBlock = tuple[Traced, float]
"""A paragraph, heading, item or row of a table, and the seconds of silence after it."""


class MarkdownReader:
    """Sentences of a Markdown text (CommonMark, with tables) that comes in fragments.

    Markup is dropped, links and images are read as their text, code blocks are only mentioned. A
    block counts as complete once an empty line and a line that cannot belong to it follow.
    """

    def __init__(self) -> None:
        self._text, self._offset = "", 0

    def read(self, fragment: str, final: bool = False) -> Iterator[Sentence]:
        """The sentences of the blocks that are complete now; with `final` all that are left."""
        text = self._text + fragment
        if not (final or "\n" in fragment or "\r" in fragment):
            self._text = text
            return
        stop = len(text) if final else _complete(text)
        for block, pause in _Blocks(text[:stop], self._offset).read():
            words = block.strip()
            for found in find_sentences(words.text, 0, len(words), final=True):
                ends = found.after == len(words)
                yield as_sentence(words[found.start : found.stop], found, pause if ends else None)
        self._text, self._offset = text[stop:], self._offset + stop


def _complete(text: str) -> int:
    """Length of the part of a text that consists of complete blocks."""
    done, fence, empty = 0, "", False
    for start, stop in pairwise(_lines(text)):
        line = text[start:stop]
        bare = line.strip()
        if empty and not fence and bare and _BEGINS.match(line):
            done = start
        if marks := _FENCE.match(bare):
            opened = fence or marks[0]
            fence = "" if fence and marks[0].startswith(fence) else opened
        empty = not bare
    return done


def _lines(text: str) -> list[int]:
    """Offsets of all lines, as Markdown counts them, and the end of the text."""
    return [0, *(match.end() for match in _LINE_END.finditer(text)), len(text)]


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable(["table", "strikethrough"])


class _Blocks:
    """Collects the blocks of a text, and tracks where in the source each word lies."""

    def __init__(self, text: str, offset: int) -> None:
        head = _FRONT_MATTER.match(text) if offset == 0 else None
        skipped = head.end() if head else 0
        self._text, self._offset, self._place = text[skipped:], offset + skipped, 0
        self._lines = _lines(self._text)
        self._depth, self._heading, self._number = 0, False, ""
        self._row: list[Traced] | None = None

    def read(self) -> Iterator[MarkdownBlock]:
        """All of them."""
        for token in _parser().parse(self._text):
            self._enter(token)
            if token.type == "inline":
                words = self._inline(token)
                if self._row is not None:
                    self._row.append(words)
                    continue
                number, self._number = self._made(self._number, token), ""
                pause = HEADING if self._heading else LINE if self._depth else PARAGRAPH
                yield join([number, words]), pause
            elif token.type == "tr_close":
                yield join(self._row or [], ", "), LINE
                self._row = None
            elif token.type in ("fence", "code_block"):
                yield self._made(CODE, token), PARAGRAPH
            elif token.type == "html_block":
                start, stop = self._stretch(token)
                html = Traced.of(self._text[start:stop], self._offset + start)
                yield html.sub(_TAG, lambda _: " "), PARAGRAPH

    def _enter(self, token: Token) -> None:
        """Track the containers (lists, quotations, tables) of the blocks that follow."""
        match token.type:
            case "heading_open" | "heading_close":
                self._heading = token.nesting > 0
            case kind if kind.startswith(("bullet_list_", "ordered_list_")):
                self._depth += token.nesting
            case "list_item_open":
                self._number = f"{token.info}. " if token.info else ""
            case "tr_open":
                self._row = []

    def _stretch(self, token: Token) -> tuple[int, int]:
        """Offsets of the block's lines."""
        first, last = token.map or (0, -1)
        return self._lines[first], self._lines[last]

    def _made(self, words: str, token: Token) -> Traced:
        """Words that stand for the current position, or for a whole code block."""
        start, stop = self._stretch(token)
        return Traced.standing_for(words, self._offset + start, self._offset + stop)

    def _inline(self, token: Token) -> Traced:
        if token.map:
            self._place = max(self._place, self._lines[token.map[0]])
        end = self._stretch(token)[1] if token.map else len(self._text)
        pieces: list[Traced] = []
        respelled: tuple[int, str] | None = None  # what a link is said as, from which piece on
        for child in token.children or []:
            match child.type:
                case "text" | "code_inline" | "text_special" | "image":
                    pieces.append(self._find(child.content, end))
                case "softbreak" | "hardbreak":
                    pieces.append(self._find("\n", end))
                case "html_inline" if not _TAG.fullmatch(child.content):
                    pieces.append(self._find(child.content, end))
                case "link_open":
                    target = unquote(str(child.attrGet("href")))
                    respelled = (len(pieces), target) if is_respelling(target) else None
                case "link_close" if respelled and respelled[0] < len(pieces):
                    first, said = respelled
                    (start, _), (_, stop) = pieces[first].span, pieces[-1].span
                    pieces[first:] = [Traced.standing_for(said, start, stop)]
        return join(pieces)

    def _find(self, words: str, end: int) -> Traced:
        """The parser's words in the source, or at the current position if written differently."""
        start = self._text.find(words, self._place, end)
        if start >= 0:
            self._place = start + len(words)
            return Traced.of(words, self._offset + start)
        if len(single := _RUNS.findall(words)) > 1:
            return join([self._find(run, end) for run in single])
        place = self._offset + min(self._place, len(self._text) - 1)
        return Traced.standing_for(words, place, place + 1)


_BEGINS = re.compile(r"(?!\s|[-*+>|]|\d{1,9}[.)])")
"""A line that does not continue a list, quotation or table."""
_FENCE = re.compile(r"`{3,}|~{3,}")
_FRONT_MATTER = re.compile(r"---\n.*?\n---\n", re.S)
_RUNS = re.compile(r"\s+|\w+|[^\w\s]")
_LINE_END = re.compile(r"\r\n|\n|\r")
_TAG = re.compile(r"(?!<break\b)<(?:!--.*?--|[^<>]*)>", re.S)

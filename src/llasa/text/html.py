"""Pages of HTML or XHTML as plain text: a paragraph each, with the marks of headings and lists."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from html import unescape
from typing import NamedTuple

HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_BLOCKS = {
    *HEADINGS,
    *("p", "div", "section", "article", "blockquote", "pre", "figure", "figcaption", "hr"),
    *("ul", "ol", "li", "dl", "dt", "dd", "table", "tr", "caption", "body", "aside", "header"),
    *("footer", "main", "address"),
}
_SILENT = {"title", "script", "style", "template", "nav", "rt", "rp", "svg", "math"}
"""Elements that nobody reads out."""
_SILENT_TYPES = {
    *("pagebreak", "noteref", "footnote", "footnotes", "endnote", "endnotes", "rearnote"),
    *("rearnotes", "annoref", "toc", "landmarks", "page-list", "doc-pagebreak", "doc-noteref"),
    *("doc-footnote", "doc-endnote", "doc-endnotes", "doc-toc", "doc-pagelist"),
}
"""Likewise, by `epub:type` or `role`."""
_VOID = {"br", "hr", "img", "input", "link", "meta", "area", "base", "col", "embed", "wbr"}
_ENDS = {
    tag: ended
    for tags, ended in (
        ((*_BLOCKS, "nav"), {"p"}),
        (("li",), {"p", "li"}),
        (("dt", "dd"), {"p", "dt", "dd"}),
        (("td", "th"), {"p", "td", "th"}),
        (("tr", "tbody", "tfoot"), {"p", "td", "th", "tr"}),
        (("rt", "rp"), {"rt", "rp"}),
    )
    for tag in tags
}
"""By the element that begins: those without an end tag of their own that end there."""
_SPACE = re.compile(r"\s+")
_ATTRIBUTE = (
    r"""[\s/]*+([^\s/>][^\s/>=]*+)(?:\s*+=\s*+(?:"([^"]*+)"?|'([^']*+)'?|([^\s>]++))?+)?+"""
)
_MARKUP = re.compile(
    rf"""<(?:
        !--(?:-?>|.*?(?:--!?>|\Z))
        | !\[CDATA\[(?P<literal>.*?)(?:\]\]>|\Z)
        | !DOCTYPE[^>\[]*+(?:\[.*?(?:\]\s*+>|\Z)|>|\Z)
        | (?:[!?]|/(?![a-z]))[^>]*+(?:>|\Z)
        | (?P<end>/?)(?P<tag>[a-z][^\s/>]*+)
          (?P<attributes>(?:{_ATTRIBUTE})*+)(?P<rest>[\s/]*+)(?:>|\Z)
    )""",
    re.ASCII | re.DOTALL | re.IGNORECASE | re.VERBOSE,
)
"""All that is no text. What has no end goes on to that of the page, so nothing is searched twice:
`html.parser` takes hours for a megabyte that was made for it.
"""
_ATTRIBUTES = re.compile(_ATTRIBUTE, re.ASCII)
_CODE = {
    tag: re.compile(rf"(?=</{tag}[\s/>])|\Z", re.ASCII | re.IGNORECASE)
    for tag in ("script", "style")
}
"""Elements without markup inside, and where they end."""


def html_text(page: str) -> tuple[str, bool]:
    """The text of a page, its blocks apart by empty lines; and whether it has a heading.

    Headings begin with "# " and items of lists with "- ", as `PlainReader` takes them. Scripts,
    navigation, notes and their marks are left out. Tags may be missing or wrong as in browsers, and
    the time it takes grows with the length of the page alone.
    """
    reader = _Reader()
    for token in _tokens(page):
        reader.read(token)
    blocks = reader.finish()
    return "\n\n".join(blocks), any(block.startswith("# ") for block in blocks)


class _Tag(NamedTuple):
    name: str
    is_silent: bool
    starts: bool
    ends: bool


def _tokens(page: str) -> Iterator[str | _Tag]:
    """Texts and tags; comments, declarations and the contents of scripts are left out."""
    place = 0
    while found := _MARKUP.search(page, place):
        yield unescape(page[place : found.start()])
        place = found.end()
        if found["literal"]:
            yield found["literal"]
        elif found["tag"]:
            name, is_end = found["tag"].lower(), bool(found["end"])
            ends = is_end or name in _VOID or found["rest"].endswith("/")
            yield _Tag(name, _is_silent(name, found["attributes"]), not is_end, ends)
            if not ends and name in _CODE and (end := _CODE[name].search(page, place)):
                place = end.start()
    yield unescape(page[place:])


def _is_silent(name: str, attributes: str) -> bool:
    if name in _SILENT:
        return True
    for found in _ATTRIBUTES.finditer(attributes):
        key, *values = found.groups("")
        if key.lower() == "hidden":
            return True
        kinds = unescape("".join(values)).split() if key.lower() in ("epub:type", "role") else ()
        if not _SILENT_TYPES.isdisjoint(kinds):
            return True
    return False


class _Reader:
    def __init__(self) -> None:
        self._blocks: list[str] = []
        self._words: list[str] = []
        self._mark = ""
        self._open: list[str] = []  # elements
        self._counts: Counter[str] = Counter()  # of each name among them
        self._hidden = 0  # how many are open with the outermost one that is left out

    def finish(self) -> list[str]:
        """All blocks."""
        self._end_block()
        return self._blocks

    def read(self, token: str | _Tag) -> None:
        """Take the next text or tag."""
        if isinstance(token, _Tag):
            if token.starts:
                self._start(token)
            if token.ends:
                self._end(token.name)
        elif not self._hidden and (self._words or token.strip()):
            self._words.append(" ".join(_SPACE.split(token)))

    def _start(self, tag: _Tag) -> None:
        name = tag.name
        while self._open and self._open[-1] in _ENDS.get(name, ()):
            self._close()
        self._open.append(name)
        self._counts[name] += 1
        if self._hidden:
            return
        if tag.is_silent:
            self._hidden = len(self._open)
        elif name in _BLOCKS:
            self._end_block()
            self._mark = "# " if name in HEADINGS else "- " if name == "li" else self._mark
        elif name == "br":
            self._words.append(" " if self._mark == "# " else "\n")
        elif name in ("td", "th") and self._words:
            self._words.append(", ")

    def _end(self, name: str) -> None:
        hidden = self._hidden
        if self._counts[name]:
            while self._close() != name:
                pass
        if hidden and len(self._open) >= hidden - 1:
            return  # it was the one that is left out, or inside
        if name in _BLOCKS:
            self._end_block()
            self._mark = ""

    def _close(self) -> str:
        """Close the innermost open element; returns its name."""
        name = self._open.pop()
        self._counts[name] -= 1
        if len(self._open) < self._hidden:
            self._hidden = 0
        return name

    def _end_block(self) -> None:
        """What has come in is a paragraph, heading or item."""
        lines = (" ".join(line.split()) for line in "".join(self._words).split("\n"))
        if said := "\n".join(line for line in lines if line):
            self._blocks.append(self._mark + said)
            self._mark = ""
        self._words = []

"""Pages of HTML or XHTML as plain text: a paragraph each, with the marks of headings and lists."""

from __future__ import annotations

import re
from html.parser import HTMLParser

HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_BLOCKS = {
    *HEADINGS,
    *("p", "div", "section", "article", "blockquote", "pre", "figure", "figcaption", "hr"),
    *("ul", "ol", "li", "dl", "dt", "dd", "table", "tr", "caption", "body", "aside", "header"),
    *("footer", "main", "address"),
}
_SILENT = {"head", "script", "style", "template", "nav", "rt", "rp", "svg", "math"}
"""Elements that nobody reads out."""
_SILENT_TYPES = {
    *("pagebreak", "noteref", "footnote", "footnotes", "endnote", "endnotes", "rearnote"),
    *("rearnotes", "annoref", "toc", "landmarks", "page-list", "doc-pagebreak", "doc-noteref"),
    *("doc-footnote", "doc-endnote", "doc-endnotes", "doc-toc", "doc-pagelist"),
}
"""Likewise, by `epub:type` or `role`."""
_SPACE = re.compile(r"\s+")
_VOID = {"br", "hr", "img", "input", "link", "meta", "area", "base", "col", "embed", "wbr"}


def html_text(page: str) -> tuple[str, bool]:
    """The text of a page, its blocks apart by empty lines; and whether it has a heading.

    Headings begin with "# " and items of lists with "- ", as `PlainReader` takes them. Scripts,
    navigation, notes and their marks are left out.
    """
    reader = _Reader()
    reader.feed(page)
    reader.close()
    blocks = reader.finish()
    return "\n\n".join(blocks), any(block.startswith("# ") for block in blocks)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._blocks: list[str] = []
        self._words: list[str] = []
        self._mark = ""
        self._hidden, self._depth = "", 0  # the element that is left out, and those like it inside

    def finish(self) -> list[str]:
        """All blocks."""
        self._end_block()
        return self._blocks

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See `HTMLParser`."""
        if self._hidden:
            self._depth += tag == self._hidden
        elif tag not in _VOID and _is_silent(tag, attrs):
            self._hidden, self._depth = tag, 1
        elif tag in _BLOCKS:
            self._end_block()
            self._mark = "# " if tag in HEADINGS else "- " if tag == "li" else self._mark
        elif tag == "br":
            self._words.append(" " if self._mark == "# " else "\n")
        elif tag in ("td", "th") and self._words:
            self._words.append(", ")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See `HTMLParser`; nothing lies between here, so nothing is left out."""
        if not self._hidden and not _is_silent(tag, attrs):
            self.handle_starttag(tag, attrs)
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        """See `HTMLParser`."""
        if self._hidden:
            self._depth -= tag == self._hidden
            self._hidden = self._hidden if self._depth else ""
        elif tag in _BLOCKS:
            self._end_block()
            self._mark = ""

    def handle_data(self, data: str) -> None:
        """See `HTMLParser`."""
        if not self._hidden:
            self._words.append(" ".join(_SPACE.split(data)))

    def _end_block(self) -> None:
        """What has come in is a paragraph, heading or item."""
        lines = (" ".join(line.split()) for line in "".join(self._words).split("\n"))
        if said := "\n".join(line for line in lines if line):
            self._blocks.append(self._mark + said)
            self._mark = ""
        self._words = []


def _is_silent(tag: str, attrs: list[tuple[str, str | None]]) -> bool:
    values = dict(attrs)
    kinds = f"{values.get('epub:type') or ''} {values.get('role') or ''}".split()
    return tag in _SILENT or "hidden" in values or not _SILENT_TYPES.isdisjoint(kinds)

"""Books in EPUB 2 and 3 as plain text, in the order in which they are read."""

from __future__ import annotations

import codecs
import io
import lzma
import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

from llasa.base.errors import LlasaError
from llasa.base.names import plain, shorten
from llasa.text.html import html_text

MOST_BYTES, MOST_PAGES = 64 << 20, 20_000
"""Of all pages together; a long novel has 2 MB in some dozens of pages."""
_NCX = "application/x-dtbncx+xml"
_PAGES = ("application/xhtml+xml", "text/html", "application/x-dtbook+xml")
_FONTS = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
"""Ways in which only fonts are made unusable elsewhere."""
_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, ElementTree.ParseError),
    *(ValueError, EOFError, OSError, LookupError, NotImplementedError),
)


def epub_text(data: bytes, name: str) -> str:
    """The text of a book: each chapter under its title ("# One"), paragraphs apart by empty lines.

    A chapter without a heading gets its title in the table of contents; what is not in the order of
    reading, such as pages of notes, is left out, and so are navigation and the marks of notes.

    Args:
        data: of the file.
        name: what error messages call it.

    Raises `LlasaError` where it is no EPUB, damaged, protected against copying (DRM), too large, or
    without text.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            chapters = list(_Book(file, name).chapters())
    except LlasaError:
        raise
    except _BROKEN as error:
        why = plain(shorten(str(error))) or type(error).__name__
        raise LlasaError(f"{name} is no EPUB that can be read, or it is damaged: {why}.") from error
    except RuntimeError as error:  # a password is asked for
        raise _protected(name) from error
    if not any(map(str.isalnum, "".join(chapters))):
        raise LlasaError(f"{name} has no text: its pages may be pictures.")
    return "\n\n".join(chapters) + "\n"


class _Item(NamedTuple):
    """An entry of the manifest."""

    path: str
    kind: str
    roles: list[str]


class _Book:
    """An open EPUB."""

    def __init__(self, file: zipfile.ZipFile, name: str) -> None:
        self._file, self._name, self._left = file, name, MOST_BYTES
        self._entries = {info.filename: info for info in file.infolist()}

    def chapters(self) -> Iterator[str]:
        """The text of each page that has some, in order."""
        container = self._tree("META-INF/container.xml")
        root = next((found.get("full-path") for found in _all(container, "rootfile")), None)
        if root is None:
            raise ValueError("its container names no book")
        package = self._tree(root)
        items = self._items(package, root)
        pages = [items[name] for name in _spine(package) if name in items]
        pages = [page for page in pages if page.kind in _PAGES and "nav" not in page.roles]
        if len(pages) > MOST_PAGES:
            raise self._too_large()
        self._check_protection({page.path for page in pages})
        titles = self._titles(items.values())
        for page in pages:
            text, titled = html_text(_decoded(self._read(page.path)))
            if any(map(str.isalnum, text)) and not titled and (title := titles.get(page.path)):
                text = f"# {title}\n\n{text}"
            if text:
                yield text

    def _items(self, package: ElementTree.Element, root: str) -> dict[str, _Item]:
        return {
            item.get("id", ""): _Item(
                _path(root, item.get("href", "")),
                item.get("media-type", "").lower(),
                item.get("properties", "").split(),
            )
            for item in _all(package, "item")
        }

    def _titles(self, items: Iterable[_Item]) -> dict[str, str]:
        """Titles of pages in the tables of contents, of EPUB 3 and of EPUB 2; a book is read
        without one that is damaged.
        """
        titles: dict[str, str] = {}
        for item in items:
            is_nav = "nav" in item.roles
            if not is_nav and item.kind != _NCX:
                continue
            try:
                tree = self._tree(item.path)
                for target, title in _links(tree) if is_nav else _points(tree):
                    titles.setdefault(_path(item.path, target), title)
            except LlasaError:
                raise
            except _BROKEN:
                continue
        return titles

    def _check_protection(self, pages: set[str]) -> None:
        """`LlasaError` where pages are encrypted."""
        if "META-INF/encryption.xml" not in self._entries:
            return
        for part in _all(self._tree("META-INF/encryption.xml"), "EncryptedData"):
            how = next((found.get("Algorithm") for found in _all(part, "EncryptionMethod")), None)
            what = (found.get("URI", "") for found in _all(part, "CipherReference"))
            if how not in _FONTS and any(_path("", uri) in pages for uri in what):
                raise _protected(self._name)

    def _tree(self, path: str) -> ElementTree.Element:
        return ElementTree.fromstring(self._read(path))

    def _read(self, path: str) -> bytes:
        """A file of the book; `LlasaError` where all that was read so far is too much."""
        if path not in self._entries:
            raise ValueError(f"it has no {path}")
        with self._file.open(self._entries[path]) as entry:
            data = entry.read(self._left + 1)  # sizes that are declared may be wrong
        self._left -= len(data)
        if self._left < 0:
            raise self._too_large()
        return data

    def _too_large(self) -> LlasaError:
        return LlasaError(
            f"{self._name} is too large: a book may have {MOST_BYTES >> 20} MB of text in "
            f"{MOST_PAGES:,} pages."
        )


def _protected(name: str) -> LlasaError:
    return LlasaError(
        f"{name} is encrypted or protected against copying (DRM): give one without protection."
    )


def _all(tree: ElementTree.Element, tag: str) -> Iterator[ElementTree.Element]:
    """All elements of a name, in whatever namespace."""
    return tree.iterfind(f".//{{*}}{tag}")


def _spine(package: ElementTree.Element) -> Iterator[str]:
    """The pages in the order of reading, by their ids."""
    for item in _all(package, "itemref"):
        if item.get("linear", "yes") != "no":
            yield item.get("idref", "")


def _links(nav: ElementTree.Element) -> Iterator[tuple[str, str]]:
    """Files and their titles in the table of contents of EPUB 3."""
    for link in _all(nav, "a"):
        if (target := link.get("href")) and (title := _words(link)):
            yield target, title


def _points(ncx: ElementTree.Element) -> Iterator[tuple[str, str]]:
    """The same in that of EPUB 2."""
    for point in _all(ncx, "navPoint"):
        target = next((found.get("src") for found in _all(point, "content")), None)
        title = next(map(_words, _all(point, "text")), "")
        if target and title:
            yield target, title


def _words(element: ElementTree.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def _path(base: str, reference: str) -> str:
    """Where in the book a reference of one of its files leads."""
    target = unquote(urlsplit(reference).path)
    return posixpath.normpath(posixpath.join(posixpath.dirname(base), target)).lstrip("/")


def _decoded(page: bytes) -> str:
    """The characters of a page, by its mark of bytes or by the encoding that it declares."""
    if page.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return page.decode("utf-16", errors="replace")
    if page.startswith(codecs.BOM_UTF8) or not (declared := _DECLARED.search(page[:1024])):
        return page.decode("utf-8-sig", errors="replace")
    words, encoding = declared[1], declared[2].decode()
    try:
        # In ASCII, a declaration of UTF-16 cannot be true: browsers take the page for UTF-8, too.
        fits = words.decode(encoding, errors="replace") == words.decode()
    except LookupError as error:
        raise ValueError("a page declares an encoding that is unknown") from error
    return page.decode(encoding if fits else "utf-8", errors="replace")


_DECLARED = re.compile(rb"""<\?xml[^>]*?(encoding\s*=\s*["']([\w.-]+)["'])""")

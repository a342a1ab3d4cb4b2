"""Books in EPUB: order, titles, and files that are broken, protected or hostile."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping
from itertools import pairwise

import pytest

from llasa.base.errors import LlasaError
from llasa.text.epub import MOST_BYTES, epub_text

CONTAINER = """<?xml version="1.0"?>
<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles>
<rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles>
</container>"""
PAGE = "application/xhtml+xml"
NCX = """<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/"><navMap>
<navPoint id="a"><navLabel><text>Chapter  Two</text></navLabel><content src="two%20b.xhtml#x"/>
</navPoint></navMap></ncx>"""
NAV = """<html xmlns="http://www.w3.org/1999/xhtml"><body><nav><ol>
<li><a href="two%20b.xhtml"><b>Chapter</b> Two</a></li></ol></nav></body></html>"""


def opf(*items: str, spine: str) -> str:
    return f"""<package xmlns="http://www.idpf.org/2007/opf"><manifest>{"".join(items)}
</manifest><spine>{spine}</spine></package>"""


def item(name: str, href: str, kind: str = PAGE, roles: str = "") -> str:
    return f'<item id="{name}" href="{href}" media-type="{kind}" properties="{roles}"/>'


def refs(*names: str) -> str:
    return "".join(f'<itemref idref="{name}"/>' for name in names)


ITEMS = [item("one", "one.xhtml"), item("two", "two%20b.xhtml"), item("notes", "notes.xhtml")]
PAGES = {
    "OEBPS/one.xhtml": "<html><body><h1>Chapter One</h1><p>It was night.</p></body></html>",
    "OEBPS/two b.xhtml": "<html><body><p>It was day.</p></body></html>",
    "OEBPS/notes.xhtml": "<html><body><p>A note.</p></body></html>",
}
SPINE = refs("two", "one") + '<itemref idref="notes" linear="no"/>'


def book(files: Mapping[str, str | bytes], package: str | None = None, **changed: str) -> bytes:
    """An EPUB of these files; `changed` take the place of those beside the pages."""
    made: dict[str, str | bytes] = {"mimetype": "application/epub+zip"}
    made["META-INF/container.xml"] = changed.get("container", CONTAINER)
    made["OEBPS/book.opf"] = package or opf(*ITEMS, spine=SPINE)
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in {**made, **files}.items():
            file.writestr(name, content)
    return data.getvalue()


def refusal(data: bytes) -> str:
    with pytest.raises(LlasaError) as error:
        epub_text(data, "a.epub")
    (sentence,) = str(error.value).splitlines()
    assert sentence.startswith("a.epub ")
    return sentence


def test_pages_come_in_the_order_of_the_spine() -> None:
    text = epub_text(book(PAGES), "a.epub")
    assert text == "It was day.\n\n# Chapter One\n\nIt was night.\n"


@pytest.mark.parametrize(
    "contents",
    [("toc.ncx", "application/x-dtbncx+xml", "", NCX), ("nav.xhtml", PAGE, "nav", NAV)],
)
def test_titles_come_from_the_table_of_contents(contents: tuple[str, str, str, str]) -> None:
    path, kind, roles, table = contents
    package = opf(*ITEMS, item("toc", path, kind, roles), spine=refs("toc", "one", "two"))
    text = epub_text(book({**PAGES, f"OEBPS/{path}": table}, package), "a.epub")
    said = "# Chapter One\n\nIt was night.\n\n# Chapter Two\n\nIt was day.\n"
    assert text == said


def test_a_damaged_table_of_contents_costs_its_titles_alone() -> None:
    toc = item("toc", "toc.ncx", "application/x-dtbncx+xml")
    package = opf(*ITEMS, toc, spine=refs("two"))
    text = epub_text(book({**PAGES, "OEBPS/toc.ncx": NCX + "&nbsp;"}, package), "a.epub")
    assert text == "It was day.\n"


def test_encodings() -> None:
    def said(page: bytes) -> str:
        package = opf(item("one", "one.xhtml"), spine=refs("one"))
        return epub_text(book({"OEBPS/one.xhtml": page}, package), "a.epub")

    assert said("\ufeff<p>Zoë</p>".encode()) == "Zoë\n"
    latin = '<?xml version="1.0" encoding="iso-8859-1"?><p>Zoë</p>'
    assert said(latin.encode("latin-1")) == "Zoë\n"
    assert said("<p>Zoë</p>".encode("utf-16")) == "Zoë\n"
    for wrong in ("UTF-16", "utf-16le", "utf-32", "cp500"):
        page = f'<?xml version="1.0" encoding = "{wrong}"?><p>Zoë</p>'
        assert said(page.encode()) == "Zoë\n"
        assert said(page.encode("utf-16")) == "Zoë\n"
    assert said(("\ufeff" + latin).encode()) == "Zoë\n"
    with pytest.raises(LlasaError, match="encoding that is unknown"):
        said(b'<?xml version="1.0" encoding="klingon"?><p>a</p>')


def test_protected_books_are_refused() -> None:
    def encryption(how: str, what: str) -> str:
        return f"""<encryption xmlns:e="http://www.w3.org/2001/04/xmlenc#"><e:EncryptedData>
<e:EncryptionMethod Algorithm="{how}"/><e:CipherData><e:CipherReference URI="{what}"/>
</e:CipherData></e:EncryptedData></encryption>"""

    aes = "http://www.w3.org/2001/04/xmlenc#aes256-cbc"
    hidden = {**PAGES, "META-INF/encryption.xml": encryption(aes, "OEBPS/two%20b.xhtml")}
    assert "DRM" in refusal(book(hidden))
    for how, what in (("http://www.idpf.org/2008/embedding", "OEBPS/f.otf"), (aes, "OEBPS/f.mp3")):
        text = epub_text(
            book({**PAGES, "META-INF/encryption.xml": encryption(how, what)}), "a.epub"
        )
        assert "It was night." in text
    zipped = bytearray(book(PAGES))
    for place in range(len(zipped) - 4):  # the bit of a password, in all headers
        if bytes(zipped[place : place + 4]) in (b"PK\x03\x04", b"PK\x01\x02"):
            zipped[place + (6 if zipped[place + 2] == 3 else 8)] |= 1
    assert "DRM" in refusal(bytes(zipped))


def test_broken_books_are_refused() -> None:
    whole = book(PAGES)
    assert "is no EPUB" in refusal(b"no zip")
    assert "is no EPUB" in refusal(b"")
    assert "is no EPUB" in refusal(whole[: len(whole) // 2])
    damaged = bytearray(whole)
    place = whole.index(b"OEBPS/one.xhtml") + len("OEBPS/one.xhtml")
    damaged[place : place + 20] = bytes(20)
    assert "is damaged" in refusal(bytes(damaged))
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as file:
        file.writestr("word/document.xml", "<a/>")
    assert "has no META-INF/container.xml" in refusal(other.getvalue())
    assert "names no book" in refusal(book(PAGES, container="<container/>"))
    assert "is damaged" in refusal(book(PAGES, container="<container>"))
    assert "has no OEBPS/two b.xhtml" in refusal(book({"OEBPS/one.xhtml": "<p>a</p>"}))
    assert "has no ../" in refusal(book({}, opf(item("a", "../../x"), spine=refs("a"))))
    pictures = dict.fromkeys(PAGES, "<html><body><img src='a.png'/></body></html>")
    assert "its pages may be pictures" in refusal(book(pictures))
    assert "its pages may be pictures" in refusal(book(PAGES, opf(spine=refs("one"))))


def test_hostile_books_are_refused() -> None:
    bomb: dict[str, str | bytes] = {**PAGES, "OEBPS/two b.xhtml": b" " * (MOST_BYTES + 1)}
    assert "is too large" in refusal(book(bomb))
    liar = bytearray(book(bomb))
    for mark, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):  # a size of 10 is declared
        at = liar.index(b"OEBPS/two b.xhtml", 0 if mark[2] == 3 else liar.index(b"PK\x01\x02"))
        start = liar.rindex(mark, 0, at)
        liar[start + place : start + place + 4] = struct.pack("<I", 10)
    refusal(bytes(liar))
    lol = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in pairwise("abcdefghi")
    )
    assert "is damaged" in refusal(book(PAGES, f"{lol}]><package>&i;</package>"))
    outside = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><package>&x;</package>'
    assert "root:" not in refusal(book(PAGES, outside))
    many = opf(*ITEMS, spine=refs("one") * 20_001)
    assert "20,000 pages" in refusal(book(PAGES, many))


@pytest.mark.parametrize(
    "contents",
    [
        None,
        '<?xml version="1.0" encoding="foo"?><ncx/>',
        '<?xml version="1.0" encoding="utf-32"?><ncx/>',
        NCX.replace("two%20b.xhtml#x", "http://[x"),
    ],
)
def test_a_broken_table_of_contents_costs_no_book(contents: str | None) -> None:
    toc = item("toc", "toc.ncx", "application/x-dtbncx+xml")
    files = PAGES if contents is None else {**PAGES, "OEBPS/toc.ncx": contents}
    text = epub_text(book(files, opf(*ITEMS, toc, spine=SPINE)), "a.epub")
    assert text == "It was day.\n\n# Chapter One\n\nIt was night.\n"


def test_an_encoding_that_nobody_knows_is_one_sentence() -> None:
    broken = CONTAINER.replace('version="1.0"?', 'version="1.0" encoding="foo"?')
    with pytest.raises(LlasaError, match=r"a\.epub"):
        epub_text(book(PAGES, container=broken), "a.epub")


def test_a_mark_of_bytes_is_no_text() -> None:
    page = b'\xef\xbb\xbf<?xml version="1.0" encoding="utf-8"?><html><body><p>Hi.</p></body></html>'
    text = epub_text(book({**PAGES, "OEBPS/one.xhtml": page}), "a.epub")
    assert "\ufeff" not in text

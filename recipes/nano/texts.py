"""Collect English sentences from Debian packages into one shuffled, deduplicated text file.

    python texts.py PACKAGES_FOLDER OUT_FOLDER

PACKAGES_FOLDER holds the unpacked `wordnet-base`, `r-cran-janeaustenr`, `fortunes`, `fortunes-min`,
`dict-devil`, `anarchism` and `debian-handbook`; `everyday.py` adds what people type, written out.
Writes `train.txt` (one sentence a line) and `heldout.txt` (500 sentences of WordNet and Austen that
are never synthesised for training).
"""

from __future__ import annotations

import argparse
import gzip
import random
import re
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from everyday import everyday
from script import run

from llasa.text import PLAIN, normalize_text

HELD_OUT = 500
EVERYDAY = 40_000
"""Lines of everyday language that are drawn; every third or so comes twice."""
ALLOWED = re.compile(r"[A-Za-z ,.?!;:'\"-]+")
ASCII = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "—": "-", "–": "-", "`": "'"})


def wordnet(root: Path) -> Iterator[str]:
    """Quoted example sentences of the glosses, and two-word noun phrases for short clips."""
    for part in ("adj", "adv", "noun", "verb"):
        path = root / "usr/share/wordnet" / f"data.{part}"
        for line in path.read_text(encoding="utf-8", errors="ignore").splitlines():
            gloss = line.rpartition(" | ")[2]
            yield from re.findall(r'"([^"]+)"', gloss)
            if part == "noun" and line[:1].isdigit():
                yield line.split()[4].replace("_", " ")


def austen(root: Path) -> Iterator[str]:
    """Sentences of the six novels, from R's lazy-load database (an index and zlib blobs)."""
    from rdata.conversion import convert
    from rdata.parser import parse_data

    folder = root / "usr/lib/R/site-library/janeaustenr/data"
    index = convert(parse_data((folder / "Rdata.rdx").read_bytes()))
    blob = (folder / "Rdata.rdb").read_bytes()
    for offset, size in index["variables"].values():
        packed = blob[int(offset) + 4 : int(offset) + int(size)]  # 4 bytes hold the raw length
        lines = convert(parse_data(zlib.decompress(packed)))
        for paragraph in "\n".join(map(str, lines)).split("\n\n"):
            yield from sentences(paragraph)


def fortunes(root: Path) -> Iterator[str]:
    """Sentences of quotations, without the names of those who said them."""
    for path in sorted((root / "usr/share/games/fortunes").glob("*.u8")):
        for quotation in re.split(r"\n%\n", path.read_text(encoding="utf-8", errors="ignore")):
            yield from sentences(re.split(r"\n\s*-- ", quotation)[0])


def devil(root: Path) -> Iterator[str]:
    """Sentences of Bierce's dictionary."""
    with gzip.open(root / "usr/share/dictd/devil.dict.dz", "rt", errors="ignore") as file:
        for entry in file.read().split("\n\n"):
            yield from sentences(re.sub(r"^[A-Z' -]+, \w+\.\w*\.?", "", entry.strip()))


class _Paragraphs(HTMLParser):
    """The text of each <p> of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "p":
            self._inside = True
            self.found.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "p":
            self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.found[-1] += data


def pages(folder: Path) -> Iterator[str]:
    """Sentences in the paragraphs of HTML pages."""
    for path in sorted(folder.glob("*.html")):
        parser = _Paragraphs()
        parser.feed(path.read_text(encoding="utf-8", errors="ignore"))
        for paragraph in parser.found:
            yield from sentences(paragraph)


def sentences(prose: str) -> list[str]:
    """Split where an end mark is followed by space."""
    return re.split(r"(?<=[.!?])\s+", " ".join(prose.split()))


def clean(text: str) -> str | None:
    """Plain ASCII sentence with a capital and an end mark, or None if unusable."""
    text = " ".join(text.translate(ASCII).replace("_", "").replace("--", ", ").split())
    text = re.sub(r"\s+([,.;:?!])", r"\1", text).strip("'\" -;,:")
    if not ALLOWED.fullmatch(text) or not 1 <= len(text.split()) <= 30 or len(text) > 160:
        return None
    if re.search(r"\b[A-Z]{2,}\b|\.\.|[a-z]\.[a-z]", text) or text.count('"') % 2:
        return None
    text = text[0].upper() + text[1:]
    return text if text[-1] in ".?!" else text + "."


def collect(seen: dict[str, str], *sources: Iterator[str]) -> None:
    """Add what is usable to `seen`, by its bare lower-case words."""
    for source in sources:
        for raw in source:
            if text := clean(raw):
                seen.setdefault(re.sub(r"\W+", " ", text).lower().strip(), text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packages", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    root, out = args.packages, args.out
    seen: dict[str, str] = {}
    collect(seen, wordnet(root), austen(root))
    first = list(seen.values())
    out.mkdir(parents=True, exist_ok=True)
    random.Random(0).shuffle(first)
    spoken = [s for s in first if len(s.split()) >= 4]
    held = set(spoken[:HELD_OUT])
    (out / "heldout.txt").write_text("\n".join(spoken[:HELD_OUT]) + "\n")
    docs = root / "usr/share/doc"
    handbook = pages(docs / "debian-handbook/html/en-US")
    collect(seen, fortunes(root), devil(root), pages(docs / "anarchism/html"), handbook)
    train = [s for s in seen.values() if s not in held]
    said = (PLAIN(normalize_text(typed)) for typed in everyday(EVERYDAY))
    train += dict.fromkeys(text for raw in said if (text := clean(raw)))
    random.Random(1).shuffle(train)
    (out / "train.txt").write_text("\n".join(train) + "\n")
    words = sum(len(s.split()) for s in train)
    print(f"{len(train)} sentences, {words} words; {HELD_OUT} held out")


if __name__ == "__main__":
    run(main)

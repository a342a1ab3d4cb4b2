"""Respellings of words that are not spoken as written: inline, or from a lexicon."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from llasa.base.errors import LlasaError
from llasa.base.files import data_folder, read_bytes
from llasa.base.names import shorten
from llasa.text.traced import Traced

SUFFIX = ".txt"
"""Suffix of the lexicons in the user's folder."""
MOST_ENTRIES, MOST_CHARS = 100_000, 200
"""What a lexicon may hold, and a word or its respelling."""


class Lexicon:
    """Respellings of words and names.

    A word in small letters is replaced however it is written, one with a capital only as it is.
    Entries may be of several words; the longest one that fits counts. C is not C++ or C#.
    """

    def __init__(self, entries: Mapping[str, str] | None = None) -> None:
        """Check; `LlasaError` for entries that are not words, empty or too long."""
        self.entries: dict[str, str] = {}
        self._longest = 0
        for word, said in (entries or {}).items():
            self._add(word, said)

    def _add(self, word: object, said: object) -> None:
        for what in (word, said):
            if not isinstance(what, str) or not 0 < len(what.strip()) <= MOST_CHARS:
                raise LlasaError(
                    f"The lexicon has {shorten(str(what))!r} where a word of 1 to {MOST_CHARS} "
                    'characters belongs: write "word": "respelling".'
                )
        key, parts = _key(str(word)), list(_WORD.finditer(str(word).strip()))
        if not parts or parts[0].start() or parts[-1].end() < len(str(word).strip()):
            raise LlasaError(
                f"The lexicon has {word!r}: entries begin and end with a letter or digit."
            )
        if len(self.entries) >= MOST_ENTRIES:
            raise LlasaError(f"The lexicon has more than {MOST_ENTRIES:,} entries.")
        self.entries[key] = " ".join(str(said).split())
        self._longest = max(self._longest, len(parts))

    def __or__(self, other: Lexicon) -> Lexicon:
        """Both lexicons; entries of the other one win.

        A word in small letters takes the place of those with capitals, too.
        """
        if not self.entries or not other.entries:
            return other if other.entries else self
        kept = {w: said for w, said in self.entries.items() if w.lower() not in other.entries}
        return Lexicon(kept | other.entries)

    def apply(self, text: Traced) -> Traced:
        """The text with the words of the lexicon respelled."""
        if not self.entries:
            return text
        words = list(_WORD.finditer(text.text))
        edits: list[tuple[int, int, str]] = []
        number = 0
        while number < len(words):
            for count in range(min(self._longest, len(words) - number), 0, -1):
                start, stop = words[number].start(), words[number + count - 1].end()
                said = self._said(text.text[start:stop])
                if said is not None and not _SIGN.match(text.text, stop):
                    edits.append((start, stop, said))
                    number += count - 1
                    break
            number += 1
        return text.edit(edits)

    def _said(self, written: str) -> str | None:
        key = _key(written)
        return self.entries.get(key, self.entries.get(key.lower()))


def _key(written: str) -> str:
    return " ".join(written.replace("’", "'").split())


def read_lexicon(path: str | Path) -> Lexicon:
    """A lexicon from a UTF-8 file, `word = respelling` or `word<tab>respelling` a line.

    Empty lines and those that begin with # count for nothing. Raises `LlasaError` where the file
    cannot be read or a line is not an entry.
    """
    try:
        text = read_bytes(Path(path), "a lexicon").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LlasaError(f"{path} is not UTF-8 text: save it as UTF-8.") from error
    entries: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        word, mark, said = line.partition("\t" if "\t" in line else "=")
        try:
            if not mark:
                raise LlasaError("it has no respelling: write word = respelling.")
            Lexicon({word: said})
        except LlasaError as error:
            raise LlasaError(f"{path}, line {number}: {error}") from error
        entries[word.strip()] = said.strip()
    return Lexicon(entries)


def lexicon_folder() -> Path:
    """Where the user's lexicons are kept, `*.txt` files that always count."""
    return data_folder("LLASA_LEXICONS", "lexicons")


def user_lexicon() -> Lexicon:
    """What the files in the user's folder hold, in the order of their names."""
    whole = Lexicon()
    try:
        folder = lexicon_folder()
    except LlasaError:  # a user without a home has none
        return whole
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        whole |= read_lexicon(path)
    return whole


def inline(text: Traced) -> Traced:
    """`[Siobhan](shivawn)` as its respelling, and of other links their text."""
    return text.sub(_LINK, lambda match: match[2] if is_respelling(match[2]) else match[1])


def is_respelling(target: str) -> bool:
    """Whether the target of a link is a respelling of its text, not an address."""
    return _RESPELLING.fullmatch(target) is not None


_WORD = re.compile(r"[^\W_]+")
_SIGN = re.compile(r"\+\+|#(?!\w)")
"""Signs that make a different word: C++, C#."""
_LINK = re.compile(r"!?\[([^\[\]]{1,400})\]\(([^()\s][^()]{0,400})\)")
_RESPELLING = re.compile(r"[^\W\d_]+(?:[-'’ ][^\W\d_]+)*")

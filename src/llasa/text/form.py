"""The form of text that a model was trained on, and bringing text to it."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import asdict, dataclass, fields
from typing import Any

from llasa.base.errors import LlasaError
from llasa.base.names import check_choice
from llasa.text.capitals import lowered
from llasa.text.quotes import unquoted


@dataclass(frozen=True)
class Form:
    """What a model has seen of writing; the default is a model that reads everything.

    alphabet: the letters and marks, small letters for both sizes; empty: all there are. Marks that
    are not in it become what is nearest (a dash or a bracket a comma, a hyphen a space, a curly
    apostrophe a straight one) or go, letters lose their accents, and every part begins with a
    capital. Letters of other scripts and digits stay as they are.
    ends: the marks at the end of its texts; a part gets the first one where it ends with none, and
    a comma where its sentence goes on. Empty: none is put in.
    capitals: whether it has seen words in capitals; else they become small letters, or names of
    letters where they are spelled.
    """

    alphabet: str = ""
    ends: str = ""
    capitals: bool = True

    @classmethod
    def of(cls, values: Any) -> Form:
        """From the values of a config; `LlasaError` for those that are not valid."""
        if not isinstance(values, dict):
            raise LlasaError(f"form must be an object, not {values!r}.")
        for key in values:
            check_choice(key, [f.name for f in fields(cls)], "The key of form")
        form = cls(**values)
        form.check()
        return form

    def check(self) -> None:
        """`LlasaError` for a value of the wrong kind."""
        for key, value in asdict(self).items():
            if type(value) is not (bool if key == "capitals" else str):
                raise LlasaError(f"form cannot have {key} {value!r}.")

    def has(self, mark: str) -> bool:
        """Whether the model has seen this mark, small letter or digit."""
        return not self.alphabet or mark in self.alphabet

    def __call__(self, text: str, goes_on: bool = False) -> str:
        """A part of a text as the model is given it; doing it twice changes nothing.

        goes_on: the part was cut off a sentence.
        """
        if self.alphabet:
            text = self._tidied(self._spelled(text))
        if not self.capitals:
            text = lowered(text)
        if self.alphabet:
            first, space, rest = text.partition(" ")
            text = first[:1].upper() + first[1:] + space + rest if first.islower() else text
        return self._ended(text, goes_on)

    def _spelled(self, text: str) -> str:
        """The text in letters and marks of the alphabet."""
        text = _APOSTROPHES.sub("'", text)
        if '"' not in self.alphabet:
            text = unquoted(text)
        text = unicodedata.normalize("NFKC", text.translate(_TYPOGRAPHIC))
        if "-" not in self.alphabet:
            text = _HYPHENS.sub(" ", text)
        text = _BREAKS.sub(", ", text)
        if not text.isascii():
            text = "".join(map(self._letter, text))
        return "".join(char if self._knows(char) else " " for char in text)

    def _knows(self, char: str) -> bool:
        kept = char.isalnum() or char.isspace() or unicodedata.category(char).startswith("M")
        return kept or char in self.alphabet

    def _letter(self, char: str) -> str:
        """A letter of the alphabet for one with an accent."""
        if char.isascii() or char.lower() in self.alphabet:
            return char
        bare = _LETTERS.get(char) or unicodedata.normalize("NFD", char)[0]
        return bare if bare[0].lower() in self.alphabet else char

    def _tidied(self, text: str) -> str:
        """Without marks that dropped characters have left behind."""
        bare = str if '"' in self.alphabet else unquoted
        text = _SPACE_BEFORE.sub(r"\1", " ".join(bare(text).split()))
        text = _MANY.sub(_one, text)
        return bare(_START.sub("", text))

    def _ended(self, text: str, goes_on: bool) -> str:
        """With a mark at the end."""
        bare = text.rstrip()
        if not self.ends or not any(map(str.isalnum, bare)):
            return text
        core = bare.rstrip("\"')]”’»")
        if core[-1:] in self.ends or (goes_on and core[-1:] in ",;:"):
            return text
        bare = bare.rstrip(" ,;-")
        return bare + ("," if goes_on else self.ends[0])


def _one(match: re.Match[str]) -> str:
    """The one mark that counts, of several in a row."""
    return next(mark for mark in "?!.:;," if mark in match[0])


PLAIN = Form("abcdefghijklmnopqrstuvwxyz ,.?!;:'", ".?!:", capitals=False)
"""The form of models trained on plain English sentences only."""

_TYPOGRAPHIC = str.maketrans(
    dict.fromkeys("“”„‟«»″", '"')
    | dict.fromkeys("‘’‚", "'")
    | dict.fromkeys("‐‑⁃\u00ad", "-")
    | {"，": ", ", "、": ", ", "。": ". ", "！": "! ", "？": "? "}
)
_APOSTROPHES = re.compile(r"[ʼ´′ʹ＇]|(?<=\w)[`‘](?=\w)")
_HYPHENS = re.compile(r"(?<=\w)-(?=\w)")
_BREAKS = re.compile(r"\s*(?:[–—―]|(?<=\s)-{1,3}(?=\s|$)|--+|\.{3,}(?!\s*$)|[()\[\]{}])\s*")
_SPACE_BEFORE = re.compile(r"\s+([,.;:?!])(?!\w)")
_MANY = re.compile(r"[,.;:?!](?:\s*[,.;:?!])+")
_START = re.compile(r"^(?:[\s,.;:?!-]|'(?!\w))+")
_LETTERS = {"ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ð": "th", "þ": "th", "Þ": "Th"}
_LETTERS |= dict(zip("øØłŁđĐı", "oOlLdDi", strict=True))
"""Letters that do not decompose into another letter and an accent."""

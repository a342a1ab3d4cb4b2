"""Any text to characters that can be spoken."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping

from llasa.base.errors import LlasaError
from llasa.text.traced import Traced

MAX_CHARS = 20_000
"""Longest text that is spoken in one request."""


def check_text(text: str, limit: int | None = MAX_CHARS) -> None:
    """`LlasaError` where a text is not a string, has no letter or digit, or is too long.

    limit: most characters; None: any number.
    """
    if not isinstance(text, str):
        raise LlasaError(f"Text must be a string, not {type(text).__name__}.")
    if limit is not None and len(text) > limit:
        raise LlasaError(
            f"The text has {len(text):,} characters and at most {limit:,} are spoken in one "
            "go: split it into parts, or give it as a file ('llasa say -f')."
        )
    if not any(map(str.isalnum, text)):
        raise no_words(text)


def clean_text(text: str) -> str:
    """Check a text and drop what cannot be spoken.

    Runs of whitespace become one space; control characters, invisible formatting, emoji and other
    pictures go. Words are left as they are (Unicode form NFC).

    Raises `LlasaError` where the text is not a string, too long, or has no letter or digit.
    """
    check_text(text)
    return cleaned(Traced.of(text), Counter()).text


def whole_characters(text: str) -> str:
    """The text with a question mark for each half of a surrogate pair, which no file can hold."""
    return text.encode(errors="replace").decode()


def cleaned(text: Traced, dropped: Counter[str]) -> Traced:
    """The text without what cannot be spoken (see `clean_text`); counts dropped pictures."""
    if not unicodedata.is_normalized("NFC", text.text):
        text = text.sub(_WORD, lambda match: unicodedata.normalize("NFC", match[0]))
    if _UNUSUAL.search(text.text):
        text = text.sub(_UNUSUAL, lambda match: _kept(match, dropped))
    return text.sub(_SPACE, lambda _: " ").strip()


def dropped_warnings(dropped: Mapping[str, int]) -> list[str]:
    """A sentence about characters that were dropped, if there were any."""
    if not dropped:
        return []
    total, shown = sum(dropped.values()), " ".join(list(dropped)[:10])
    noun = "character" if total == 1 else "characters"
    return [f"Dropped {total} {noun} that cannot be spoken: {shown}."]


def no_words(text: str) -> LlasaError:
    """The error for a text in which there is nothing to say."""
    what = "is empty" if not text.strip() else "has no letter or digit"
    return LlasaError(f"The text {what}: give at least one word.")


_WORD = re.compile(r"\S+")
_SPACE = re.compile(r"\s+")
_UNUSUAL = re.compile(
    r"[^\w\s!-/:-@\[-`{-~\u00a1-\u00ac\u00ae-\u00bf\u2010-\u2027]|[\x1c-\x1f\x85]"
)
"""What may have to go; letters, digits and the common signs never do."""
_JOINERS = "\u200c\u200d"
"""Zero-width (non-)joiners: part of words in Persian and Indic scripts."""


def _kept(match: re.Match[str], dropped: Counter[str]) -> str:
    char = match[0]
    if char.isspace():
        return " "
    if _is_picture(char):
        dropped[char] += 1
        return ""
    before = match.string[match.start() - 1 : match.start()]
    joins = char in _JOINERS and before.isalpha()
    return "" if _is_invisible(char) and not joins else char


def _is_picture(char: str) -> bool:
    """Emoji, dingbats, arrows and private or unassigned characters; not signs such as ° or ㎏."""
    code, category = ord(char), unicodedata.category(char)
    if category == "So":
        return 0x2190 <= code < 0x3000 or code >= 0x1F000
    return category in ("Co", "Cn", "Cs") or 0x1F3FB <= code <= 0x1F3FF


def _is_invisible(char: str) -> bool:
    """Control and format characters, variation selectors and the keycap mark of emoji."""
    code = ord(char)
    return unicodedata.category(char) in ("Cc", "Cf") or 0xFE00 <= code <= 0xFE0F or code == 0x20E3

"""Quotation marks, told from apostrophes."""

from __future__ import annotations

import re


def unquoted(text: str) -> str:
    """The text without quotation marks; apostrophes stay, as far as they can be told from them."""
    bare = _SINGLE_QUOTES.sub(r"\1", text)
    bare = " ".join(_OTHER_QUOTES.sub("", _BETWEEN_WORDS.sub(" ", bare)).split())
    return bare or text


_SHORTENED = r"(?!\d|(?:em|tis|twas|til|cause|n|bout)\b)"  # what an apostrophe may begin
_SINGLE_QUOTES = re.compile(rf"(?<!\w)['‘]{_SHORTENED}(?=\S)(.*?)(?<=\S)['’](?!\w)", re.I)
_BETWEEN_WORDS = re.compile('(?<=\\w)["“”„«»](?=\\w)')
_OTHER_QUOTES = re.compile(
    rf"""["“”„«»]|(?<=[.,;:!?])['’](?!\w)|(?<!\w)‘|^'{_SHORTENED}(?=\w)""", re.I
)

"""The parts in which a long text is spoken."""

from __future__ import annotations

from llasa.text import chunk_text, split_sentences

_WIDE_FROM = 0x2E80
"""Chinese, Japanese and Korean writing begins here."""
_WIDE_LETTERS = 3
"""Letters that one of its characters is worth, for the time it takes to say."""


def split_text(text: str, limit: int) -> list[str]:
    """Parts of about `limit` characters: whole sentences where they fit, several if short.

    Every part has a letter or digit, unless the text has none. Where most of the text is Chinese,
    Japanese or Korean, the limit is a third.
    """
    wide = 2 * sum(ord(char) >= _WIDE_FROM for char in text) > len(text)
    if wide:
        limit = max(1, limit // _WIDE_LETTERS)
    groups: list[str] = []
    for sentence in split_sentences(text):
        if groups and len(groups[-1]) + 1 + len(sentence) <= limit:
            groups[-1] += sentence if wide else f" {sentence}"
        else:
            groups.append(sentence)
    parts: list[str] = []
    waiting = ""  # marks before the first word
    for piece in (piece for group in groups for piece in chunk_text(group, limit)):
        if any(char.isalnum() for char in piece):
            parts.append(f"{waiting} {piece}".lstrip())
            waiting = ""
        elif parts:
            parts[-1] += f" {piece}"
        else:
            waiting = f"{waiting} {piece}".strip()
    return parts or ([waiting] if waiting else [])

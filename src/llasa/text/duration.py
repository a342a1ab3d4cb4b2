"""How long it takes to read a text aloud."""

from __future__ import annotations

import re

PAUSE, PER_LETTER, PER_DIGIT, PER_IDEOGRAPH = 0.5, 0.07, 0.3, 0.22
"""Seconds of an average reader; `PER_DIGIT` is also for letters that are said by their names."""
GRACE = 1.5
"""Seconds that a text may take beyond its slowest plausible reading."""
_LONE_LETTER = re.compile(r"(?<![\w'’])[b-hj-z](?![\w'’])", re.I)
"""One that is said by its name; a and I are words."""


def reading_seconds(text: str) -> float:
    """Seconds that reading the text takes on average.

    `PAUSE`, and `PER_LETTER` for each letter, `PER_DIGIT` for each digit or letter that stands
    alone, `PER_IDEOGRAPH` for each Chinese, Japanese or Korean character.
    """
    letters = [char for char in text if char.isalnum()]
    wide = sum(char >= "\u2e80" for char in letters)
    digits = sum(char.isdigit() for char in letters) + len(_LONE_LETTER.findall(text))
    narrow = len(letters) - wide - digits
    return PAUSE + PER_LETTER * narrow + PER_DIGIT * digits + PER_IDEOGRAPH * wide

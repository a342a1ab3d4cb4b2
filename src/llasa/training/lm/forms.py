"""Texts as people type them: the same words without an end mark, in lower case, in capitals.

A model that has only seen clean sentences stumbles over all others. Each form keeps the words, so
that the clip stays the right one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

TextTimes = Sequence[tuple[float, float]]
"""Shares of the text, each with when it is said."""


def _bare(text: str) -> str:
    """Without its end mark; a question keeps its own, as it is heard."""
    return text[:-1] if text[-1] in ".!" and len(text) > 1 else text


def _curly(text: str) -> str:
    text = re.sub(r'(^|(?<=[\s(]))"', "“", text).replace('"', "”")
    return text.replace("'", "’")


def _dashed(text: str) -> str:
    return text.replace(", ", " — ").replace("; ", " – ").replace(" - ", " — ")


FORMS: tuple[tuple[Callable[[str], str], ...], ...] = (
    (_bare,),
    (_bare,),
    (str.lower,),
    (str.lower, _bare),
    (str.upper,),
    (str.upper, _bare),
    (_curly,),
    (_curly, _bare),
    (_dashed,),
)
"""What is done to a text, one of these at a time."""


def as_typed(text: str, times: TextTimes, rng: np.random.Generator) -> tuple[str, TextTimes]:
    """The text in another form, drawn from ``FORMS``, and its times.

    The shares of the times are of the characters before and of the UTF-8 bytes after.
    """
    typed = text
    for change in FORMS[int(rng.integers(len(FORMS)))]:
        typed = change(typed)
    if not times or typed == text:
        return typed, times
    kept = [character for character in typed if character.isalnum()]
    if len(kept) != sum(map(str.isalnum, text)):  # a letter whose capital is two
        return text, times
    # Letters and digits stay in order: what lies between two of them moves with them.
    before, after = (
        [0, *(at for at, character in enumerate(form) if character.isalnum()), len(form)]
        for form in (text, typed)
    )
    sizes = np.cumsum([0, *(len(character.encode()) for character in typed)])
    shares, moments = zip(*times, strict=True)
    moved = np.interp(np.array(shares) * len(text), before, sizes[after]) / sizes[-1]
    return typed, list(zip(moved.tolist(), moments, strict=True))

"""Checks of names and numbers that users give."""

from __future__ import annotations

import math
import operator
import re
import unicodedata
from collections.abc import Collection, Iterable

from llasa.base.errors import LlasaError

LONGEST_NAME, LONGEST_NAME_BYTES = 64, 200
"""Characters, and bytes in UTF-8: a file's name, with its suffix, has room for 255."""
MOST_NAMES = 8
"""Most names in one mixture."""
_WEIGHT = re.compile(r"\d{1,6}(?:\.\d{1,6})?", re.ASCII)
_SHOWN = 60
"""Characters of a longer text that an error message quotes."""


def check_name(name: str, what: str) -> str:
    """`name` in Unicode form NFC if it may name a file; `what` is e.g. "voice name".

    Letters of any script with their marks, digits, hyphens, underscores and, inside, dots. Raises
    `LlasaError` for anything else.
    """
    found = nfc(name) if isinstance(name, str) else ""
    fits = 0 < len(found) <= LONGEST_NAME and all(map(_may_name, found))
    if not fits or found[0] in ".-" or found[-1] == "." or _is_mark(found[0]):
        raise LlasaError(
            f"{shorten(found) or name!r} is not a valid {what}: use up to {LONGEST_NAME} letters, "
            "digits, hyphens, underscores and, inside, dots."
        )
    if (size := len(found.encode())) > LONGEST_NAME_BYTES:
        raise LlasaError(
            f"{found!r} is not a valid {what}: it takes {size} bytes, and {LONGEST_NAME_BYTES} is "
            "the most; use fewer letters."
        )
    return found


def weighted_names(text: str, what: str) -> list[tuple[str, float]]:
    """Names and weights of a mixture: ``heart(2)+sky`` is heart twice and sky once.

    One name is a mixture, too, of weight 1. Raises `LlasaError` for names as `check_name` does, for
    more than eight of them, and for a weight of 0.
    """
    parts = text.split("+", MOST_NAMES)
    if len(parts) > MOST_NAMES:
        raise LlasaError(f"{shorten(text)!r} mixes too many: give up to {MOST_NAMES} names.")
    found = []
    for part in map(str.strip, parts):
        name, bracket, number = part.removesuffix(")").rpartition("(")
        if not (bracket and part.endswith(")") and _WEIGHT.fullmatch(number)):
            name, number = part, "1"
        if not (weight := float(number)):
            raise LlasaError(f"{shorten(part)!r} has no weight: give more than 0, or leave it out.")
        found.append((check_name(name.strip(), what), weight))
    return found


def is_mixture(name: object) -> bool:
    """Whether it is a mixture (see `weighted_names`) and not a plain name."""
    return isinstance(name, str) and ("+" in name or name.endswith(")"))


def nfc(name: str) -> str:
    """The name as all names are kept and compared: in Unicode form NFC."""
    return unicodedata.normalize("NFC", name)


def _may_name(char: str) -> bool:
    return char.isalnum() or char in "_.-" or _is_mark(char)


def _is_mark(char: str) -> bool:
    """Whether it is a combining mark, such as a vowel sign of Devanagari."""
    return unicodedata.category(char) in ("Mn", "Mc")


def plain(text: str, kept: str = "") -> str:
    """The text with escapes for unprintable and terminal control characters."""
    return "".join(
        c if c.isprintable() or c in kept else c.encode("unicode_escape").decode() for c in text
    )


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """ " Did you mean X?" for the nearest valid name, or nothing where none is near."""
    from difflib import get_close_matches

    lower = {option.lower(): option for option in valid}
    near = get_close_matches(str(name).lower(), lower, 1, 0.5)
    return f" Did you mean {lower[near[0]]}?" if near else ""


def check_choice(name: str, valid: Collection[str], what: str) -> None:
    """`LlasaError` for a name that is not valid; `what` begins the sentence, e.g. "Command"."""
    if name not in valid:
        known = ", ".join(valid)
        hint = did_you_mean(name, valid)
        raise LlasaError(f"{what} {name!r} is unknown: valid are {known}.{hint}".lstrip())


def whole(name: str, value: object, least: int = 1, most: int | None = None) -> int:
    """A whole number of any type (Python, NumPy, torch) as int; `LlasaError` for anything else."""
    try:
        if isinstance(value, bool):
            raise TypeError
        found = operator.index(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        found = least - 1
    if found < least or (most is not None and found > most):
        valid = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise LlasaError(f"{name} is {shorten(repr(value))}; give a whole number {valid}.")
    return found


def check_whole(least: int = 1, **numbers: object) -> None:
    """`LlasaError` for the first that is not a whole number of at least `least`."""
    for name, value in numbers.items():
        whole(name, value, least)


def number(
    name: str,
    value: object,
    low: float,
    high: float = math.inf,
    *,
    above: bool = False,
    more: str = "",
) -> float:
    """A finite number of any type as float; `LlasaError` for anything else.

    From `low` (with `above`: more than `low`) to `high`. `more` is added to the error message.
    """
    try:
        if isinstance(value, bool | str | bytes) or getattr(value, "ndim", None):
            raise TypeError
        found = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found) or not low <= found <= high or (above and found == low):
        start = f"above {low:g}" if above else f"from {low:g}"
        end = "" if high == math.inf else f" to {high:g}"
        raise LlasaError(f"{name} is {shorten(repr(value))}; give a number {start}{end}{more}.")
    return found


def shorten(text: str) -> str:
    """The beginning of a text, for error messages."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."

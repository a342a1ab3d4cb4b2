"""Names and numbers that users give and mistype."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from llasa.errors import LlasaError

_NAME = re.compile(r"\w(?:[\w.-]{0,62}[\w-])?")


def check_name(name: str, what: str) -> str:
    """`name` itself if it may name a file; `LlasaError` otherwise. `what` is e.g. "voice name"."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise LlasaError(
            f"{name!r} is no valid {what}: use up to 64 letters, digits, hyphens, underscores "
            "and, inside, dots."
        )
    return name


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


def check_whole(least: int = 1, **numbers: object) -> None:
    """`LlasaError` for the first that is no whole number of at least `least`."""
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise LlasaError(f"{name} is {value!r}; give a whole number of at least {least}.")


def shorten(text: str, most: int = 40) -> str:
    """The beginning of a text, to be named in a sentence."""
    return text if len(text) <= most else f"{text[:most]}..."

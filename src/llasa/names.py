"""Names that users give and mistype."""

from __future__ import annotations

import re
from collections.abc import Iterable

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

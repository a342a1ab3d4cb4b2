"""``--cast``: who speaks with which voice in a script."""

from __future__ import annotations

import argparse
from typing import Any

from llasa.base.errors import LlasaError
from llasa.cli.parser import Flags

CAST: Flags = {
    "cast": (str, "NAME=VOICE,...", "voices of a script with lines such as 'ANNA: Hello.'"),
}


def cast_settings(args: argparse.Namespace) -> dict[str, Any]:
    """``--cast``, if it was given, as a keyword of ``Llasa``; checked.

    An empty voice is of a name that is no speaker's.
    """
    if args.cast is None:
        return {}
    cast: dict[str, str] = {}
    for entry in args.cast.split(","):
        name, equals, voice = (word.strip() for word in entry.partition("="))
        if not name or not equals:
            raise LlasaError(
                f"--cast cannot take {entry!r}: give NAME=VOICE, as in anna=heart,ben=george."
            )
        if name in cast:
            raise LlasaError(f"--cast has {name} twice: give each speaker one voice.")
        cast[name] = voice
    return {"cast": cast}


def cast_names(settings: dict[str, Any]) -> list[str]:
    """The voices of what `cast_settings` gave."""
    return [voice for voice in settings.get("cast", {}).values() if voice]

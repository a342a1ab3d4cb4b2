"""Scripts of several speakers: who says which part of a text.

    ANNA: Have you heard it?
    BEN: What?

A line that begins with a name and a colon is the first one of a turn, which ends where the next one
begins. Names are written in any case, may be bold (`**Anna:**`), and may be followed by how it is
said (`ANNA (softly):`).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

from llasa.base.errors import LlasaError
from llasa.base.names import did_you_mean, nfc, shorten

MOST_WORDS = 3
"""Words of a name that no speaker has; more before a colon are a sentence."""
_LISTED = 10


class SpeakerTurn(NamedTuple):
    """What one speaker says: from this character of the text on, to the next turn."""

    start: int
    speaker: str


def speaker_key(name: str) -> str:
    """A name as names are compared."""
    return " ".join(nfc(name).casefold().split())


def read_dialogue(
    text: str, speakers: Collection[str], others: Collection[str] = ()
) -> tuple[str, list[SpeakerTurn]]:
    """The text as it is to be read, and its turns.

    What is before a colon becomes empty lines of the same length, so that it is not said, turns are
    paragraphs, and all else stays where it is.

    Args:
        speakers: names by `speaker_key`.
        others: names that begin a line without being a speaker's; such a line is text.

    Raises `LlasaError` for a line that begins with any other name, and where none begins with one.
    """
    turns: list[SpeakerTurn] = []
    pieces: list[str] = []
    unknown: dict[str, str] = {}
    place = 0
    for match in _LABEL.finditer(text):
        name = match["name"].strip()
        key = speaker_key(name)
        if key in others:
            continue
        if key not in speakers:
            if name[0].isalpha() and len(name.split()) <= MOST_WORDS and not match["close"]:
                unknown.setdefault(key, name)
            continue
        turns.append(SpeakerTurn(match.end(), key))
        pieces += [text[place : match.start()], "\n" * len(match[0])]
        place = match.end()
    if unknown:
        raise _strangers(list(unknown.values()), speakers)
    if not turns:
        raise LlasaError(
            "The text has no turns: begin a line with a name of the cast and a colon, "
            f"as in '{next(iter(speakers), 'anna').upper()}: Hello.'"
        )
    return "".join([*pieces, text[place:]]), turns


def _strangers(names: list[str], speakers: Collection[str]) -> LlasaError:
    listed = ", ".join(map(shorten, names[:_LISTED]))
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    near = did_you_mean(names[0], speakers) if len(names) == 1 else ""
    return LlasaError(
        f"Lines begin with names that the cast does not have: {listed}{more}. Give each a voice, "
        f"or none ('{speaker_key(names[0])}=') where such a line is no speech.{near}"
    )


_ENDS = r"\n\r\x85\u2028\u2029"
"""Ends of lines."""
_LABEL = re.compile(
    rf"(?:\A\ufeff?|(?<=[{_ENDS}]))[^\S{_ENDS}]*+"
    r"[*_]{0,3}(?P<name>[^\W_][\w\u0300-\u036f.,&'’ -]{0,59}?)[*_]{0,3}"
    r"(?: {0,3}[(（][^\n\r:：()（）]{1,60}[)）])?[*_]{0,3}"
    r"(?::[*_]{0,3}(?=\s|\Z|(?P<close>[^\x00-\x7f]))|：[*_]{0,3})[^\S\n]*"
)
"""A name, how it is said, a colon; a letter may be `close` to an ASCII colon, as in Chinese."""

"""Text that remembers where each of its characters comes from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

Say = Callable[[re.Match[str]], str]
"""Gives the replacement of a match; returning the match itself changes nothing."""


@dataclass(frozen=True)
class Traced:
    """A text made from another one, its source.

    `starts` and `stops` (both of the text's length) tell for each character which stretch of the
    source it stands for: first character, one past the last.
    """

    text: str
    starts: Sequence[int]
    stops: Sequence[int]

    @classmethod
    def of(cls, text: str, offset: int = 0) -> Traced:
        """A source itself, which begins at `offset` of something larger."""
        end = offset + len(text)
        return cls(text, range(offset, end), range(offset + 1, end + 1))

    @classmethod
    def standing_for(cls, text: str, start: int, stop: int) -> Traced:
        """A text that stands as a whole for a stretch of its source."""
        return cls(text, [start] * len(text), [stop] * len(text))

    def __len__(self) -> int:
        return len(self.text)

    def __getitem__(self, where: slice) -> Traced:
        return Traced(self.text[where], self.starts[where], self.stops[where])

    @property
    def span(self) -> tuple[int, int]:
        """The stretch of the source from the first to the last character; not for an empty text."""
        return self.starts[0], self.stops[-1]

    def strip(self) -> Traced:
        """Without outer whitespace."""
        left = len(self.text) - len(self.text.lstrip())
        return self[left : len(self.text.rstrip())] if left < len(self.text) else self[:0]

    def sub(self, pattern: re.Pattern[str], say: Say) -> Traced:
        """The text with all matches replaced; a replacement stands for all of its match."""
        if not pattern.search(self.text):
            return self
        found = pattern.finditer(self.text)
        return self.edit((match.start(), match.end(), say(match)) for match in found)

    def edit(self, edits: Iterable[tuple[int, int, str]]) -> Traced:
        """Stretches (first character, one past the last, what takes their place), in order."""
        pieces: list[Traced] = []
        done = 0
        for start, stop, new in edits:
            old = self.text[start:stop]
            if new == old:
                continue
            same = 0  # what both begin with stays traced letter by letter
            while same < min(len(old), len(new)) and old[same] == new[same]:
                same += 1
            first = start + same
            near = max(0, min(first, len(self.text) - 1)) if first == stop else first
            place = self.starts[near], self.stops[max(near, stop - 1)]
            pieces += [self[done:first], Traced.standing_for(new[same:], *place)]
            done = stop
        return join([*pieces, self[done:]]) if pieces else self


def join(pieces: Iterable[Traced], between: str = "") -> Traced:
    """Texts of the same source one after the other, `between` standing for the gaps."""
    text: list[str] = []
    starts: list[int] = []
    stops: list[int] = []
    for piece in pieces:
        if text and between:
            text.append(between)
            starts += [stops[-1]] * len(between)
            stops += [piece.starts[0] if len(piece) else stops[-1]] * len(between)
        text.append(piece.text)
        starts += piece.starts
        stops += piece.stops
    return Traced("".join(text), starts, stops)

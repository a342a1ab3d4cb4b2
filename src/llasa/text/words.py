"""The words of a text as its writer sees them, and where in the spoken form each is said."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from difflib import SequenceMatcher
from typing import NamedTuple

from llasa.text.passages import Passage
from llasa.text.traced import Traced


class SpokenWord(NamedTuple):
    """A word of the text that came in, without the marks around it.

    `span` is where it lies there, `first` and `stop` where in the form that the model was given it
    is said (first character, one past the last): "$5" in "five dollars".
    """

    span: tuple[int, int]
    first: int
    stop: int


def spoken_words(text: str, passage: Passage) -> list[SpokenWord]:
    """The words of a passage of a text, in order.

    What is said as one stays one: "3 km" is a single word where it is read as "three kilometers".
    Chinese and Japanese characters are words of their own.
    """
    given = _given(passage)
    tokens = [match.span() for match in _WORD.finditer(text, *passage.span)]
    starts, stops = [start for start, _ in tokens], [stop for _, stop in tokens]
    words: list[SpokenWord] = []
    reached = -1  # the last token of the word before
    for place, char in enumerate(given.text):
        if not char.isalnum():
            continue
        start, stop = given.starts[place], given.stops[place]
        first, last = bisect_right(stops, start), bisect_left(starts, stop) - 1
        if last < first:
            continue  # it stands for nothing that was written
        if words and first <= reached:
            (a, b), begun, _ = words[-1]
            words[-1] = SpokenWord((min(a, start), max(b, stop)), begun, place + 1)
        else:
            words.append(SpokenWord((start, stop), place, place + 1))
        reached = max(reached, last)
    return words


def _given(passage: Passage) -> Traced:
    """What the model is given, with the characters of the text that came in."""
    said, given = passage.traced, passage.given
    # Letters find each other, marks only beside them: a stop is no sign of what became what.
    matcher = SequenceMatcher(_is_mark, _small(said.text), _small(given), autojunk=False)
    edits: list[tuple[int, int, str]] = []
    for kind, start, stop, first, last in matcher.get_opcodes():
        if kind == "equal":  # letters of another size stand for one letter each
            edits += ((start + n, start + n + 1, given[first + n]) for n in range(stop - start))
        else:
            edits.append((start, stop, given[first:last]))
    return said.edit(edits)


def _is_mark(char: str) -> bool:
    return not char.isalnum()


def _small(text: str) -> str:
    """In small letters, as many as there are."""
    return "".join(small if len(small := char.lower()) == 1 else char for char in text)


_WIDE = "\u2e80-\ua4cf\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_WIDE}]|[^\s{_WIDE}\u2013-\u2015…]+")
"""Between spaces, dashes and ellipses."""

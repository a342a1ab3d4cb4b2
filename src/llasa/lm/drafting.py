"""Guessing several tokens ahead, so that one pass of the model chooses more than one token.

The engine puts a draft into the cache, chooses the token of every place with that place's own
random number, and keeps tokens as long as the draft was right. The sequence is the one that it
would have chosen without; a poor draft costs time alone (Leviathan et al. 2023, where tokens are
accepted by chance, as their random numbers are not known).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, Protocol

from llasa.lm.engine import Generation

LONGEST = 3
"""Tokens that are looked up together at most."""


class Drafter(Protocol):
    """Guesses how a sequence goes on."""

    def draft(self, generation: Generation, state: Any, most: int) -> Sequence[int]:
        """Up to ``most`` tokens that may follow, perhaps none.

        ``state``: what the model made of the sequence before its newest token (a tensor (1, D),
        before the last norm), None where it is not known.
        """


class Lookup:
    """Goes on as the sequence did after the last place where its newest tokens stood before.

    The longest of 3 to 1 tokens that is found counts (prompt lookup, Saxena 2023). No weights.
    """

    def __init__(self, most: int = 3) -> None:
        self.most = most
        """Tokens of a draft at most."""

    def draft(self, generation: Generation, state: Any, most: int) -> Sequence[int]:
        """The tokens that followed (see ``Drafter.draft``)."""
        tokens = [*generation.prompt, *generation.tokens]
        for count in range(min(LONGEST, len(tokens) - 1), 0, -1):
            place = _before(tokens, count)
            if place is not None:
                return tokens[place : place + min(most, self.most)]
        return ()


def stands(draft: Sequence[int], chosen: Sequence[int]) -> int:
    """How many of the tokens that were ``chosen`` in the places of a draft, and behind it, stand.

    Those up to the first that the draft had not foretold. That one is right, too: it depends on
    the tokens before it alone, and on the random number of its step; so is the one behind a draft
    that was right throughout.
    """
    wrong = (place for place, token in enumerate(draft) if chosen[place] != token)
    return next(wrong, len(draft)) + 1


def _before(tokens: Sequence[int], count: int) -> int | None:
    """The place after the last earlier occurrence of the newest ``count`` tokens."""
    data = array("q", tokens)
    size, text = data.itemsize, data.tobytes()
    suffix, stop = text[-count * size :], len(text) - size
    while (found := text.rfind(suffix, 0, stop)) >= 0:
        if found % size == 0:
            return found // size + count
        stop = found + len(suffix) - 1
    return None

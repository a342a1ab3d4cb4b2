"""Verifiers that need no audio: likelihood, plausible length, loops."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from llasa.search.verifiers.base import Candidate, Scores

UNFINISHED = 1.0
"""What a candidate loses that had to be cut off: as much as being e times too long."""


class Likelihood:
    """Mean log-probability of the tokens under the model that spoke them, in nats.

    Likely speech is safe but also dull: the likeliest of many candidates tends to be slow and flat.
    """

    name, family = "likelihood", "lm"
    needs = frozenset({"tokens", "logprob"})

    def score(self, batch: Sequence[Candidate], /) -> Scores:
        """At most 0; the end token counts where there is one."""
        return np.array(
            [
                c.logprob / (len(c.tokens) + (c.finish == "stop"))
                for c in batch
                if c.logprob is not None and c.tokens is not None
            ]
        )


class Length:
    """Whether speech lasts about as long as reading its text does.

    score = -max(0, |log(seconds / expected)| - log(tolerance)), less `UNFINISHED` for a candidate
    that was cut off because it did not end. 0 within the tolerance; a partial candidate can only be
    too long. Expected are `pause` seconds, and `per_letter` for each letter or digit, or
    `per_ideograph` for each Chinese, Japanese or Korean character. With the defaults 95 of 100
    recordings of slow and fast readers (LibriSpeech and two other voices) score 0.
    """

    name, family = "length", "rules"
    needs = frozenset({"text", "tokens"})

    def __init__(
        self,
        tolerance: float = 1.75,
        pause: float = 0.5,
        per_letter: float = 0.07,
        per_ideograph: float = 0.22,
        tokens_per_second: float = 50.0,
    ) -> None:
        self.tolerance, self.pause = tolerance, pause
        self.per_letter, self.per_ideograph = per_letter, per_ideograph
        self.tokens_per_second = tokens_per_second

    def expected(self, text: str) -> float:
        """Seconds that reading the text takes on average."""
        letters = [char for char in text if char.isalnum()]
        wide = sum(char >= "\u2e80" for char in letters)
        narrow = len(letters) - wide
        return self.pause + self.per_letter * narrow + self.per_ideograph * wide

    def score(self, batch: Sequence[Candidate], /) -> Scores:
        """0 for a plausible length, the lower the less plausible."""
        return np.array([self._score(candidate) for candidate in batch])

    def _score(self, candidate: Candidate) -> float:
        if candidate.text is None or candidate.tokens is None:
            return math.nan
        seconds = len(candidate.tokens) / self.tokens_per_second
        log_ratio = math.log(seconds / self.expected(candidate.text))
        off = log_ratio if candidate.partial else abs(log_ratio)
        score = -max(0.0, off - math.log(self.tolerance))
        return score - UNFINISHED if candidate.finish == "length" else score


class Repetition:
    """Minus the share of runs of `length` tokens that have occurred before in the same candidate.

    Near 0 for speech (pauses repeat a little), near -1 where it is stuck in a loop.
    """

    name, family = "repetition", "rules"
    needs = frozenset({"tokens"})

    def __init__(self, length: int = 4) -> None:
        self.length = length

    def score(self, batch: Sequence[Candidate], /) -> Scores:
        """0 without repetition, -1 at the worst."""
        return np.array([-self._share(c.tokens.tolist()) for c in batch if c.tokens is not None])

    def _share(self, tokens: list[int]) -> float:
        runs = [tuple(tokens[i : i + self.length]) for i in range(len(tokens) - self.length + 1)]
        return 1 - len(set(runs)) / len(runs) if runs else 0.0

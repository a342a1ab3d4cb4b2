"""Verifiers that need no audio: likelihood, plausible length, loops."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from llasa.lm.engine import repeated
from llasa.text.duration import reading_seconds
from llasa.verifiers.base import Candidate, Scores

UNFINISHED = 1.0
"""What a candidate loses that had to be cut off: as much as being e times too long."""
TOLERANCE = 1.75


class Likelihood:
    """Mean log-probability of the tokens under the model that spoke them, in nats.

    Likely speech is safe but also dull: the likeliest of many candidates tends to be slow and flat.
    """

    name, family = "likelihood", "lm"
    needs = frozenset({"codes", "logprob"})

    def score(self, batch: Sequence[Candidate], /) -> Scores:
        """At most 0; the end token counts where there is one, and so do phones."""
        return np.array([self._score(candidate) for candidate in batch])

    def _score(self, candidate: Candidate) -> float:
        assert candidate.logprob is not None
        count = candidate.sampled
        if count is None:
            count = len(candidate.codes) + (candidate.finish == "stop")
        return candidate.logprob / count


class Length:
    """Whether speech lasts about as long as reading its text does.

    score = -max(0, |log(seconds / expected)| - log(TOLERANCE)), less `UNFINISHED` for a candidate
    that was cut off because it did not end. 0 within the tolerance; a partial candidate can only be
    too long. What is expected `reading_seconds` says. 95 of 100 recordings of slow and fast readers
    (LibriSpeech and two other voices) score 0.
    """

    name, family = "length", "rules"
    needs = frozenset({"text", "codes", "frame_rate"})

    def expected(self, text: str) -> float:
        """Seconds that reading the text takes on average."""
        return reading_seconds(text)

    def score(self, batch: Sequence[Candidate], /) -> Scores:
        """0 for a plausible length, the lower the less plausible."""
        return np.array([self._score(candidate) for candidate in batch])

    def _score(self, candidate: Candidate) -> float:
        if candidate.text is None or not candidate.frame_rate:
            return math.nan
        seconds = len(candidate.codes) / candidate.frame_rate
        log_ratio = math.log(seconds / self.expected(candidate.text))
        off = log_ratio if candidate.partial else abs(log_ratio)
        score = -max(0.0, off - math.log(TOLERANCE))
        return score - UNFINISHED if candidate.finish == "length" else score


class Repetition:
    """Minus the share of runs of tokens (see `repeated`) that occurred before in the candidate.

    Near 0 for speech (pauses repeat a little), near -1 where it is stuck in a loop.
    """

    name, family = "repetition", "rules"
    needs = frozenset({"codes"})

    def score(self, batch: Sequence[Candidate], /) -> Scores:
        """0 without repetition, -1 at the worst."""
        return np.array([-repeated(candidate.codes.tolist()) for candidate in batch])

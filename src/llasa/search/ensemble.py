"""How a `Selector` turns the scores of several verifiers into one order of candidates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from llasa.base.errors import LlasaError
from llasa.base.names import check_choice

CombinationRule = Literal["sum", "rank", "worst"]
RULES: tuple[CombinationRule, ...] = get_args(CombinationRule)
ScoreTable = NDArray[np.float64]
"""Scores (candidates, verifiers), higher is better, NaN where a verifier gave none."""


@dataclass(frozen=True)
class Ensemble:
    """How the scores of several verifiers become one.

    rule: `sum` adds the weighted scores; `rank` averages the weighted ranks, so that the scales of
    the verifiers do not matter; `worst` takes each candidate's worst rank, so that the best one is
    good in every respect.
    weights: one a verifier, in their order; all alike by default. `worst` has none.
    """

    rule: CombinationRule = "sum"
    weights: Sequence[float] | None = None

    def __post_init__(self) -> None:
        check_choice(self.rule, RULES, "The rule of combining scores")
        if self.weights is None:
            return
        if self.rule == "worst":
            raise LlasaError("The worst rank takes no weights: leave them out, or combine by rank.")
        fine = all(math.isfinite(weight) and weight >= 0 for weight in self.weights)
        if not fine or not any(self.weights):
            raise LlasaError(
                f"Weights are {list(self.weights)}: give numbers of at least 0, not all of them 0."
            )

    def totals(self, scores: ScoreTable) -> ScoreTable:
        """One number a candidate (n,), higher is better; NaN where no verifier scored it.

        Of a candidate that only some verifiers scored, their scores or ranks count; `order` places
        it behind those that all scored.
        """
        if not scores.shape[1]:
            return np.zeros(len(scores))
        weights = np.ones(scores.shape[1]) if self.weights is None else np.array(self.weights)
        known = ~np.isnan(scores)
        if self.rule == "sum":
            found = np.where(known, scores, 0) @ weights
        elif self.rule == "rank":
            mass = np.where(known, weights, 0).sum(axis=1)
            found = -np.nansum(ranks(scores) * weights, axis=1) / np.where(mass > 0, mass, 1)
        else:
            found = -np.where(known, ranks(scores), -np.inf).max(axis=1)
        return np.where(known.any(axis=1), found, np.nan)

    def order(self, scores: ScoreTable) -> list[int]:
        """Candidates from the best to the worst.

        More verifiers that scored it come before any total. Ties go to the better one by the first
        verifier, then by the next, at last to the earlier candidate.
        """
        unscored = np.isnan(scores).sum(axis=1)
        columns = np.nan_to_num(-scores, nan=np.inf).T
        totals = np.nan_to_num(-self.totals(scores), nan=np.inf)
        return np.lexsort([*columns[::-1], totals, unscored]).tolist()


def check_each(numbers: Sequence[float] | None, what: str, verifiers: Sequence[str]) -> None:
    """`LlasaError` unless there are none, or one for each verifier."""
    if numbers is not None and len(numbers) != len(verifiers):
        raise LlasaError(
            f"{len(numbers)} {what} were given for {len(verifiers)} verifiers "
            f"({', '.join(verifiers) or 'none'}): give one for each."
        )


def ranks(scores: ScoreTable) -> ScoreTable:
    """Ranks within each column: 0 is best, equals share the mean of their ranks, NaN stays NaN."""
    better = (scores[None, :, :] > scores[:, None, :]).sum(axis=1)
    equal = (scores[None, :, :] == scores[:, None, :]).sum(axis=1)
    return np.where(np.isnan(scores), np.nan, better + (equal - 1) / 2)

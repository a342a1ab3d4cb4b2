"""Ratios with intervals, failures, and the use that a codec makes of its codes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Pair = tuple[float, float]
"""Numerator and denominator of a measure for one utterance."""
WER_LIMIT, LENGTH_LIMIT = 0.5, 2.0
"""Speech with more errors a word, or that many times too long or too short, has failed."""
RUNAWAY_SECONDS = 1.0
"""Speech that is this much longer than `LENGTH_LIMIT` times what it should last has run away."""
UtteranceRows = NDArray[np.float64]
"""Numbers of utterances: the last axis is that of the numbers, the one before of utterances."""


class Estimate(NamedTuple):
    """A ratio over utterances, and its 95 % interval; NaN where the denominators sum to 0."""

    value: float
    low: float
    high: float
    utterances: int

    def shown(self, form: str, factor: float = 1, sign: str = "") -> str:
        """As tables have it, with its interval if it has one; `form` is for each number."""
        if math.isnan(self.value):
            return "–"
        middle, low, high = (form.format(factor * number) for number in self[:3])
        return f"{sign}{middle}" + ("" if math.isnan(self.low) else f" [{low}, {high}]")

    def to_json(self) -> dict[str, float | None]:
        """By name; NaN is null."""
        return {k: None if math.isnan(v) else v for k, v in self._asdict().items()}


def estimate(pairs: Sequence[Pair], seed: int = 0, resamples: int = 1000) -> Estimate:
    """The ratio of sums over utterances, with a percentile bootstrap interval (Efron 1979).

    Utterances are drawn with replacement, so the interval says how far other utterances of the same
    kind would move the ratio; it knows nothing of other seeds or voices. The same seed gives the
    same interval.
    """
    return _bootstrap(np.asarray(pairs, np.float64), _ratio, seed, resamples)


def median(pairs: Sequence[Pair]) -> Estimate:
    """The median of the utterances' own ratios, with the same kind of interval.

    A few utterances that went astray decide a ratio of sums; they hardly move the median.
    """

    def statistic(rows: UtteranceRows) -> UtteranceRows:
        return np.asarray(np.median(rows[..., 0] / rows[..., 1], axis=-1))

    return _bootstrap(np.asarray(pairs, np.float64), statistic)


def change(pairs: Sequence[Pair], base: Sequence[Pair], quotient: bool) -> Estimate:
    """A ratio divided by that of another system, or less it, on the same utterances in order.

    Both are drawn together: the interval is that of the change.
    """

    def statistic(rows: UtteranceRows) -> UtteranceRows:
        mine, other = _ratio(rows[..., :2]), _ratio(rows[..., 2:])
        return mine / other if quotient else mine - other

    return _bootstrap(np.hstack([np.asarray(pairs), np.asarray(base)]), statistic)


def _ratio(rows: UtteranceRows) -> UtteranceRows:
    sums = rows.sum(axis=-2)
    return np.asarray(sums[..., 0] / sums[..., 1])


def _bootstrap(
    values: UtteranceRows,
    statistic: Callable[[UtteranceRows], UtteranceRows],
    seed: int = 0,
    resamples: int = 1000,
) -> Estimate:
    """A statistic of the rows of `values`, and of rows drawn from them."""
    count = len(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = float(statistic(values)) if count else np.nan
        if not np.isfinite(middle):
            return Estimate(np.nan, np.nan, np.nan, count)
        drawn = np.random.default_rng(seed).integers(0, count, (resamples, count))
        found = statistic(values[drawn])
    low, high = np.quantile(found[np.isfinite(found)], [0.025, 0.975])
    return Estimate(middle, float(low), float(high), count)


def failed(error_rate: float | None, seconds: float, expected: float) -> bool:
    """Whether an utterance is of no use: more than half of its words wrong, or length 2x off.

    `error_rate` is None where nobody listened.
    """
    wrong = error_rate is not None and error_rate > WER_LIMIT
    return wrong or not 1 / LENGTH_LIMIT <= seconds / expected <= LENGTH_LIMIT


def ran_away(finish: str | None, seconds: float, expected: float) -> bool:
    """Whether speech babbled on: it was cut off, or is far longer than its text can take.

    `finish` is "length" where the model did not end by itself. Else `seconds`, silence included,
    are compared with twice the expected length and a second more: short texts may have a pause.
    """
    return finish == "length" or seconds > LENGTH_LIMIT * expected + RUNAWAY_SECONDS


def code_use(clips: Iterable[ArrayLike], codebook_size: int) -> tuple[float, float]:
    """Share of the codes that occur, and bits that a code carries by their frequencies.

    Codes of clips, integers (n,) or (codebooks, n) each, at least one clip; of several codebooks
    the means. Few seconds of speech cannot show many codes: compare only over the same clips.
    """
    codes = np.concatenate([np.atleast_2d(np.asarray(clip, np.int64)) for clip in clips], axis=1)
    found = []
    for book in codes:
        counts = np.bincount(book, minlength=codebook_size)
        shares = counts[counts > 0] / counts.sum()
        found.append((len(shares) / codebook_size, -(shares * np.log2(shares)).sum()))
    used, bits = np.mean(found, axis=0)
    return float(used), float(bits)

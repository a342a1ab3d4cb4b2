"""The law of train-time scaling: loss by the size of a model and the data that it has seen.

    L(N, D) = E + A / N^a + B / D^b      (Hoffmann et al. 2022, arXiv 2203.15556, section 3.3)

N counts parameters, D tokens of speech; training takes about 6 N D operations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from llasa.base.arrays import Doubles
from llasa.base.errors import LlasaError

FLOPS = 6.0
"""Operations of training for each parameter and token (Kaplan et al. 2020, section 2.1)."""
EXPONENTS = (0.02, 2.0)
"""Least and greatest value of both exponents."""
_SIDE, _ROUNDS, _CLOSER = 15, 12, 0.5
"""Exponents of a side of the grid, how often it is drawn together, and how far each time."""
_UNKNOWNS = 5
_FEWEST = 3
"""Different sizes, and different amounts of data, without which nothing can be fitted."""


class Interval(NamedTuple):
    """A number and its 95 % interval."""

    value: float
    low: float
    high: float


class Optimum(NamedTuple):
    """The best model for an amount of compute, if data are no limit."""

    parameters: Interval
    tokens: Interval
    loss: Interval


@dataclass(frozen=True)
class Law:
    """Numbers of the law."""

    E: float
    A: float
    a: float
    B: float
    b: float

    def loss(self, parameters: ArrayLike, tokens: ArrayLike) -> Doubles:
        """Nats a token."""
        sizes, amounts = np.asarray(parameters, np.float64), np.asarray(tokens, np.float64)
        return np.asarray(self.E + self.A / sizes**self.a + self.B / amounts**self.b)

    def best(self, compute: float) -> tuple[float, float]:
        """Parameters and tokens of the lowest loss for so many operations.

        Section 3.3 of the paper, equation 4.
        """
        product, total = compute / FLOPS, self.a + self.b
        ratio = (self.a * self.A / (self.b * self.B)) ** (1 / total)
        return ratio * product ** (self.b / total), product ** (self.a / total) / ratio


@dataclass(frozen=True)
class Fit:
    """The law of some runs, and those of as many runs drawn from what it leaves open.

    error: mean relative distance of the runs from the law.
    """

    law: Law
    drawn: tuple[Law, ...]
    error: float

    def interval(self, number: Callable[[Law], float]) -> Interval:
        """A number that depends on the law, and what the drawn laws say of it."""
        found = np.array([number(law) for law in self.drawn])
        found = found[np.isfinite(found)]
        low, high = np.quantile(found, [0.025, 0.975]) if len(found) else (np.nan, np.nan)
        return Interval(float(number(self.law)), float(low), float(high))

    def loss(self, parameters: float, tokens: float) -> Interval:
        """Predicted loss of a run."""
        return self.interval(lambda law: float(law.loss(parameters, tokens)))

    def best(self, compute: float) -> Optimum:
        """The best run for so many operations."""
        return Optimum(
            self.interval(lambda law: law.best(compute)[0]),
            self.interval(lambda law: law.best(compute)[1]),
            self.interval(lambda law: float(law.loss(*law.best(compute)))),
        )


def fit_law(
    parameters: ArrayLike, tokens: ArrayLike, losses: ArrayLike, draws: int = 200, seed: int = 0
) -> Fit:
    """Fit the law to runs, one number of each kind a run.

    Squares of relative errors are least; no number is below 0. Intervals are those of a residual
    bootstrap: what is left over is drawn anew around the law, widened for the five numbers that
    were fitted. They know nothing of other seeds, data or learning rates, and little where runs
    are few.

    Raises `LlasaError` for fewer than six runs, or fewer than three sizes or amounts of data.
    """
    arrays = (np.asarray(values, np.float64) for values in (parameters, tokens, losses))
    sizes, amounts, wanted = arrays
    kinds = min(len(set(sizes.tolist())), len(set(amounts.tolist())))
    if len(wanted) <= _UNKNOWNS or kinds < _FEWEST:
        raise LlasaError(
            f"The law has {_UNKNOWNS} unknowns: it needs {_UNKNOWNS + 1} runs or more, of "
            f"{_FEWEST} sizes and {_FEWEST} amounts of data at least, but there are {len(wanted)}."
        )
    law = _fit(sizes, amounts, wanted)
    predicted = law.loss(sizes, amounts)
    left = np.log(wanted / predicted)
    spread = left * np.sqrt(len(left) / (len(left) - _UNKNOWNS))
    rng = np.random.default_rng(seed)
    drawn = tuple(
        _fit(sizes, amounts, predicted * np.exp(rng.choice(spread, len(spread))))
        for _ in range(draws)
    )
    return Fit(law, drawn, float(np.abs(left).mean()))


def _fit(sizes: Doubles, amounts: Doubles, losses: Doubles) -> Law:
    """The law with the least squares of relative errors.

    For given exponents the rest is linear: a grid of them is solved at once, and drawn together
    around the best point again and again.
    """
    # Units near 1 keep all unknowns of like size.
    size, amount = (float(np.exp(np.log(values).mean())) for values in (sizes, amounts))
    middle, width = np.log(EXPONENTS).mean() * np.ones(2), np.ptp(np.log(EXPONENTS)) / 2
    steps = np.stack(np.meshgrid(*[np.linspace(-1, 1, _SIDE)] * 2), -1).reshape(-1, 2)
    for _ in range(_ROUNDS):
        tried = np.exp(np.clip(middle + width * steps, *np.log(EXPONENTS)))
        a, b = tried.T[..., None]
        columns = np.stack([1 + 0 * a * sizes, (sizes / size) ** -a, (amounts / amount) ** -b], -1)
        numbers, rest = _least_squares(columns / losses[:, None])
        best = rest.argmin()
        middle, width = np.log(tried[best]), width * _CLOSER
    (low, by_size, by_amount), (a, b) = numbers[best], tried[best]
    return Law(*map(float, (low, by_size * size**a, a, by_amount * amount**b, b)))


def _least_squares(columns: Doubles) -> tuple[Doubles, Doubles]:
    """Numbers (grid, 3), none below 0, whose sums of columns (grid, runs, 3) are nearest to 1.

    Also the squares that are left. Where a number would be below 0 the first, E, is 0.
    """
    numbers = np.zeros((len(columns), 3))
    wrong = np.full(len(columns), True)
    for first in (0, 1):
        some = columns[wrong][..., first:]
        squares = some.swapaxes(1, 2) @ some + 1e-12 * np.eye(3 - first)
        numbers[wrong, :first] = 0
        numbers[wrong, first:] = np.linalg.solve(squares, some.sum(axis=1)[..., None])[..., 0]
        wrong = np.any(numbers < 0, axis=1)
    rest = np.square((columns @ numbers[..., None])[..., 0] - 1).sum(axis=1)
    return numbers, np.where(wrong, np.inf, rest)

"""The law of scaling: found again where it is known, with intervals that hold it."""

from __future__ import annotations

import numpy as np
import pytest

from llasa.base.errors import LlasaError
from llasa.evaluation.scaling import FLOPS, Law, fit_law
from llasa.evaluation.scaling_grid import LOSS, Outcome
from llasa.evaluation.scaling_report import compute, foretold
from llasa.evaluation.statistics import Estimate

LAW = Law(E=1.2, A=40.0, a=0.35, B=90.0, b=0.3)
SIZES = np.repeat([1e6, 2.5e6, 6.3e6, 1.6e7], 3)
TOKENS = np.tile([1e7, 2e7, 3e7], 4)


def noisy(spread: float, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, spread, len(SIZES))
    return LAW.loss(SIZES, TOKENS) * np.exp(noise)


def test_a_law_without_noise_is_found_again() -> None:
    fit = fit_law(SIZES, TOKENS, noisy(0), draws=5)
    assert pytest.approx(LAW.E, rel=1e-2) == fit.law.E
    assert (fit.law.a, fit.law.b) == pytest.approx((LAW.a, LAW.b), rel=1e-2)
    assert fit.law.loss(1e8, 1e9) == pytest.approx(LAW.loss(1e8, 1e9), rel=1e-3)
    assert fit.error < 1e-5
    low, high = fit.loss(1e8, 1e9)[1:]
    assert high - low < 0.01


def test_intervals_hold_the_truth_and_grow_with_noise() -> None:
    wide = fit_law(SIZES, TOKENS, noisy(0.01), draws=60)
    narrow = fit_law(SIZES, TOKENS, noisy(0.001), draws=60)
    for fit in (wide, narrow):
        value, low, high = fit.loss(1.6e7, 6e7)
        assert low <= value <= high
        assert low <= LAW.loss(1.6e7, 6e7) <= high
    assert wide.loss(1.6e7, 6e7).high > narrow.loss(1.6e7, 6e7).high
    again = fit_law(SIZES, TOKENS, noisy(0.01), draws=60)
    assert again == wide


def test_data_that_teach_nothing_leave_one_term() -> None:
    """Losses that depend on size alone: no number is below 0, and the law still fits."""
    losses = 2 + 300 / SIZES**0.4
    fit = fit_law(SIZES, TOKENS, losses, draws=2)
    assert min(fit.law.E, fit.law.A, fit.law.B) >= 0
    assert fit.error < 1e-4


def test_the_best_run_is_no_worse_than_its_neighbours() -> None:
    budget = 1e17
    size, tokens = LAW.best(budget)
    assert FLOPS * size * tokens == pytest.approx(budget)
    least = LAW.loss(size, tokens)
    for factor in (0.8, 1.25):
        assert LAW.loss(size * factor, tokens / factor) > least


@pytest.mark.parametrize("chosen", [slice(0, 5), slice(0, 6), slice(0, 12, 3)])
def test_too_few_runs_are_refused(chosen: slice) -> None:
    with pytest.raises(LlasaError, match="it needs 6 runs or more, of 3 sizes and 3 amounts"):
        fit_law(SIZES[chosen], TOKENS[chosen], noisy(0)[chosen])


def outcomes() -> list[Outcome]:
    losses = noisy(0.001)
    numbers = zip(SIZES, TOKENS, losses, strict=True)
    return [
        Outcome("run", f"{n:g}", d / 3e7, int(n), int(d), 1, {LOSS: Estimate(x, x, x, 1)})
        for n, d, x in numbers
    ]


@pytest.mark.slow
def test_the_last_run_is_foretold_by_the_others() -> None:
    runs = outcomes()
    found = foretold(runs)
    assert found is not None
    last, loss = found
    assert last is max(runs, key=compute)
    assert loss.value == pytest.approx(last.loss, rel=0.01)
    worse = [*runs[:-1], Outcome(**{**vars(last), "measures": {LOSS: Estimate(9, 9, 9, 1)}})]
    assert foretold(worse)[1] == loss  # type: ignore[index]
    assert foretold(runs[:5]) is None

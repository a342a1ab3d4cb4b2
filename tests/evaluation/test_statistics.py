"""Intervals, failures and code use against values worked out by hand or by other means."""

from __future__ import annotations

import math

import numpy as np
import pytest

from llasa.evaluation.statistics import code_use, estimate, failed, median, ran_away


def test_ratio_of_sums_is_no_mean_of_ratios() -> None:
    found = estimate([(1, 2), (1, 8)])
    assert found.value == pytest.approx(2 / 10)
    assert found.utterances == 2
    assert (found.low, found.high) == pytest.approx((1 / 8, 1 / 2))


def test_interval_repeats_and_holds_the_value() -> None:
    pairs = [(float(n), 10.0) for n in np.random.default_rng(1).integers(0, 6, 60)]
    first = estimate(pairs, seed=3)
    assert first == estimate(pairs, seed=3)
    assert first != estimate(pairs, seed=4)
    assert first.low < first.value < first.high


def test_interval_of_a_mean_agrees_with_the_normal_one() -> None:
    values = np.random.default_rng(0).normal(3, 1, 400)
    found = estimate([(value, 1.0) for value in values], resamples=4000)
    half = 1.96 * values.std(ddof=1) / 20
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx(
        (values.mean() - half, values.mean() + half), abs=0.015
    )


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(5)
    hits = 0
    for _ in range(200):
        found = estimate([(v, 1.0) for v in generator.normal(0, 1, 50)], resamples=400)
        hits += found.low <= 0 <= found.high
    assert 0.88 <= hits / 200 <= 0.99


@pytest.mark.parametrize("pairs", [[], [(0.0, 0.0)]])
def test_nothing_to_count_is_no_number(pairs: list[tuple[float, float]]) -> None:
    found = estimate(pairs)
    assert math.isnan(found.value)
    assert found.utterances == len(pairs)


def test_no_spread_no_interval() -> None:
    assert estimate([(1, 4)] * 5)[:3] == (0.25, 0.25, 0.25)


@pytest.mark.parametrize(
    ("rate", "seconds", "lost"),
    [
        *((0.5, 2, False), (0.51, 2, True), (None, 2, False), (None, 0, True)),
        *((0, 4, False), (0, 4.1, True), (0, 0.9, True)),
    ],
)
def test_failed_means_half_wrong_or_length_off_by_two(
    rate: float | None, seconds: float, lost: bool
) -> None:
    assert failed(rate, seconds, expected=2.0) is lost


def test_the_median_does_not_mind_a_runaway() -> None:
    pairs = [(0.0, 4.0), (1.0, 4.0), (1.0, 5.0), (2.0, 4.0), (90.0, 3.0)]
    found = median(pairs)
    assert (found.value, found.utterances) == (0.25, 5)
    assert 0 <= found.low <= 0.25 <= found.high <= 30
    assert found == median(pairs)
    assert estimate(pairs).value > 4


def test_the_interval_of_a_median_covers_the_truth_about_as_often_as_it_says() -> None:
    generator, hits = np.random.default_rng(3), 0
    for _ in range(200):
        found = median([(value, 1.0) for value in generator.normal(0, 1, 60)])
        hits += found.low <= 0 <= found.high
    assert 0.88 <= hits / 200 <= 0.99


def test_no_utterances_no_median() -> None:
    assert math.isnan(median([]).value)


@pytest.mark.parametrize(
    ("finish", "seconds", "away"),
    [
        *(("stop", 5.0, False), ("stop", 5.1, True), (None, 5.1, True), (None, 0.0, False)),
        *(("length", 2.0, True), ("stop", 0.1, False)),
    ],
)
def test_runaways_are_cut_off_or_far_too_long(
    finish: str | None, seconds: float, away: bool
) -> None:
    assert ran_away(finish, seconds, expected=2.0) is away


def test_code_use_by_hand() -> None:
    assert code_use([[0, 0, 1], [1, 2, 2, 3, 3]], 8) == pytest.approx((4 / 8, 2.0))
    books = code_use([[[0, 1], [5, 5]]], 8)
    assert books == pytest.approx(((2 / 8 + 1 / 8) / 2, 0.5))

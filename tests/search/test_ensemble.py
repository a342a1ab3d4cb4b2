"""Several verifiers, one order: rules, unscored candidates, ties, and bad weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from llasa.base.errors import LlasaError
from llasa.search.ensemble import RULES, CombinationRule, Ensemble, check_each, ranks

NAN = float("nan")
rules = st.sampled_from(RULES)
# Few values, so that there are ties; NaN is unscored.
tables = st.tuples(st.integers(1, 7), st.integers(1, 3)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.sampled_from([NAN, -2.0, -1.0, 0.0, 3.0]))
)


def test_sum_is_weighted() -> None:
    scores = np.array([[1.0, 0.0], [0.0, 3.0]])
    assert Ensemble().totals(scores).tolist() == [1.0, 3.0]
    assert Ensemble("sum", [4.0, 1.0]).totals(scores).tolist() == [4.0, 3.0]
    assert Ensemble("sum", [4.0, 1.0]).order(scores) == [0, 1]


def test_ranks_share_places_and_leave_the_unscored_out() -> None:
    scores = np.array([[5.0], [7.0], [5.0], [NAN], [1.0]])
    np.testing.assert_array_equal(ranks(scores), np.array([[1.5], [0.0], [1.5], [NAN], [3.0]]))


def test_rank_average_ignores_scales() -> None:
    scores = np.array([[0.9, -100.0], [0.8, -1.0], [0.1, -2.0]])
    assert Ensemble("rank").totals(scores).tolist() == [-1.0, -0.5, -1.5]
    assert Ensemble("rank", [3.0, 1.0]).order(scores)[0] == 0  # (0 * 3 + 2) / 4 against 3 / 4


def test_worst_rank_wants_all_verifiers_pleased() -> None:
    scores = np.array([[0.9, -9.0], [0.8, -3.0], [0.7, -1.0], [0.6, -2.0]])
    assert Ensemble("worst").totals(scores).tolist() == [-3.0, -2.0, -2.0, -3.0]
    assert Ensemble("worst").order(scores) == [1, 2, 0, 3]  # ties: the first verifier decides


@settings(deadline=None)
@given(tables, rules)
def test_unscored_never_beats_scored(scores: np.ndarray, rule: CombinationRule) -> None:
    order = Ensemble(rule).order(scores)
    lacking = np.isnan(scores).sum(axis=1)[order]
    assert (np.diff(lacking) >= 0).all()
    assert sorted(order) == list(range(len(scores)))
    totals = Ensemble(rule).totals(scores)
    np.testing.assert_array_equal(np.isnan(totals), np.isnan(scores).all(axis=1))


@settings(deadline=None)
@given(tables, rules, st.randoms())
def test_the_order_does_not_depend_on_the_places(
    scores: np.ndarray, rule: CombinationRule, random: np.random.Generator
) -> None:
    places = list(range(len(scores)))
    random.shuffle(places)
    rows = scores[Ensemble(rule).order(scores)]
    np.testing.assert_array_equal(rows, scores[places][Ensemble(rule).order(scores[places])])


@settings(deadline=None)
@given(tables, rules)
def test_equals_keep_their_order(scores: np.ndarray, rule: CombinationRule) -> None:
    order = Ensemble(rule).order(np.concatenate([scores, scores]))
    for place in range(len(scores)):
        assert order.index(place) < order.index(place + len(scores))


@settings(deadline=None)
@given(tables, rules, st.data())
def test_a_higher_score_never_costs_a_place(
    scores: np.ndarray, rule: CombinationRule, data: st.DataObject
) -> None:
    row = data.draw(st.integers(0, len(scores) - 1))
    column = data.draw(st.integers(0, scores.shape[1] - 1))
    better = scores.copy()
    better[row, column] = 9.0  # above all others; a missing score becomes one
    assert Ensemble(rule).order(better).index(row) <= Ensemble(rule).order(scores).index(row)


@settings(deadline=None)
@given(tables)
def test_ranks_depend_on_order_alone(scores: np.ndarray) -> None:
    for rule in ("rank", "worst"):
        assert Ensemble(rule).order(scores) == Ensemble(rule).order(np.exp(scores) * 7 - 1)


def test_no_verifiers_keep_the_order() -> None:
    assert Ensemble().order(np.zeros((3, 0))) == [0, 1, 2]


@pytest.mark.parametrize(
    ("rule", "weights", "words"),
    [
        ("median", None, "valid are sum, rank, worst"),
        ("worst", [1.0], "takes no weights"),
        ("sum", [-1.0, 1.0], "at least 0"),
        ("sum", [0.0, 0.0], "not all of them 0"),
        ("rank", [NAN], "at least 0"),
    ],
)
def test_bad_settings(rule: CombinationRule, weights: list[float] | None, words: str) -> None:
    with pytest.raises(LlasaError, match=words):
        Ensemble(rule, weights)


def test_one_weight_for_each_verifier() -> None:
    with pytest.raises(LlasaError, match=r"1 weights were given for 2 verifiers \(a, b\)"):
        check_each([1.0], "weights", ["a", "b"])

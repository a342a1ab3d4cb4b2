"""The sampler: truncation rules, random streams, greedy, against plain definitions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from llasa.base.errors import LlasaError
from llasa.lm.sampling import SamplingParams, mix, spread
from llasa.lm.torch_sampling import sample

RULES = st.builds(
    SamplingParams,
    temperature=st.sampled_from([0.0, 0.3, 1.0, 2.5]),
    top_k=st.sampled_from([0, 1, 3, 10, 1000]),
    top_p=st.sampled_from([0.05, 0.5, 0.9, 1.0]),
    min_p=st.sampled_from([0.0, 0.1, 1.0]),
    repetition_penalty=st.sampled_from([1.0, 0.7, 1.5]),
    seed=st.integers(0, 2**70),
)


def random_logits(rows: int, columns: int, seed: int) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) * 3


def draw(
    logits: torch.Tensor, rule: SamplingParams, count: int, recent: list[int] | None = None
) -> np.ndarray[Any, Any]:
    """Many draws from one row of logits: one column a step."""
    rows = logits.expand(count, -1)
    choice, _ = sample(rows, [rule] * count, range(count), [recent or []] * count)
    return np.asarray(choice)


def their_distribution(logits: torch.Tensor, rule: SamplingParams, recent: list[int]) -> np.ndarray:
    """Probabilities by the processors of transformers, in the order generate applies them."""
    steps = LogitsProcessorList()
    if rule.repetition_penalty != 1:
        steps.append(RepetitionPenaltyLogitsProcessor(rule.repetition_penalty))
    steps.append(TemperatureLogitsWarper(rule.temperature))
    if rule.top_k:
        steps.append(TopKLogitsWarper(rule.top_k))
    if rule.top_p < 1:
        steps.append(TopPLogitsWarper(rule.top_p))
    if rule.min_p > 0:
        steps.append(MinPLogitsWarper(rule.min_p))
    scores = steps(cast(torch.LongTensor, torch.tensor([recent])), logits[None].clone())
    return scores.softmax(-1)[0].numpy()


@pytest.mark.parametrize(
    "rule",
    [
        SamplingParams(),
        SamplingParams(temperature=0.7),
        SamplingParams(top_k=4),
        SamplingParams(top_p=0.8, temperature=1.5),
        SamplingParams(top_p=0.6, top_k=12),
        SamplingParams(min_p=0.2),
        SamplingParams(repetition_penalty=1.7),
        SamplingParams(
            temperature=1.3, top_k=9, top_p=0.9, min_p=0.05, repetition_penalty=1.2, seed=5
        ),
    ],
    ids=str,
)
def test_frequencies_follow_the_distribution_of_transformers(rule: SamplingParams) -> None:
    logits = random_logits(1, 30, seed=1)[0]
    recent = [3, 17, 17, 0]
    expected = their_distribution(logits, rule, recent)
    count = 20_000
    seen = np.bincount(draw(logits, rule, count, recent), minlength=30) / count
    assert (seen[expected == 0] == 0).all(), "a removed token was drawn"
    error = np.abs(seen - expected) / np.sqrt(expected * (1 - expected) / count + 1e-9)
    assert error.max() < 4.5


@settings(max_examples=60, deadline=None)
@given(st.lists(RULES, min_size=1, max_size=6), st.integers(2, 40), st.integers(0, 1000))
def test_rows_do_not_influence_each_other(
    rules: list[SamplingParams], columns: int, seed: int
) -> None:
    logits = random_logits(len(rules), columns, seed)
    steps = [(seed + i) % 7 for i in range(len(rules))]
    recent = [[(seed * i) % columns, i % columns] for i in range(len(rules))]
    choice, logprob = sample(logits, rules, steps, recent)
    torch.testing.assert_close(logprob, logits.log_softmax(-1)[range(len(rules)), choice])
    for i, rule in enumerate(rules):
        alone, _ = sample(logits[i : i + 1], [rule], [steps[i]], [recent[i]])
        assert alone.item() == choice[i].item()


@settings(max_examples=80, deadline=None)
@given(RULES, st.integers(2, 60), st.integers(0, 1000))
def test_only_admitted_tokens(rule: SamplingParams, columns: int, seed: int) -> None:
    logits = random_logits(1, columns, seed)[0]
    drawn = set(draw(logits, replace(rule, repetition_penalty=1.0), 50).tolist())
    assert drawn <= set(range(columns))
    rank = {int(token): place for place, token in enumerate(logits.argsort(descending=True))}
    if rule.temperature == 0 or rule.top_k == 1 or rule.min_p == 1 or rule.top_p == 0.05:
        bound = 1 if rule.top_p != 0.05 else columns
        assert max(rank[token] for token in drawn) < bound
    if rule.top_k:
        assert max(rank[token] for token in drawn) < rule.top_k
    again = set(draw(logits, replace(rule, repetition_penalty=1.0), 50).tolist())
    assert again == drawn


def test_small_top_p_leaves_the_likeliest() -> None:
    logits = random_logits(1, 2000, seed=0)[0]
    assert set(draw(logits, SamplingParams(top_p=1e-6), 200)) == {int(logits.argmax())}


@pytest.mark.parametrize("top_p", [0.3, 0.9])
def test_top_p_of_a_flat_distribution(top_p: float) -> None:
    """More tokens belong to it than the first, short sort looks at."""
    logits = torch.linspace(0, 0.1, 700)
    order = logits.softmax(-1).flip(0)
    admitted = int((order.cumsum(0) - order < top_p).sum())
    drawn = draw(logits, SamplingParams(top_p=top_p), 4000)
    assert 700 - admitted - 2 <= drawn.min() < 700 - admitted * 0.98


def test_extreme_logits() -> None:
    logits = torch.tensor([[-1e30, 3e4, -3e4, 2.9e4]])
    for temperature in (0.0, 0.01, 1.0, 100.0):
        choice, logprob = sample(logits, [SamplingParams(temperature=temperature)], [0], [[]])
        assert choice.item() in (1, 3)
        assert bool(logprob.isfinite())


@pytest.mark.parametrize("columns", [5, 4100, 65_537])
def test_largest_random_number(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It still picks a token that has probability."""
    monkeypatch.setattr("llasa.lm.sampling.mix", lambda *numbers: 2**64 - 1)
    logits = random_logits(1, columns, seed=0)
    logits[:, columns // 2 :] = -1e9
    for rule in (SamplingParams(), SamplingParams(top_k=columns - 1), SamplingParams(top_p=0.999)):
        assert draw(logits[0], rule, 1).item() < columns // 2


@pytest.mark.parametrize("penalty", [0.01, 100.0])
@pytest.mark.parametrize("top_p", [1e-6, 1.0])
@pytest.mark.parametrize("temperature", [0.01, 100.0])
def test_rules_at_their_bounds_leave_a_token(
    penalty: float, top_p: float, temperature: float
) -> None:
    rule = SamplingParams(temperature, top_p=top_p, min_p=1.0, repetition_penalty=penalty)
    logits = 30 * random_logits(1, 700, seed=0)
    choice, logprob = sample(logits, [rule], [0], [list(range(700))])
    assert 0 <= choice.item() < 700
    assert torch.isfinite(logprob).all()


def test_streams_look_independent() -> None:
    table = np.array([[mix(seed, step) >> 42 for step in range(200)] for seed in range(200)])
    table = table / 2**22
    assert abs(table.mean() - 0.5) < 0.005
    assert abs(table.std() - 12**-0.5) < 0.005
    for one, other in ((table[:, :-1], table[:, 1:]), (table[:-1], table[1:])):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.02


def test_rule_for_many_sequences() -> None:
    rule = SamplingParams(seed=10, top_k=3)
    assert [p.seed for p in spread(rule, 3)] == [10, 11, 12]
    assert {replace(p, seed=10) for p in spread(rule, 3)} == {rule}
    assert spread([rule, rule], 2) == [rule, rule]
    with pytest.raises(LlasaError, match="2 sampling rules for 3 sequences"):
        spread([rule, rule], 3)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"temperature": -0.1}, r"temperature is -0.1; give a number from 0.01 to 100 \(or 0"),
        ({"temperature": 1e-9}, "temperature"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": "hot"}, "temperature is 'hot'"),
        ({"top_p": 0}, "top_p is 0; give a number from 1e-06 to 1"),
        ({"top_p": 1e-300}, "top_p is 1e-300"),
        ({"top_p": 1.1}, "top_p"),
        ({"min_p": -1}, "min_p is -1; give a number from 0 to 1"),
        ({"top_k": -1}, "top_k is -1; give a whole number of at least 0"),
        ({"top_k": 2.5}, "top_k"),
        ({"top_k": True}, "top_k is True"),
        ({"repetition_penalty": 0}, "repetition_penalty is 0"),
        ({"repetition_penalty": 1e-300}, "repetition_penalty is 1e-300; give a number from 0.01"),
        ({"repetition_penalty": float("inf")}, "repetition_penalty"),
        ({"repetition_window": -1}, "repetition_window"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 1.5}, "seed"),
        ({"max_tokens": 0}, "max_tokens is 0; give a whole number of at least 1"),
    ],
)
def test_bad_settings(values: dict[str, Any], words: str) -> None:
    with pytest.raises(LlasaError, match=words):
        SamplingParams(**values)

"""Drafts: sequences are the same with and without, whatever is guessed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from llasa.base.errors import LlasaError
from llasa.lm.draft_head import DraftHead, HeadDrafter, load_draft_head, save_draft_head
from llasa.lm.drafting import Drafter, Lookup, stands
from llasa.lm.engine import Generation
from llasa.lm.sampling import SamplingParams
from llasa.lm.torch import TorchEngine

from .tools import our_model, prompt

ALLOWED, END = range(20, 120), [5]
RULES = {
    "plain": SamplingParams(max_tokens=40),
    "likeliest": SamplingParams(temperature=0, max_tokens=40),
    "sharp": SamplingParams(temperature=0.2, top_k=5, max_tokens=40),
    "truncated": SamplingParams(temperature=0.7, top_p=0.8, min_p=0.05, max_tokens=40),
    "penalised": SamplingParams(temperature=0.4, repetition_penalty=1.5, max_tokens=40),
    "loops": SamplingParams(temperature=0.05, loop_window=16, max_tokens=200),
}


class Known:
    """Drafts what a sequence is known to become, every so many tokens with an error."""

    def __init__(self, tokens: Sequence[int], wrong: int = 0) -> None:
        self.tokens = [*tokens, END[0]]
        if wrong:
            self.tokens[wrong::wrong] = [119 - (t == 119) for t in self.tokens[wrong::wrong]]

    def draft(self, generation: Generation, state: Any, most: int) -> Sequence[int]:
        begin = len(generation.tokens)
        return self.tokens[begin : begin + min(most, 3)]


def head_drafter(engine: TorchEngine) -> HeadDrafter:
    """A head with random weights."""
    torch.manual_seed(1)
    return HeadDrafter(DraftHead(48, 32), engine.decoder, engine.columns, most=3)


def alone(
    engine: TorchEngine, rule: SamplingParams, drafter: Drafter | None, steps: Sequence[int] = ()
) -> Generation:
    """One sequence, the first tokens in so many steps each."""
    engine.drafter = drafter
    (one,) = engine.start([prompt(10, rule.seed)], [rule])
    for count in steps:
        before = len(one.tokens)
        engine.advance([one], count)
        assert one.finish or len(one.tokens) == before + count
    engine.advance([one], engine.context)
    return one


def same(one: Generation, other: Generation) -> bool:
    near = abs(one.logprob - other.logprob) < 1e-3
    return one.tokens == other.tokens and one.finish == other.finish and near


@pytest.fixture(scope="module")
def engine() -> TorchEngine:
    return TorchEngine(our_model(), ALLOWED, END)


@pytest.mark.parametrize("name", RULES)
def test_sequences_are_those_of_plain_decoding(engine: TorchEngine, name: str) -> None:
    for seed in range(6):
        rule = replace(RULES[name], seed=seed)
        plain = alone(engine, rule, None)
        for drafter in (Lookup(), head_drafter(engine), Known(plain.tokens, 3)):
            assert same(alone(engine, rule, drafter), plain)
            assert same(alone(engine, rule, drafter, (1, 2, 3, 5)), plain)
    assert not engine.running


def test_a_draft_that_is_right_saves_passes(engine: TorchEngine) -> None:
    ends = set()
    for seed in range(20):
        rule = replace(RULES["plain"], seed=seed)
        plain = alone(engine, rule, None)
        for wrong in (0, 4):
            before = engine.passes
            assert same(alone(engine, rule, Known(plain.tokens, wrong)), plain)
            chosen = len(plain.tokens) + (plain.finish == "stop")
            if not wrong:
                assert engine.passes - before == -(-chosen // 4)
        ends.add(plain.finish)
    assert ends == {"stop", "length"}


def test_the_context_may_be_filled() -> None:
    engine = TorchEngine(our_model(max_position_embeddings=32), ALLOWED, [])
    rule = SamplingParams(seed=4)
    plain = alone(engine, rule, None)
    assert plain.length == 32
    for drafter in (Known(plain.tokens), Lookup(), head_drafter(engine)):
        assert same(alone(engine, rule, drafter), plain)


def test_company_comes_and_goes(engine: TorchEngine) -> None:
    """A sequence is the same after others were beside it, as a child, and after rejected drafts."""
    rules = [replace(RULES["sharp"], seed=seed, max_tokens=60) for seed in (7, 8)]
    plain = [alone(engine, rule, None) for rule in rules]
    for drafter in (head_drafter(engine), Known(plain[0].tokens, 5), Lookup()):
        engine.drafter = drafter
        one, other = engine.start([prompt(10, rule.seed) for rule in rules], rules)
        engine.advance([one], 9)
        engine.advance([other], 4)
        engine.advance([one, other], 3)
        (child,) = engine.fork([one], [0])
        engine.advance([child], 8)
        engine.advance([other], 60)
        engine.advance([child], 60)
        assert same(child, plain[0])
        assert same(other, plain[1])
        assert not engine.running


@pytest.mark.slow
def test_the_token_after_a_draft_has_the_distribution_of_the_model() -> None:
    """Chi-square of 4,000 sequences against the exact probabilities of their second token."""
    model, allowed, ids = our_model(), range(20, 28), prompt(6)
    engine = TorchEngine(model, allowed)
    engine.drafter = Known([23, 23])
    with torch.no_grad():

        def after(before: Sequence[int]) -> torch.Tensor:
            scores = model(torch.tensor([before]))[0, -1, allowed.start : allowed.stop]
            return (scores.double() / 3).softmax(-1)

        expected = after(ids)[3] * after([*ids, 23])
        rest = float(after(ids)[:3].sum() + after(ids)[4:].sum())
    count, found = 4000, Counter[int | None]()
    for seed in range(count):
        (one,) = engine.start([ids], SamplingParams(temperature=3, seed=seed))
        engine.advance([one], 2)
        found[one.tokens[1] if one.tokens[0] == 23 else None] += 1
        engine.release([one])
    wanted = dict(zip((*allowed, None), [*expected.tolist(), rest], strict=True))
    assert min(wanted.values()) * count > 5
    distance = sum((found[k] - count * p) ** 2 / (count * p) for k, p in wanted.items())
    assert distance < 26.1  # exceeded by chance once in 1,000 (8 degrees of freedom)


@pytest.mark.parametrize(
    ("draft", "chosen", "count"),
    [([5, 6], [5, 6, 7], 3), ([5, 6], [5, 9, 7], 2), ([5, 6], [4, 6, 7], 1), ([5], [5, 1], 2)],
)
def test_tokens_stand_up_to_the_first_unforetold(
    draft: list[int], chosen: list[int], count: int
) -> None:
    assert stands(draft, chosen) == count


def test_lookup_goes_on_as_before() -> None:
    def drafted(tokens: Sequence[int], most: int = 9) -> list[int]:
        generation = Generation(tokens[:2], SamplingParams(), list(tokens[2:]))
        return list(Lookup(3).draft(generation, None, most))

    assert drafted([1, 2, 3, 9, 2, 3, 7, 8, 4, 1, 2, 3]) == [9, 2, 3]  # three tokens beat two
    assert drafted([5, 2, 3, 9, 6, 2, 3, 7, 8, 4, 2, 3]) == [7, 8, 4]  # the last time counts
    assert drafted([1, 2, 3, 4, 2], most=1) == [3]
    assert drafted([1, 1]) == [1]
    assert drafted([1, 2, 3]) == []
    assert drafted([256, 1, 65536, 16777216, 0]) == []  # bytes that look alike


def test_a_head_is_saved(tmp_path: Path, engine: TorchEngine) -> None:
    path = tmp_path / "draft.safetensors"
    head = DraftHead(48, 20)
    save_draft_head(head, path)
    found = load_draft_head(path)
    x = torch.randn(2, 48), torch.randn(2, 48)
    torch.testing.assert_close(found(*x), head(*x), atol=1e-3, rtol=1e-2)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(LlasaError, match="damaged or cut off"):
        load_draft_head(path)
    head.into = torch.nn.Linear(7, 7)
    save_draft_head(head, path)
    with pytest.raises(LlasaError, match="not a draft head"):
        load_draft_head(path)
    with pytest.raises(LlasaError, match="states of 24 numbers, but the language model has 48"):
        HeadDrafter(DraftHead(24, 20), engine.decoder, engine.columns)

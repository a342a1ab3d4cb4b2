"""The engine: exact against ``transformers`` generate, and the same alone or in any company."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM

from llasa.base.errors import LlasaError
from llasa.lm.checkpoint import load_llama
from llasa.lm.decoder import Mode
from llasa.lm.engine import Engine, Generation, generate
from llasa.lm.llama import Llama
from llasa.lm.sampling import SamplingParams
from llasa.lm.torch import TorchEngine

from .tools import LLAMA3, VARIANTS, VOCABULARY, our_model, prompt, saved, their_model

GREEDY = SamplingParams(temperature=0, max_tokens=40)
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif("not torch.cuda.is_available()"))]


def their_tokens(
    model: LlamaForCausalLM,
    ids: Sequence[int],
    allowed: range,
    end: Sequence[int],
    **options: float,
) -> list[int]:
    """Greedy output of transformers, restricted to the allowed ids, without the end token."""
    columns = [*allowed, *end]
    found = model.generate(
        torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids)),
        do_sample=False,
        pad_token_id=0,
        eos_token_id=list(end) or None,
        prefix_allowed_tokens_fn=lambda _, __: columns,
        **options,
    )[0, len(ids) :].tolist()
    return found[:-1] if found[-1] in end else found


def alone(
    model: Llama, ids: Sequence[int], params: SamplingParams, end: Sequence[int] = ()
) -> Generation:
    """One sequence in an engine of its own."""
    return generate(TorchEngine(model, end=end), [ids], [params])[0]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_greedy_equals_transformers(variant: str, device: str, tmp_path: Path) -> None:
    theirs = their_model(half=variant in ("tied", "grouped"), **VARIANTS[variant])
    model = load_llama(saved(theirs, tmp_path), device=device)
    prompts = [prompt(length, seed=length) for length in (1, 17, 60)]
    rule = replace(GREEDY, max_tokens=24)
    for allowed, end in ((range(VOCABULARY), [5]), (range(40, 110), [3, 7])):
        engine: Engine = TorchEngine(model, allowed, end)
        for ids, found in zip(prompts, generate(engine, prompts, rule), strict=True):
            expected = their_tokens(theirs, ids, allowed, end, max_new_tokens=24)
            assert found.tokens == expected
            assert found.finish == ("length" if len(expected) == 24 else "stop")


def test_greedy_with_repetition_penalty_equals_transformers(tmp_path: Path) -> None:
    theirs = their_model()
    engine = TorchEngine(load_llama(saved(theirs, tmp_path)))
    rule = replace(GREEDY, repetition_penalty=1.8, repetition_window=0)
    expected = their_tokens(
        theirs, prompt(20), range(VOCABULARY), [], max_new_tokens=40, repetition_penalty=1.8
    )
    assert generate(engine, [prompt(20)], [rule])[0].tokens == expected
    short = generate(engine, [prompt(20)], [replace(rule, repetition_window=2)])[0].tokens
    assert short != expected


def test_long_sequences_grow_the_cache() -> None:
    model = our_model()
    engine = TorchEngine(model)
    (found,) = generate(engine, [prompt(3)], replace(GREEDY, max_tokens=400))
    ids = torch.tensor([[*found.prompt, *found.tokens]])
    with torch.no_grad():
        best = model(ids)[0, 2:-1].argmax(-1)
    assert found.tokens == best.tolist()


def test_sum_of_log_probabilities() -> None:
    model = our_model()
    allowed, end = range(30, 100), [2]
    engine = TorchEngine(model, allowed, end)
    rule = SamplingParams(temperature=0.8, top_k=20, repetition_penalty=1.3, max_tokens=30)
    for found in generate(engine, [prompt(9, seed) for seed in range(4)], rule):
        emitted = found.tokens + end * (found.finish == "stop")
        ids = torch.tensor([[*found.prompt, *emitted]])
        with torch.no_grad():
            logits = model(ids)[0, 8:-1, [*allowed, *end]]
        columns = torch.tensor([[*allowed, *end].index(token) for token in emitted])
        expected = logits.log_softmax(-1).gather(1, columns[:, None]).sum()
        assert found.logprob == pytest.approx(expected.item(), abs=1e-2)


@pytest.mark.parametrize("device", DEVICES)
def test_a_batch_equals_each_alone(device: str) -> None:
    model = our_model().to(device)
    rules = [
        SamplingParams(seed=1, max_tokens=30),
        SamplingParams(seed=2, temperature=0.7, top_k=9, max_tokens=12),
        GREEDY,
        SamplingParams(seed=4, top_p=0.8, min_p=0.02, repetition_penalty=1.2, max_tokens=25),
        SamplingParams(seed=1, max_tokens=30),
    ]
    prompts = [prompt(5), prompt(33), prompt(5), prompt(1), prompt(5)]
    together = generate(TorchEngine(model, end=[0]), prompts, rules)
    for ids, rule, found in zip(prompts, rules, together, strict=True):
        lonely = alone(model, ids, rule, [0])
        assert found.tokens == lonely.tokens
        assert found.finish == lonely.finish
        assert found.logprob == pytest.approx(lonely.logprob, abs=1e-2)
    assert together[0].tokens == together[4].tokens
    assert generate(TorchEngine(model, end=[0]), prompts, rules)[3].tokens == together[3].tokens


def test_shared_prefixes_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = our_model()
    engine = TorchEngine(model)
    computed: list[int] = []
    hidden = engine.decoder.hidden
    monkeypatch.setattr(
        engine.decoder,
        "hidden",
        lambda ids, *a, **k: computed.append(ids.numel()) or hidden(ids, *a, **k),
    )
    base = prompt(50)
    prompts = [base, base, [*base[:30], 4, 5, 6], base[:20], [9, *base]]
    found = engine.start(prompts, GREEDY)
    assert computed == [49, 2, 50]
    engine.advance(found, 20)
    computed.clear()
    more = engine.start([[*base, *found[0].tokens[:10], 77]], [GREEDY])
    assert computed == [], "tokens already generated were computed again"
    engine.advance([*found, *more], 50)
    for ids, generation in zip([*prompts, more[0].prompt], [*found, *more], strict=True):
        assert generation.tokens == alone(model, ids, GREEDY).tokens


def test_sequences_join_leave_and_reuse_slots() -> None:
    model = our_model()
    engine = TorchEngine(model)
    rule = SamplingParams(temperature=0.9, top_k=30, max_tokens=30)
    rules = [replace(rule, seed=seed, max_tokens=8 + 5 * seed) for seed in range(6)]
    prompts = [prompt(7 + 4 * seed, seed) for seed in range(6)]
    first = engine.start(prompts[:3], rules[:3])
    engine.advance(first, 4)
    second = engine.start(prompts[3:5], rules[3:5])
    engine.advance(second, 3)  # only the newcomers
    assert [len(g.tokens) for g in (*first, *second)] == [4, 4, 4, 3, 3]
    engine.advance([second[1], first[0], second[1]], 2)  # in any order, named twice
    engine.release([first[1]])
    assert (first[1].finish, len(engine.running)) == ("released", 4)
    third = engine.start(prompts[5:], rules[5:])
    slots = engine.decoder.cache.slots
    assert slots == 8
    running = [*first, *second, *third]
    while any(g.finish is None for g in running):
        engine.advance(running)
    assert len(engine.running) == 0
    for index, generation in enumerate(running):
        if index != 1:
            assert generation.tokens == alone(model, prompts[index], rules[index]).tokens
    again = generate(engine, prompts, rules)  # on used memory
    assert [g.tokens for g in again[2:]] == [g.tokens for g in running[2:]]
    assert engine.decoder.cache.slots == slots


def test_a_start_that_fails_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = TorchEngine(our_model())
    (running,) = engine.start([prompt(9)], SamplingParams(max_tokens=20))
    hidden, fails = engine.decoder.hidden, [False, True, False]

    def fail(*parts: Any, **settings: Any) -> torch.Tensor:
        if fails and fails.pop(0):
            raise RuntimeError("out of memory")
        return hidden(*parts, **settings)

    monkeypatch.setattr(engine.decoder, "hidden", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        engine.start([prompt(5), prompt(7)], SamplingParams())
    assert engine.running == [running]
    engine.advance([running], 20)
    assert running.tokens == alone(our_model(), prompt(9), running.params).tokens


def test_stop_token_and_limits() -> None:
    model = our_model(max_position_embeddings=64)
    free = alone(model, prompt(4), replace(GREEDY, max_tokens=5))
    assert (len(free.tokens), free.finish) == (5, "length")
    stop = free.tokens[3]
    engine = TorchEngine(model, end=[stop])
    (found,) = generate(engine, [prompt(4)], GREEDY)
    assert found.finish == "stop"
    assert found.tokens == free.tokens[: free.tokens.index(stop)]
    (full,) = generate(engine, [prompt(60)], SamplingParams(min_p=0.0, max_tokens=500))
    assert full.finish in ("stop", "length")
    assert full.length <= 64
    (full,) = generate(TorchEngine(model), [prompt(60)], GREEDY)
    assert (full.length, full.finish) == (64, "length")
    engine.advance([full, found], 10)  # finished ones are left as they are
    assert full.length == 64


def test_only_allowed_ids_and_end() -> None:
    engine = TorchEngine(our_model(), range(100, 110), [3])
    found = generate(engine, [prompt(6)] * 20, SamplingParams(temperature=20.0, max_tokens=20))
    assert {g.finish for g in found} == {"stop", "length"}
    emitted = {token for g in found for token in g.tokens}
    assert emitted == set(range(100, 110))


def test_end_inside_the_allowed_ids() -> None:
    engine = TorchEngine(our_model(), range(0, 20), [7])
    found = generate(engine, [prompt(6)] * 10, SamplingParams(temperature=5.0, max_tokens=50))
    assert any(g.finish == "stop" for g in found)
    assert all(7 not in g.tokens for g in found)


def test_fork_equals_a_fresh_run() -> None:
    model = our_model()
    engine = TorchEngine(model)
    parents = engine.start([prompt(12), prompt(5), prompt(9)], replace(GREEDY, max_tokens=35))
    bystander = engine.start([prompt(8)], [SamplingParams(seed=3, max_tokens=30)])
    engine.advance([*parents, *bystander], 10)
    children = engine.fork(parents, [2, 0, 2, 2])
    assert [g.finish for g in parents] == ["released"] * 3
    assert len(engine.running) == 5
    assert [c.prompt for c in children] == [parents[i].prompt for i in (2, 0, 2, 2)]
    assert children[1].logprob == parents[0].logprob
    engine.advance([*children, *bystander], 50)
    for index, child in zip((2, 0, 2, 2), children, strict=True):
        expected = alone(model, parents[index].prompt, replace(GREEDY, max_tokens=35))
        assert child.tokens == expected.tokens
        assert child.logprob == pytest.approx(expected.logprob, abs=1e-2)
        assert len(parents[index].tokens) == 10
    assert bystander[0].tokens == alone(model, prompt(8), bystander[0].params).tokens
    assert len(engine.running) == 0


def test_random_streams_of_siblings() -> None:
    model = our_model()
    rule = SamplingParams(temperature=1.5, seed=6, max_tokens=24)

    def children(parents: list[int], seeds: list[int] | None) -> list[list[int]]:
        engine = TorchEngine(model)
        first = engine.start([prompt(5)], [rule])
        engine.advance(first, 4)
        heirs = engine.fork(first, parents, seeds)
        engine.advance(heirs, 50)
        return [heir.tokens for heir in heirs]

    whole = alone(model, prompt(5), rule).tokens
    forked = children([0, 0, 0], None)
    assert forked[0] == whole
    assert len({tuple(tokens) for tokens in forked}) == 3
    assert children([0, 0, 0], None) == forked
    assert children([0], None) == forked[:1]
    one, two = children([0, 0], [11, 11])
    assert one == two
    assert children([0], [11])[0] == one != forked[0]


def test_fork_of_finished_sequences() -> None:
    engine = TorchEngine(our_model())
    done, running = engine.start([prompt(4)] * 2, [replace(GREEDY, max_tokens=2), GREEDY])
    engine.advance([done, running], 3)
    heirs = engine.fork([done, running], [0, 1, 0])
    assert [h.finish for h in heirs] == ["length", None, "length"]
    assert len(engine.running) == 1
    heirs[0].tokens.append(1)
    assert len(done.tokens) == len(heirs[2].tokens) == 2, "lists are not shared"
    assert engine.fork([heirs[1]], []) == []
    assert len(engine.running) == 0
    with pytest.raises(LlasaError, match="released sequence cannot be forked"):
        engine.fork([running], [0])


def test_bad_forks() -> None:
    engine = TorchEngine(our_model())
    found = engine.start([prompt(4)], GREEDY)
    with pytest.raises(LlasaError, match=r"Parents \[1\] are not all 0 to 0"):
        engine.fork(found, [1])
    with pytest.raises(LlasaError, match="1 seeds for 2 children"):
        engine.fork(found, [0, 0], seeds=[1])
    with pytest.raises(LlasaError, match="seed is -1"):
        engine.fork(found, [0], seeds=[-1])
    assert len(engine.running) == 1


def test_one_of_several_is_released() -> None:
    engine = TorchEngine(our_model())
    found = engine.start([prompt(4), prompt(6), prompt(7)], GREEDY)
    engine.advance(found, 5)
    engine.release([found[1]])
    engine.advance(found, 100)
    assert [len(g.tokens) for g in found] == [40, 5, 40]
    assert found[1].finish == "released"


def test_an_interruption_releases_all(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = TorchEngine(our_model())

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "_step", interrupt)
    with pytest.raises(KeyboardInterrupt):
        generate(engine, [prompt(4)], GREEDY)
    assert len(engine.running) == 0


def test_bad_requests() -> None:
    model = our_model()
    engine = TorchEngine(model)
    with pytest.raises(LlasaError, match="has 0 tokens; this model takes 1 to 599"):
        engine.start([prompt(3), []], GREEDY)
    with pytest.raises(LlasaError, match="has 600 tokens"):
        engine.start([prompt(600)], GREEDY)
    with pytest.raises(LlasaError, match="id 120 is outside this model's 0 to 119"):
        engine.start([[5, 120]], GREEDY)
    with pytest.raises(LlasaError, match="id -1"):
        engine.start([[-1]], GREEDY)
    with pytest.raises(LlasaError, match="1 sampling rules for 2"):
        engine.start([[1], [2]], [GREEDY])
    assert len(engine.running) == 0
    assert engine.start([], GREEDY) == []
    stranger = TorchEngine(model).start([[1]], GREEDY)
    for use in (engine.advance, engine.release, lambda g: engine.fork(g, [0])):
        with pytest.raises(LlasaError, match="started by another engine"):
            use(stranger)
    for allowed in (range(0), range(5, 121), range(-1, 5), range(0, 9, 2)):
        with pytest.raises(LlasaError, match="Allowed ids"):
            TorchEngine(model, allowed)
    with pytest.raises(LlasaError, match="End ids"):
        TorchEngine(model, end=[120])


def keeping(
    compute: Callable[[torch.Tensor], torch.Tensor], kept: list[torch.Tensor]
) -> Callable[[torch.Tensor], torch.Tensor]:
    """A function whose results are also kept."""

    def logits(hidden: torch.Tensor) -> torch.Tensor:
        kept.append(compute(hidden))
        return kept[-1]

    return logits


@pytest.mark.parametrize("mode", ["int8", "bfloat16", "fast"])
def test_rounded_products_stay_close(mode: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    model = our_model(hidden_size=96, intermediate_size=256)
    exact, rounded = TorchEngine(model), TorchEngine(model, mode=mode)
    ids = prompt(40)
    (found,) = generate(exact, [ids], replace(GREEDY, max_tokens=20))
    (other,) = generate(rounded, [ids], replace(GREEDY, max_tokens=20))
    assert len(other.tokens) == 20
    logits = []
    for engine in (exact, rounded):
        kept: list[torch.Tensor] = []
        monkeypatch.setattr(engine.decoder, "logits", keeping(engine.decoder.logits, kept))
        generate(engine, [ids], replace(GREEDY, max_tokens=1))
        logits.append(kept[0])
    error = (logits[1] - logits[0]).norm() / logits[0].norm()
    assert error < 0.15
    assert found.tokens[0] == logits[0].argmax()


def test_half_precision_model_on_the_cpu() -> None:
    """Weights are widened, so that it equals the same weights in float32."""
    model = our_model(rope_scaling={k: v for k, v in LLAMA3.items() if k != "rope_theta"})
    low = our_model(rope_scaling=model.config.rope_scaling).bfloat16()
    model.load_state_dict(low.state_dict())
    assert alone(low, prompt(9), GREEDY).tokens == alone(model, prompt(9), GREEDY).tokens

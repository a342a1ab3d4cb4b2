"""GRPO: advantages, loss, and a reward that rises."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from llasa.base.errors import LlasaError
from llasa.models.folder import ModelConfig
from llasa.training.config import build
from llasa.training.lm.grpo import (
    GRPOTrainer,
    GRPOTraining,
    Take,
    advantages,
    policy_loss,
    rows,
    slices,
)
from llasa.verifiers import Candidate, Verifier
from tests.tiny_model import write_tiny_model

TEXTS = [f"The lazy dog jumps over {word}." for word in ("me", "you", "him", "her", "us", "them")]


class Low:
    """The share of the codes below 32: half at random, all at best."""

    name, family, needs = "low", "toy", frozenset({"codes"})

    def score(self, batch: Sequence[Candidate]) -> list[float]:
        return [float((candidate.codes < 32).mean()) for candidate in batch]


class Babble:
    """The worse the longer a take is, below any bound."""

    name, family, needs = "babble", "toy", frozenset({"codes"})

    def score(self, batch: Sequence[Candidate]) -> list[float]:
        return [-float(len(candidate.codes)) for candidate in batch]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its takes are of about 30 codes, all as likely."""
    settings = ModelConfig("tiny", cloning=False)
    return write_tiny_model(tmp_path_factory.mktemp("model"), settings, ends=0.7)


def trainer(
    tmp_path: Path, model: Path, name: str = "run", verify: Verifier | None = None, **changes: Any
) -> GRPOTrainer:
    texts = tmp_path / "texts.txt"
    if not texts.exists():
        texts.write_text("\n".join(TEXTS))
    run = {"out": str(tmp_path / name), "steps": 12, "device": "cpu", "log_every": 1}
    run |= changes.pop("run", {})
    values = {"texts": str(texts), "model": str(model), "run": run, "held_out": 2, "batch": 2}
    values |= {"optimizer": {"rate": 3e-2, "weight_decay": 0.0}, "failed": 0.0, **changes}
    return GRPOTrainer(build(GRPOTraining, values), verify=[verify or Low()])


def mean_reward(job: GRPOTrainer) -> float:
    tts = job._speaker()  # noqa: SLF001
    takes = [job._takes(tts, text, 99 + n, 16) for n, text in enumerate(job.held_out)]  # noqa: SLF001
    return float(np.mean([take.reward for group in takes for take in group]))


def test_advantages_compare_within_a_group() -> None:
    rewards = np.array([[1.0, 3.0], [7.0, 7.0], [0.0, -4.0]])
    assert advantages(rewards).tolist() == [[-1.0, 1.0], [0.0, 0.0], [1.0, -1.0]]


def test_the_gradient_is_that_of_the_rewards_and_of_the_divergence() -> None:
    """At the start there is no divergence, and the gradient is the advantage of each token."""
    logp = torch.tensor([-1.0, -2.0, -0.5], requires_grad=True)
    advantage = torch.tensor([1.0, -1.0, 0.5])
    loss, divergence = policy_loss(logp, logp.detach(), advantage, 0.1)
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(divergence) == 0
    assert logp.grad is not None
    torch.testing.assert_close(logp.grad, -advantage / 3)
    far = torch.tensor([-3.0, -1.0, -0.5])
    loss, divergence = policy_loss(logp, far, torch.zeros(3), 0.1)
    assert float(divergence) == pytest.approx((np.exp(-2) + 2 - 1 + np.e - 2) / 3)
    (slope,) = torch.autograd.grad(loss, logp)
    assert slope[0] > 0 > slope[1]  # back to where it began


def test_rows_say_what_was_answered() -> None:
    takes = [Take([5, 6], [7, 8, 9], 0.0), Take([5], [7], 1.0)]
    ids, answered = rows(takes, torch.device("cpu"))
    assert ids.tolist() == [[5, 6, 7, 8, 9], [5, 7, 0, 0, 0]]
    assert answered.tolist() == [[False, True, True, True], [True, False, False, False]]
    assert ids[:, 1:][answered].tolist() == [7, 8, 9, 7]


def test_log_probabilities_are_those_of_the_engine(tmp_path: Path, model: Path) -> None:
    """What the policy gradient takes for likely is what was sampled with."""
    job = trainer(tmp_path, model, temperature=1.0)
    tts = job._speaker()  # noqa: SLF001
    task = tts.task(tts.request(TEXTS[0], seed=1, temperature=1.0, top_k=0))
    (generation,) = task.engine.start([task.prompt], task.params)
    task.engine.advance([generation], 500)
    answer = [*generation.tokens, *([job.vocabulary.end] if generation.finish == "stop" else [])]
    ids, answered = rows([Take(task.prompt, answer, 0.0)], torch.device("cpu"))
    with torch.no_grad():
        found = job._logprobs(job.llama, ids, answered)  # noqa: SLF001
    assert float(found.sum()) == pytest.approx(generation.logprob, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_the_reward_rises(tmp_path: Path, model: Path, seed: int) -> None:
    job = trainer(tmp_path, model, run={"steps": 25, "seed": seed})
    before = mean_reward(job)
    job.train()
    after = mean_reward(job)
    assert before < 0.6
    assert after > before + 0.2
    held = trainer(tmp_path, model, "held", run={"steps": 25, "seed": seed}, beta=3.0)
    held.train()
    assert mean_reward(held) < after - 0.05  # the divergence holds it back


@pytest.mark.slow
def test_a_run_goes_on_as_it_would_have(tmp_path: Path, model: Path) -> None:
    schedule = {"kind": "wsd", "warmup": 0, "decay": 0}
    whole = trainer(tmp_path, model, "whole", run={"steps": 4}, schedule=schedule)
    whole.train()
    trainer(tmp_path, model, "parts", run={"steps": 2}, schedule=schedule).train()
    again = trainer(tmp_path, model, "parts", run={"steps": 4}, schedule=schedule)
    assert again.finished == 2
    again.train()
    for one, other in zip(whole.llama.parameters(), again.llama.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    assert [again.batch(n) for n in range(4)] == [whole.batch(n) for n in range(4)]
    assert sorted(whole.batch(0) + whole.batch(1)) == [0, 1, 2, 3]


def test_no_take_is_better_off_for_not_ending(tmp_path: Path) -> None:
    """Some end, some are cut off."""
    settings = ModelConfig("tiny", cloning=False)
    model = write_tiny_model(tmp_path / "model", settings, ends=-1.0)
    job = trainer(tmp_path, model, verify=Babble(), failed=-1.0, group=16)
    takes = job._takes(job._speaker(), TEXTS[0], 5)  # noqa: SLF001
    ended = [take.answer[-1] == job.vocabulary.end for take in takes]
    good = [take.reward for take, end in zip(takes, ended, strict=True) if end]
    bad = [take.reward for take, end in zip(takes, ended, strict=True) if not end]
    assert good
    assert bad == [min(good)] * len(bad)
    assert bad
    assert min(good) < -1.0


def test_slices_hold_so_many_tokens() -> None:
    takes = [Take([1] * 3, [2] * n, 0.0) for n in (1, 2, 9, 1, 1)]
    assert slices(takes, 10) == [slice(0, 2), slice(2, 3), slice(3, 5)]
    assert slices(takes, 1) == [slice(n, n + 1) for n in range(5)]
    assert slices(takes, 999) == [slice(0, 5)]


def test_a_step_in_slices_is_the_same_step(tmp_path: Path, model: Path) -> None:
    jobs = [trainer(tmp_path, model, f"run{n}", tokens=n, beta=0.5) for n in (100_000, 100)]
    for job in jobs:
        job.step([0, 1])  # the second step has a divergence
    whole, sliced = (job.step([2, 3]) for job in jobs)
    assert float(whole["kl"]) > 0
    assert {k: float(v) for k, v in sliced.items()} == pytest.approx(
        {k: float(v) for k, v in whole.items()}, rel=1e-3
    )


def test_without_a_divergence_nothing_is_compared(tmp_path: Path, model: Path) -> None:
    job = trainer(tmp_path, model, beta=0.0)
    assert job.reference is None
    assert "kl" not in job.step([0, 1])


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("The lazy dog. A quick fox jumps high.", "line 3: the model speaks .* in 2 parts"),
        ("...", "line 3: .*"),
    ],
)
def test_texts_that_are_not_one_take(tmp_path: Path, model: Path, line: str, problem: str) -> None:
    (tmp_path / "texts.txt").write_text("\n".join(["", *TEXTS[:1], line, *TEXTS]))
    with pytest.raises(LlasaError, match=rf"texts\.txt, {problem}"):
        trainer(tmp_path, model)


def test_refusals(tmp_path: Path, model: Path) -> None:
    with pytest.raises(LlasaError, match="has 6 different texts, too few for batches of 5 and 2"):
        trainer(tmp_path, model, batch=5)
    with pytest.raises(LlasaError, match="Setting group is 1"):
        trainer(tmp_path, model, group=1)


def test_phones_are_learnt_as_they_were_sampled(tmp_path: Path) -> None:
    named = ModelConfig("tiny", cloning=False)
    job = trainer(tmp_path, write_tiny_model(tmp_path / "p", named, phones=["a", "b"]))
    tts = job._speaker()  # noqa: SLF001
    takes = job._takes(tts, TEXTS[0], 3)  # noqa: SLF001
    said = [token for take in takes for token in take.answer]
    assert any(token >= job.vocabulary.phone_start for token in said)
    assert "loss" in job.step([0, 1])

"""Plans agree with the paper's sizes, with arithmetic by hand, and with what a run holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from llasa.base.errors import LlasaError
from llasa.training.config import load_settings
from llasa.training.lm.plan import FRAME_RATE, Plan, make_plan, planned_config
from llasa.training.lm.settings import LMTraining
from llasa.training.lm.trainer import LMTrainer

from ..tools import lm_settings

RECIPES = Path(__file__).parents[3] / "recipes"


def plan(size: str, gpus: int = 64, **changes: Any) -> Plan:
    settings = load_settings(LMTraining, RECIPES / f"llasa-{size}" / "lm.yaml", [])
    return make_plan(settings, gpus, **changes)


@pytest.mark.parametrize(
    ("size", "parameters"), [("1b", 1.370e9), ("3b", 3.414e9), ("8b", 8.567e9)]
)
def test_sizes_of_the_paper(size: str, parameters: float) -> None:
    """With the vocabulary of 193,800 ids, as computed from the released checkpoints."""
    assert plan(size).parameters == pytest.approx(parameters, rel=5e-4)


@pytest.mark.parametrize(("size", "layers"), [("1b", 16), ("8b", 32)])
def test_operations_of_a_token(size: str, layers: int) -> None:
    """Six for each weight that multiplies; 12 x layers x width for each token in sight."""
    found = plan(size)
    settings = load_settings(LMTraining, RECIPES / f"llasa-{size}" / "lm.yaml", [])
    config = planned_config(settings)
    table = 0 if config.tie_word_embeddings else config.vocab_size * config.hidden_size
    attention = 12 * layers * config.hidden_size * 1024
    assert found.flops_per_token == pytest.approx(6 * (found.parameters - table) + attention)


def test_time_of_the_whole_corpus() -> None:
    """250,000 hours three times through 8B on 64 GPUs at 45 %: about three days."""
    found = plan("8b", mfu=0.45, hours=250_000)
    assert found.tokens == pytest.approx(250_000 * 3600 * FRAME_RATE * 1.07 * 3)
    assert 2.5 < found.days < 3.2
    assert found.tokens_per_step == 1 << 21
    assert found.passes == 2
    assert found.fits
    assert not plan("8b", gpus=8, gpu="rtx4090").fits
    assert plan("8b", gpus=8).tokens_per_second == pytest.approx(found.tokens_per_second / 9)


@pytest.mark.parametrize("muon", [False, True])
@pytest.mark.slow
def test_memory_is_what_a_run_holds(tmp_path: Path, words: Path, tokens: Path, muon: bool) -> None:
    settings = lm_settings(words, tokens, tmp_path, optimizer={"muon": muon})
    trainer = LMTrainer(settings)
    trainer.step(trainer.batch(0))
    weights = list(trainer.llama.parameters())
    moments = [
        value
        for optimizer in trainer.optimizers
        for state in optimizer.state.values()
        for value in state.values()
        if torch.is_tensor(value) and value.ndim
    ]
    measured = {
        "weights": sum(p.nbytes for p in weights),
        "gradients": sum(int(p.grad.nbytes) for p in weights if p.grad is not None),
        "optimizer": sum(value.nbytes for value in moments),
    }
    found = make_plan(settings, 1)
    assert {name: found.memory[name] for name in measured} == measured
    assert found.parameters == sum(p.numel() for p in weights)


def test_what_sharing_costs() -> None:
    settings = load_settings(LMTraining, RECIPES / "llasa-1b" / "lm.yaml", ["parallel.shard=0"])
    two, four = (make_plan(settings, count).memory for count in (2, 4))
    for name in ("weights", "gradients", "optimizer"):
        assert two[name] == pytest.approx(2 * four[name])
    whole = "gradients of accumulated batches"
    assert two[whole] == four[whole] == 2 * two["weights"]
    settings.parallel.sync = "each"
    assert whole not in make_plan(settings, 2).memory


def test_mistakes(tmp_path: Path, words: Path, tokens: Path) -> None:
    settings = lm_settings(words, tokens, tmp_path, parallel={"shard": 3})
    with pytest.raises(LlasaError, match="parallel.shard is 3, which does not divide 8"):
        make_plan(settings, 8)
    with pytest.raises(LlasaError, match="'h101' is unknown"):
        make_plan(settings, 3, "h101")
    settings.model = {}
    with pytest.raises(LlasaError, match="sizes of the model are not known"):
        make_plan(settings, 3)
    with pytest.raises(LlasaError, match="--mfu"):
        make_plan(settings, 3, mfu=2.0)

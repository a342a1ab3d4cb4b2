"""Which parameters lose weight."""

from __future__ import annotations

import torch
from torch import nn

from llasa.training.lm.settings import LMOptimizerSettings
from llasa.training.optimizer import OptimizerSettings


def decays(optimizer: torch.optim.Optimizer) -> dict[int, float]:
    """By the number of a parameter's dimensions."""
    groups = optimizer.param_groups
    return {p.ndim: group["weight_decay"] for group in groups for p in group["params"]}


def test_norms_of_a_language_model_do_not_decay() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    settings = OptimizerSettings(1e-3, (0.9, 0.95), weight_decay=0.1)
    assert decays(settings.adamw(model.parameters())) == {2: 0.1, 1: 0.1}
    assert decays(settings.adamw(model.parameters(), decay_vectors=False)) == {2: 0.1, 1: 0.0}
    language = LMOptimizerSettings(weight_decay=0.1)
    (adamw,) = language.build(model, model)
    assert decays(adamw) == {2: 0.1, 1: 0.0}
    muon, rest = LMOptimizerSettings(weight_decay=0.1, muon=True).build(model, model)
    assert decays(muon) == {2: 0.1}
    assert decays(rest) == {1: 0.0}

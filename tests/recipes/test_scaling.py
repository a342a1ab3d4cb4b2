"""The grid of the scaling recipe: settings that load, and sizes that are what their names say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from llasa.evaluation.scaling_grid import ScalingGrid
from llasa.lm.config import LlamaConfig
from llasa.lm.llama import Llama
from llasa.training.config import load_settings
from llasa.training.lm.settings import LMTraining

RECIPE = Path(__file__).parents[2] / "recipes" / "scaling"
IDS = 257 + 8 + 4096 + 45
"""Bytes, control tokens, codes and phones of nano's vocabulary."""


def test_four_sizes_by_three_shares() -> None:
    grid = load_settings(ScalingGrid, RECIPE / "grid.yaml", [])
    assert [cell.name for cell in grid.cells][:4] == ["1M-033", "2.5M-033", "6M-033", "16M-033"]
    assert len(grid.cells) == 12
    for name, settings in grid.models.items():
        overrides = [
            f"{section}.{key}={json.dumps(value)}"
            for section, values in settings.items()
            for key, value in values.items()
        ]
        training = load_settings(LMTraining, RECIPE / "lm.yaml", overrides)
        assert training.optimizer.muon
        config = {"model_type": "llama", "vocab_size": IDS, **training.model}
        with torch.device("meta"):
            llama = Llama(LlamaConfig.from_dict(config))
        assert len(training.alignment.offsets) <= llama.config.num_attention_heads
        assert training.alignment.layer < llama.config.num_hidden_layers
        count = sum(parameter.numel() for parameter in llama.parameters())
        assert count == pytest.approx(1e6 * float(name.removesuffix("M")), rel=0.15)

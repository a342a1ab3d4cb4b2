"""NumPy chooses what PyTorch chooses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from llasa.lm.numpy_sampling import sample_row
from llasa.lm.sampling import SamplingParams
from llasa.lm.torch_sampling import sample

RULES: list[dict[str, Any]] = [
    {"temperature": 0},
    {},
    {"temperature": 0.3, "top_k": 20},
    {"top_p": 0.7},
    {"top_k": 50, "top_p": 0.5},
    {"min_p": 0.1},
    {"repetition_penalty": 1.5, "top_k": 9},
    {"temperature": 0, "repetition_penalty": 3.0},
    {"top_k": 1},
]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_the_same_columns_and_log_probabilities(rule: dict[str, Any]) -> None:
    logits = 3 * torch.randn(200, 900, generator=torch.Generator().manual_seed(0))
    params = [SamplingParams(**rule, seed=row) for row in range(200)]
    recent = [[row, 2 * row, row] for row in range(200)]
    theirs, logprobs = sample(logits, params, range(200), recent)
    ours = [
        sample_row(row.numpy(), p, step, tail)
        for step, (row, p, tail) in enumerate(zip(logits, params, recent, strict=True))
    ]
    # A number on the border of two tokens may fall either way.
    assert sum(a == b for (a, _), b in zip(ours, theirs.tolist(), strict=True)) >= 199
    np.testing.assert_allclose([value for _, value in ours], logprobs, atol=1e-3, rtol=0.2)

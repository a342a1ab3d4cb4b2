"""The choice of the fastest arithmetic, by clocks of our own."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from llasa.lm import precision
from llasa.lm.config import LlamaConfig
from llasa.lm.precision import fast_products, fastest

SIZES = itertools.count(3)


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, float]], None]:
    """Makes products take the seconds that are given for each kind."""
    now = [0.0]

    def use(seconds: dict[str, float]) -> None:
        def pack(weight: Tensor, kind: str) -> Callable[[Tensor], None]:
            def multiply(x: Tensor) -> None:
                now[0] += seconds[kind]

            return multiply

        monkeypatch.setattr(precision, "pack_linear", pack)
        monkeypatch.setattr(time, "perf_counter", lambda: now[0])
        flags = {"avx512_bf16": "bfloat16" in seconds}
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags)
        monkeypatch.setattr(torch, "get_num_threads", lambda: next(SIZES))  # nothing is remembered

    return use


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ({"float32": 1.0, "bfloat16": 0.5, "int8": 0.7}, "bfloat16"),
        ({"float32": 1.0, "bfloat16": 0.5, "int8": 0.3}, "int8"),
        ({"float32": 1.0, "int8": 0.95}, "float32"),  # rounding is not worth it
        ({"float32": 1.0, "int8": 2.0}, "float32"),
    ],
)
def test_the_fastest_is_chosen(
    timed: Callable[[dict[str, float]], None], seconds: dict[str, float], chosen: str
) -> None:
    timed(seconds)
    assert fastest(300, 200) == chosen


def test_every_matrix_of_a_model_gets_a_choice() -> None:
    config = LlamaConfig(
        vocab_size=300,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
    )
    found = fast_products(config)
    assert len(found) == 5
    assert set(found.values()) <= {"float32", "bfloat16", "int8"}
    assert found == fast_products(config)

"""Which arithmetic multiplies fastest on this CPU: what `fast` runs a language model in."""

from __future__ import annotations

import time
from functools import lru_cache

import torch

from llasa.base.devices import multiplies_bfloat16
from llasa.lm.config import LlamaConfig
from llasa.lm.linear import Precision, pack_linear

TOKENS = (1, 8)
"""Sequences of a step that are tried: one stream, and some that share their steps."""
WORTH = 0.9
"""Share of the time in float32 below which rounding is worth it."""
_TRIES = 7
_LARGEST = 2048
"""Rows and columns that are tried at most; larger matrices behave alike."""


def fastest(rows: int, columns: int) -> Precision:
    """The fastest arithmetic for a matrix of this shape, by trying it for a millisecond or so.

    bfloat16 is tried where the CPU has instructions for it, int8 where torch has kernels.
    """
    return _fastest(min(rows, _LARGEST), min(columns, _LARGEST), torch.get_num_threads())


def fast_products(config: LlamaConfig) -> dict[str, Precision]:
    """What `fast` runs each kind of matrix of a model in, on the CPU."""
    size, inner = config.hidden_size, config.intermediate_size
    width = config.num_attention_heads * config.head_dim
    both = 2 * config.num_key_value_heads * config.head_dim
    shapes = {
        "attention in": (width + both, size),
        "attention out": (size, width),
        "feed-forward in": (2 * inner, size),
        "feed-forward out": (size, inner),
        "head": (config.vocab_size, size),
    }
    return {name: fastest(*shape) for name, shape in shapes.items()}


def _able() -> list[Precision]:
    found: list[Precision] = ["float32"]
    if multiplies_bfloat16("cpu"):
        found.append("bfloat16")
    if torch.backends.quantized.engine != "none":
        found.append("int8")
    return found


@lru_cache
@torch.inference_mode()
def _fastest(rows: int, columns: int, threads: int) -> Precision:
    weight = torch.rand(rows, columns, generator=torch.Generator().manual_seed(0)).half().float()
    packed = {kind: pack_linear(weight, kind) for kind in _able()}
    shares = dict.fromkeys(packed, 0.0)
    for tokens in TOKENS:
        x = torch.ones(tokens, columns)
        least = dict.fromkeys(packed, float("inf"))
        for _ in range(_TRIES):  # in turn, so that other work on the machine hits all alike
            for kind, multiply in packed.items():
                began = time.perf_counter()
                multiply(x)
                least[kind] = min(least[kind], time.perf_counter() - began)
        for kind, seconds in least.items():
            shares[kind] += seconds / least["float32"] / len(TOKENS)
    best = min(shares, key=lambda kind: shares[kind])
    return best if shares[best] < WORTH else "float32"

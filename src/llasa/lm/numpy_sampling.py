"""Choosing the next token in NumPy, by the same rules and random numbers as in PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llasa.lm.sampling import SamplingParams, draw

Logits = NDArray[np.floating[Any]]


def sample_row(
    logits: Logits, rule: SamplingParams, step: int, recent: Sequence[int]
) -> tuple[int, float]:
    """Choose a column of ``logits`` (V,), float32; see ``llasa.lm.torch_sampling.sample``.

    Returns the column and its log-probability under the unchanged logits.
    """
    column = _choose(logits, rule, draw(rule, step), recent)
    highest = logits.max()
    total = np.log(np.exp(logits - highest).sum()) + highest
    return column, float(logits[column] - total)


def _choose(logits: Logits, rule: SamplingParams, uniform: float, recent: Sequence[int]) -> int:
    if rule.repetition_penalty != 1.0 and len(recent):
        index, logits = np.unique(recent), logits.copy()
        old = logits[index]
        penalty = np.float32(rule.repetition_penalty)
        logits[index] = np.where(old > 0, old / penalty, old * penalty)
    if rule.temperature == 0:
        return int(logits.argmax())
    columns = None
    if 0 < rule.top_k < len(logits):
        columns = np.argpartition(-logits, rule.top_k)[: rule.top_k]
    elif rule.top_p < 1:
        columns = np.arange(len(logits))
    if columns is not None:  # the likeliest first
        columns = columns[np.argsort(-logits[columns], kind="stable")]
        logits = logits[columns]
    weights = np.exp((logits - logits.max()) / np.float32(rule.temperature))
    weights /= weights.sum()
    if rule.top_p < 1:
        before = weights.cumsum() - weights
        before[0] = 0  # the likeliest always stays, whatever the rounding
        weights = np.where(before < rule.top_p, weights, np.float32(0))
    if rule.min_p > 0:
        weights = np.where(weights >= rule.min_p * weights.max(), weights, np.float32(0))
    mass = weights.cumsum()
    place = int(np.searchsorted(mass, np.float32(uniform) * mass[-1], side="right"))
    return place if columns is None else int(columns[place])

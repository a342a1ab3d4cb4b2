"""Choosing the next tokens of a batch in PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from llasa.lm.sampling import SamplingParams, draw


def sample(
    logits: Tensor,
    params: Sequence[SamplingParams],
    steps: Sequence[int],
    recent: Sequence[Sequence[int]],
) -> tuple[Tensor, Tensor]:
    """Choose a column of each row of ``logits`` (B, V), float32.

    ``steps``: how many tokens each sequence has so far; with its seed this decides its random
    number. ``recent``: columns each row's repetition penalty looks at (empty where it is off).
    Returns the columns (B,) and their log-probabilities (B,) under the unchanged logits.
    """
    groups: dict[tuple[float, ...], list[int]] = {}
    for row, p in enumerate(params):
        greedy = p.temperature == 0
        rule = (0.0, 0, 1.0, 0.0) if greedy else (p.temperature, p.top_k, p.top_p, p.min_p)
        groups.setdefault((*rule, p.repetition_penalty), []).append(row)
    draws = [draw(p, step) for p, step in zip(params, steps, strict=True)]
    uniform = torch.tensor(draws, dtype=logits.dtype, device=logits.device)
    if len(groups) == 1:
        choice = _sample_alike(logits, params[0], uniform, recent)
    else:
        choice = torch.empty(len(params), dtype=torch.long, device=logits.device)
        for members in groups.values():
            rows = torch.tensor(members, device=logits.device)
            tails = [recent[row] for row in members]
            choice[rows] = _sample_alike(logits[rows], params[members[0]], uniform[rows], tails)
    return choice, torch.log_softmax(logits, -1).gather(1, choice[:, None]).squeeze(1)


def _sample_alike(
    logits: Tensor, rule: SamplingParams, uniform: Tensor, recent: Sequence[Sequence[int]]
) -> Tensor:
    """Sample rows that follow the same rule by inverting the cumulative distribution."""
    if rule.repetition_penalty != 1.0:
        logits = _penalise(logits, recent, rule.repetition_penalty)
    if rule.temperature == 0:
        return logits.argmax(-1)
    columns = None
    if 0 < rule.top_k < logits.shape[1]:
        logits, columns = logits.topk(rule.top_k)
    weights = torch.softmax(logits / rule.temperature, -1)
    if rule.top_p < 1:
        if columns is None:
            weights, columns = _descending(weights, rule.top_p)
        before = weights.cumsum(-1) - weights
        before[:, 0] = 0  # the likeliest always stays, whatever the rounding
        weights = torch.where(before < rule.top_p, weights, 0)
    if rule.min_p > 0:
        least = rule.min_p * weights.amax(-1, keepdim=True)
        weights = torch.where(weights >= least, weights, 0)
    mass = weights.cumsum(-1)
    choice = torch.searchsorted(mass, uniform[:, None] * mass[:, -1:], right=True)
    return (choice if columns is None else columns.gather(1, choice)).squeeze(1)


def _descending(weights: Tensor, mass: float) -> tuple[Tensor, Tensor]:
    """The largest weights in order with their columns: at least so many as make up ``mass``."""
    # A full sort is slow on large vocabularies, and a few hundred columns nearly always suffice.
    top = weights.topk(min(512, weights.shape[1]))
    if bool((top.values.sum(-1) > mass).all()):
        return top.values, top.indices
    full = weights.sort(descending=True)
    return full.values, full.indices


def _penalise(logits: Tensor, recent: Sequence[Sequence[int]], penalty: float) -> Tensor:
    """Repetition penalty of CTRL (Keskar et al. 2019, section 4.1)."""
    size = logits.shape[1]
    where = [row * size + column for row, columns in enumerate(recent) for column in columns]
    index = torch.tensor(where, dtype=torch.long, device=logits.device)
    flat = logits.flatten().clone()
    old = flat[index]
    flat[index] = torch.where(old > 0, old / penalty, old * penalty)
    return flat.view_as(logits)

"""Choosing the next token: temperature, top-k, top-p, min-p, repetition penalty, one seed each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from llasa.base.errors import LlasaError
from llasa.base.names import number, whole

_MASK = 2**64 - 1
_LIKELIEST = " (or 0: the likeliest token)"


@dataclass(frozen=True)
class SamplingParams:
    """How one sequence is sampled.

    ``temperature`` 0 takes the likeliest token. ``top_k`` 0, ``top_p`` 1 and ``min_p`` 0 are off;
    top-k is applied before top-p. ``repetition_penalty`` divides positive and multiplies negative
    logits of the tokens among the last ``repetition_window`` of prompt and output (0: all of them).
    Numbers have bounds that float32 holds, so that every rule leaves at least one token to choose.
    ``max_tokens`` bounds the output, and where ``loop_window`` is not 0 it ends, too, once the last
    so many tokens mostly repeat each other. Equal ``seed`` and logits give equal tokens, whatever
    else is in the batch.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    repetition_window: int = 64
    seed: int = 0
    max_tokens: int = 2048
    loop_window: int = 0

    def __post_init__(self) -> None:
        likeliest = not getattr(self.temperature, "ndim", 0) and self.temperature == 0
        low = 0.0 if likeliest else 0.01
        values = {
            "temperature": number("temperature", self.temperature, low, 100, more=_LIKELIEST),
            "top_p": number("top_p", self.top_p, 1e-6, 1),
            "min_p": number("min_p", self.min_p, 0, 1),
            "repetition_penalty": number("repetition_penalty", self.repetition_penalty, 0.01, 100),
            "top_k": whole("top_k", self.top_k, 0),
            "repetition_window": whole("repetition_window", self.repetition_window, 0),
            "seed": whole("seed", self.seed, 0),
            "max_tokens": whole("max_tokens", self.max_tokens),
            "loop_window": whole("loop_window", self.loop_window, 0),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)


def spread(
    params: SamplingParams | Sequence[SamplingParams], count: int
) -> Sequence[SamplingParams]:
    """One rule a sequence: a list as it is, a single rule with seeds seed, seed + 1, and so on."""
    if isinstance(params, SamplingParams):
        return [replace(params, seed=params.seed + number) for number in range(count)]
    if len(params) != count:
        raise LlasaError(f"{len(params)} sampling rules for {count} sequences; give one for each.")
    return params


def mix(*numbers: int) -> int:
    """Hash whole numbers to 64 random-looking bits (SplitMix64, Steele et al. 2014)."""
    state = 0
    for value in numbers:
        state = (state ^ (value & _MASK)) + 0x9E3779B97F4A7C15 & _MASK
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        state = (state ^ state >> 27) * 0x94D049BB133111EB & _MASK
        state ^= state >> 31
    return state


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
    # 22 bits keep the number below 1 by more than float32 rounding.
    draws = [(mix(p.seed, step) >> 42) / 2**22 for p, step in zip(params, steps, strict=True)]
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

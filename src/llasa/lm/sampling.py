"""Rules of choosing the next token: temperature, top-k, top-p, min-p, penalty, one seed each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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


def draw(rule: SamplingParams, step: int) -> float:
    """The random number in [0, 1) that decides a sequence's token number ``step``."""
    # 22 bits keep the number below 1 by more than float32 rounding.
    return (mix(rule.seed, step) >> 42) / 2**22

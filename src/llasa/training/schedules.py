"""Learning-rate schedules: multipliers or rates as plain functions of the step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from llasa.base.errors import LlasaError
from llasa.base.names import number

_RELEASED_START = 0.03


@dataclass
class ScheduleSettings:
    """Shape of the learning rate.

    ``cosine``: linear warm-up, then half a cosine to ``final`` of the peak (paper section 4.2.1).
    ``wsd``: warm-up, stable, then linear decay over the last ``decay`` steps to ``final``.
    ``codec``: quadratic warm-up from a tenth of the peak, linear decay to ``final`` of the peak
    over ``decay`` steps, then constant (released codec trainer).
    ``released``: as ``cosine``, but the warm-up is logarithmic and begins at 3 % of the peak: what
    the released language model trainer really does (DeepSpeed's WarmupCosineLR).

    Warm-up takes ``warmup`` steps or, where that is 0, the fraction ``warmup_ratio`` of all steps.
    """

    kind: Literal["cosine", "wsd", "codec", "released"] = "cosine"
    warmup: int = 0
    decay: int = 0
    final: float = 0.1
    warmup_ratio: float = 0.0

    def __post_init__(self) -> None:
        for name in ("warmup", "decay", "final"):
            number(f"Setting schedule.{name}", getattr(self, name), 0)
        number("Setting schedule.warmup_ratio", self.warmup_ratio, 0, 1)
        if self.kind == "codec" and self.decay == 0:
            raise LlasaError("Setting schedule.decay must be above 0 for the codec schedule.")


def multiplier(settings: ScheduleSettings, step: int, steps: int, begin: int = 0) -> float:
    """Fraction of the peak learning rate at ``step`` (0-based) of ``steps``.

    A run whose first step is ``begin`` warms up from there.
    """
    warmup = settings.warmup or round(settings.warmup_ratio * steps)
    if settings.kind == "released":
        warmup = max(2, warmup)
    share = 1.0 if step < warmup else _after_warmup(settings, step, steps, warmup)
    if 0 <= step - begin < warmup:
        share *= _warming(settings.kind, step - begin, warmup)
    return share


def _warming(kind: str, step: int, warmup: int) -> float:
    if kind == "released":
        return _RELEASED_START + (1 - _RELEASED_START) * math.log(step + 1) / math.log(warmup)
    done = (step + 1) / warmup
    return 0.1 + 0.9 * done**2 if kind == "codec" else done


def _after_warmup(settings: ScheduleSettings, step: int, steps: int, warmup: int) -> float:
    if settings.kind == "released":
        return _cosine((step - warmup + 1) / max(1, steps - warmup), settings.final)
    if settings.kind == "cosine":
        return _cosine((step - warmup) / max(1, steps - warmup), settings.final)
    if settings.kind == "wsd":
        left = steps - step
        if left >= settings.decay:
            return 1.0
        return settings.final + (1 - settings.final) * max(0, left) / settings.decay
    done = min(1.0, (step - warmup) / settings.decay)
    return 1 - (1 - settings.final) * done


def _cosine(done: float, final: float) -> float:
    return final + (1 - final) * (1 + math.cos(math.pi * min(1.0, done))) / 2

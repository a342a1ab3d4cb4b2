"""Learning-rate schedules: multipliers or rates as plain functions of the step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from llasa.errors import LlasaError


@dataclass
class ScheduleSettings:
    """Shape of the learning rate.

    ``cosine``: linear warm-up, then half a cosine to ``final`` of the peak (paper section 4.2.1).
    ``wsd``: warm-up, stable, then linear decay over the last ``decay`` steps to ``final``.
    ``codec``: quadratic warm-up from a tenth of the peak, linear decay to ``final`` of the peak
    over ``decay`` steps, then constant (released codec trainer).
    """

    kind: Literal["cosine", "wsd", "codec"] = "cosine"
    warmup: int = 0
    decay: int = 0
    final: float = 0.1


def multiplier(settings: ScheduleSettings, step: int, steps: int) -> float:
    """Fraction of the peak learning rate at ``step`` (0-based) of ``steps``."""
    if step < settings.warmup:
        done = (step + 1) / settings.warmup
        return 0.1 + 0.9 * done**2 if settings.kind == "codec" else done
    if settings.kind == "cosine":
        done = min(1.0, (step - settings.warmup) / max(1, steps - settings.warmup))
        return settings.final + (1 - settings.final) * (1 + math.cos(math.pi * done)) / 2
    if settings.kind == "wsd":
        left = steps - step
        if left >= settings.decay:
            return 1.0
        return settings.final + (1 - settings.final) * max(0, left) / settings.decay
    if settings.decay <= 0:
        raise LlasaError("schedule.decay must be positive for the codec schedule")
    done = min(1.0, (step - settings.warmup) / settings.decay)
    return 1 - (1 - settings.final) * done

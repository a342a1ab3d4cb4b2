"""AdamW as both trainers use it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from llasa.base.errors import LlasaError
from llasa.base.names import number

FUSED = ("cpu", "cuda")
"""Where torch has that kernel."""


@dataclass
class OptimizerSettings:
    """AdamW with peak learning rate ``rate``; gradients are clipped to the norm ``clip``."""

    rate: float
    betas: tuple[float, float]
    weight_decay: float = 0.01
    clip: float = 1.0

    def __post_init__(self) -> None:
        for name in ("rate", "clip"):
            number(f"Setting optimizer.{name}", getattr(self, name), 0, above=True)
        number("Setting optimizer.weight_decay", self.weight_decay, 0)
        if not all(0 <= beta < 1 for beta in self.betas):
            raise LlasaError(f"Setting optimizer.betas is {list(self.betas)}; give two in [0, 1).")

    def adamw(self, parameters: Iterable[nn.Parameter]) -> torch.optim.AdamW:
        """The optimizer of these parameters, one kernel for all of an update."""
        first, second = self.betas
        every = list(parameters)
        fused = all(parameter.device.type in FUSED for parameter in every)
        decay = self.weight_decay
        return torch.optim.AdamW(
            every, self.rate, betas=(first, second), weight_decay=decay, fused=fused or None
        )

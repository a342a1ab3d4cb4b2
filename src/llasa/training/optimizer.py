"""AdamW as both trainers use it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from llasa.base.errors import LlasaError


@dataclass
class OptimizerSettings:
    """AdamW with peak learning rate ``rate``; gradients are clipped to the norm ``clip``."""

    rate: float
    betas: tuple[float, float]
    weight_decay: float = 0.01
    clip: float = 1.0

    def __post_init__(self) -> None:
        for name in ("rate", "clip"):
            if getattr(self, name) <= 0:
                raise LlasaError(f"optimizer.{name} must be above 0, not {getattr(self, name)}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise LlasaError(f"optimizer.betas must lie in [0, 1), not {list(self.betas)}")
        if self.weight_decay < 0:
            raise LlasaError(f"optimizer.weight_decay must be 0 or more, not {self.weight_decay}")

    def adamw(self, parameters: Iterable[nn.Parameter]) -> torch.optim.AdamW:
        """The optimizer of these parameters."""
        first, second = self.betas
        return torch.optim.AdamW(
            parameters, self.rate, betas=(first, second), weight_decay=self.weight_decay
        )

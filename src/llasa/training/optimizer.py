"""AdamW as both trainers use it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

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

    def adamw(
        self, parameters: Iterable[nn.Parameter], decay_vectors: bool = True
    ) -> torch.optim.AdamW:
        """The optimizer of these parameters, one kernel for all of an update.

        Without `decay_vectors` weights of norms and biases do not decay, as with the Trainer of
        Transformers.
        """
        first, second = self.betas
        every = list(parameters)
        fused = all(parameter.device.type in FUSED for parameter in every)
        decay = self.weight_decay
        groups: list[dict[str, Any]] = [{"params": every}]
        if not decay_vectors:
            matrices = [parameter for parameter in every if parameter.ndim > 1]
            vectors = [parameter for parameter in every if parameter.ndim < 2]
            groups = [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]
        return torch.optim.AdamW(
            [group for group in groups if group["params"]],
            self.rate,
            betas=(first, second),
            weight_decay=decay,
            fused=fused or None,
        )

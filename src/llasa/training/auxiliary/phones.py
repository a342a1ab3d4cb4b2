"""Phone prediction: a training-only loss that teaches a middle layer which phone comes next.

A code says more about the voice than about the word, so a model that learns from codes alone
learns to read last. Where the data says which phone each code belongs to, a linear head on one
layer names the phone of the coming code; the layers below learn to spell out the text at once.
The head is not saved and the model stays a plain Llama over raw text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from llasa.base.errors import LlasaError
from llasa.base.names import number, whole
from llasa.vocabulary.rows import IGNORE


@dataclass
class PhoneSettings:
    """``weight`` 0 turns the loss off. ``layer`` is the one that the head reads.

    ``symbols`` are the phones as the data writes them; others are passed over.
    """

    weight: float = 0.0
    layer: int = 3
    symbols: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        number("Setting phones.weight", self.weight, 0)
        whole("Setting phones.layer", self.layer, 0)
        if self.weight and not self.symbols:
            raise LlasaError("Setting phones.weight needs phones.symbols, the phones of the data.")


def phones_at(
    moments: NDArray[np.floating[Any]],
    phones: Sequence[tuple[str, float]],
    numbers: Mapping[str, int],
) -> NDArray[np.int64]:
    """Number of the phone at each moment, IGNORE where it is not known.

    Args:
        moments: (n,), in the unit of the ends.
        phones: symbols in order, each with its end.
        numbers: of the symbols that are known.
    """
    known = [numbers.get(symbol, IGNORE) for symbol, _ in phones]
    return np.array([*known, IGNORE])[np.searchsorted([end for _, end in phones], moments)]


class PhoneHead(nn.Module):
    """Names the phone of each position from its state alone."""

    def __init__(self, size: int, phones: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(size)
        self.hidden = nn.Linear(size, size)
        self.output = nn.Linear(size, phones)

    def forward(self, states: Tensor, phones: Tensor) -> Tensor:
        """Mean cross entropy over the positions whose phone is known; 0 where none is.

        Args:
            states: (batch, length, size).
            phones: (batch, length), numbers or IGNORE.
        """
        known = phones != IGNORE
        scores = self.output(F.gelu(self.hidden(self.norm(states[known])))).float()
        total = F.cross_entropy(scores, phones[known], reduction="sum")
        return total / known.sum().clamp(min=1)

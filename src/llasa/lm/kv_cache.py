"""Keys and values of the sequences that are generated, in memory that is allocated ahead."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from llasa.lm.config import LlamaConfig

_BLOCK = 256  # the cache grows by so many positions


class KVCache:
    """Rotated keys and values of every layer, one slot a sequence; grows when asked to.

    Stored as (layers, 2, slots, key-value heads, positions, head_dim).
    """

    def __init__(self, config: LlamaConfig, dtype: torch.dtype, device: torch.device) -> None:
        self._heads = config.num_key_value_heads
        shape = (config.num_hidden_layers, 2, 0, self._heads, 0, config.head_dim)
        self._store = torch.zeros(shape, dtype=dtype, device=device)
        self.reserve(1, 1)

    @property
    def slots(self) -> int:
        """Sequences there is room for."""
        return self._store.shape[2]

    @property
    def positions(self) -> int:
        """Tokens a slot has room for."""
        return self._store.shape[4]

    def reserve(self, slots: int, positions: int) -> None:
        """Make room for so many sequences of so many tokens; what is stored stays."""
        old = self._store
        if slots <= old.shape[2] and positions <= old.shape[4]:
            return
        slots = max(old.shape[2], 1 << (slots - 1).bit_length())
        positions = max(old.shape[4], math.ceil(positions / _BLOCK) * _BLOCK)
        # Zeros, not garbage: masked positions are multiplied by 0 and must not be NaN.
        self._store = old.new_zeros((*old.shape[:2], slots, self._heads, positions, old.shape[5]))
        self._store[:, :, : old.shape[2], :, : old.shape[4]] = old
        self.rows = [layer.view(-1, old.shape[5]) for layer in self._store]
        head = torch.arange(2, device=old.device)[:, None] * (slots * self._heads)
        head = head + torch.arange(self._heads, device=old.device)
        self._head_rows = head * positions
        self._slot_rows = self._heads * positions

    def index(self, slots: Tensor, positions: Tensor) -> Tensor:
        """Where in ``rows`` tokens (N,) keep their keys, then values: (N * 2 * heads,)."""
        place = slots * self._slot_rows + positions
        return (place[:, None, None] + self._head_rows).flatten()

    def views(self, first: int, last: int, positions: int) -> tuple[Tensor, ...]:
        """Keys, values of layer 0, of layer 1, ...: (slots, heads, positions, head_dim) each."""
        return self._store[:, :, first:last, :, :positions].flatten(0, 1).unbind(0)

    def copy(self, source: int, target: int, positions: int) -> None:
        """Copy the first positions of one slot to another."""
        self._store[:, :, target, :, :positions] = self._store[:, :, source, :, :positions]

    def swap(self, one: int, other: int) -> None:
        """Exchange two slots."""
        pair = torch.tensor([one, other], device=self._store.device)
        self._store[:, :, pair] = self._store[:, :, pair.flip(0)]

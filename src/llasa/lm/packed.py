"""Attention of rows that are packed into one line and do not see each other.

No (length, length) mask exists: on CUDA FlexAttention leaves out the blocks between rows, elsewhere
each row is attended to by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

BLOCK = 128
"""Positions of a block, as FlexAttention has them by default."""
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Causal attention of queries, keys and values, (B, heads, T, head_dim)."""


class Packed:
    """Which positions of some lines belong together.

    Args:
        rows: (lines, length), the number of the row that a position belongs to, -1 for padding,
            which comes last.
        spans: (rows, 3), line, first position and end of each row, on the CPU, in order.
        blocks: FlexAttention instead of one row after another; default on CUDA,
            since elsewhere it cannot learn.
    """

    def __init__(self, rows: Tensor, spans: Tensor, blocks: bool | None = None) -> None:
        self._spans: list[list[tuple[int, int]]] = [[] for _ in range(len(rows))]
        for line, first, stop in spans.tolist():
            self._spans[line].append((first, stop))
        self._blocks: Any = None
        if rows.device.type == "cuda" if blocks is None else blocks:
            self._blocks = block_mask(rows)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, alone: Attend) -> Tensor:
        """Attention inside each row, (lines, heads, length, head_dim); padding gets zeros.

        ``alone`` is causal attention of one row.
        """
        if self._blocks is not None:
            kernel = _compiled() if q.device.type == "cuda" else _flex()
            q, k = q.to(v.dtype), k.to(v.dtype)  # rotation is more precise than the products
            return kernel(q, k, v, block_mask=self._blocks, enable_gqa=q.shape[1] != k.shape[1])
        return self._each(q, k, v, alone)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _each(self, q: Tensor, k: Tensor, v: Tensor, alone: Attend) -> Tensor:
        lines = []
        for number, spans in enumerate(self._spans):
            line = slice(number, number + 1)
            parts = [
                alone(*(part[line, :, first:stop] for part in (q, k, v))) for first, stop in spans
            ]
            left = q.shape[2] - (spans[-1][1] if spans else 0)
            padding = q.new_zeros(1, q.shape[1], left, q.shape[3], dtype=v.dtype)
            lines.append(torch.cat([*parts, padding], dim=2))
        return torch.cat(lines)


def block_mask(rows: Tensor, size: int = BLOCK) -> Any:
    """FlexAttention's mask of causal attention inside rows, each of which lies in one piece.

    Made of the ends of blocks alone, in (lines, length / size, length / size).

    Args:
        rows: (lines, length), as `Packed` takes it.
        size: positions of a block.
    """
    from torch.nn.attention.flex_attention import BlockMask

    def seen(line: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (query >= key) & (rows[line, query] == rows[line, key])

    length = rows.shape[1]
    first, last = rows[:, ::size], rows[:, size - 1 :: size]
    if length % size:
        last = torch.cat([last, rows[:, -1:]], dim=1)
    number = torch.arange(first.shape[1], device=rows.device)
    before = number[:, None] > number
    # A block sees one before it if the row in which it begins had begun there; all of it does if
    # the row in which it ends had begun by that block's first position.
    some = before & (first[:, :, None] == last[:, None, :])
    every = before & (last[:, :, None] == first[:, None, :])
    if length % size:
        every[:, -1] = False  # it has positions behind the end
    some = (some & ~every) | (number[:, None] == number)
    return BlockMask.from_kv_blocks(
        *_ordered(some[:, None]),
        *_ordered(every[:, None]),
        BLOCK_SIZE=size,
        mask_mod=seen,
        seq_lengths=(length, length),
    )


def _ordered(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """How many blocks of keys each block of queries takes, and their numbers in front."""
    counts = blocks.sum(-1, dtype=torch.int32)
    places = blocks.to(torch.int8).argsort(dim=-1, descending=True, stable=True)
    return counts, places.to(torch.int32)


def _flex() -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return flex_attention


@cache
def _compiled() -> Any:
    return torch.compile(_flex(), dynamic=True)

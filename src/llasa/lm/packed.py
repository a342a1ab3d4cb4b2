"""Attention of rows that are packed into one line and do not see each other.

No (length, length) mask exists: on a CPU each row is attended to by itself, on a GPU FlexAttention
leaves out the blocks between rows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Causal attention of queries, keys and values, (B, heads, T, head_dim)."""


class Packed:
    """Which positions of some lines belong together.

    Args:
        rows: (lines, length), the number of the row that a position belongs to, -1 for padding,
            which comes last.
        spans: (rows, 3), line, first position and end of each row, on the CPU, in order.
        blocks: FlexAttention instead of one row after another; default on GPUs.
    """

    def __init__(self, rows: Tensor, spans: Tensor, blocks: bool | None = None) -> None:
        self._spans: list[list[tuple[int, int]]] = [[] for _ in range(len(rows))]
        for line, first, stop in spans.tolist():
            self._spans[line].append((first, stop))
        self._blocks: Any = None
        if rows.device.type != "cpu" if blocks is None else blocks:
            self._blocks = _block_mask(rows)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, alone: Attend) -> Tensor:
        """Attention inside each row, (lines, heads, length, head_dim); padding gets zeros.

        ``alone`` is causal attention of one row.
        """
        if self._blocks is not None:
            kernel = _compiled() if q.device.type != "cpu" else _flex()
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


def _block_mask(rows: Tensor) -> Any:
    from torch.nn.attention.flex_attention import create_block_mask

    def seen(line: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (query >= key) & (rows[line, query] == rows[line, key])

    lines, length = rows.shape
    return create_block_mask(seen, lines, None, length, length, device=rows.device)


def _flex() -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return flex_attention


@cache
def _compiled() -> Any:
    return torch.compile(_flex(), dynamic=True)

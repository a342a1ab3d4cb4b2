"""Speech embeddings that share parts while training, and are plain rows afterwards.

A codec id stands for a few FSQ digits. A fresh table learns each of thousands of ids by itself;
here every digit value adds a vector of its own, so that one frame teaches all codes that share a
digit. ``folded`` adds the parts up: what is saved is the table of a plain Llama.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from llasa.lm.llama import Llama

_WEIGHT = "model.embed_tokens.weight"
_TABLE = "model.embed_tokens.parametrizations.weight.original"
_PARTS = "model.embed_tokens.parametrizations.weight.0.parts"
SPREAD = 0.02
"""Standard deviation of a new embedding."""
OWN = 0.1
"""Share of it in what a code has for itself."""


def code_digits(levels: list[int]) -> Tensor:
    """One-hot FSQ digits of every code, (product of levels, sum of levels)."""
    codes = torch.arange(math.prod(levels))
    columns = []
    for level in levels:
        columns.append(F.one_hot(codes % level, level))
        codes = codes // level
    return torch.cat(columns, 1).float()


class SharedParts(nn.Module):
    """Adds to the rows of an embedding from ``first`` on the vectors of their FSQ digits."""

    digits: Tensor

    def __init__(self, levels: list[int], first: int, size: int) -> None:
        super().__init__()
        self.first = first
        self.register_buffer("digits", code_digits(levels), persistent=False)
        self.parts = nn.Parameter(torch.zeros(sum(levels), size))

    def forward(self, table: Tensor) -> Tensor:
        with torch.autocast(table.device.type, enabled=False):  # the sum that ``folded`` saves
            return _sum(table, self.parts, self.digits, self.first)


def _sum(table: Tensor, parts: Tensor, digits: Tensor, first: int) -> Tensor:
    shared = digits.to(parts.dtype) @ parts
    return table + F.pad(shared, (0, 0, first, len(table) - len(shared) - first))


def share_codes(llama: Llama, levels: list[int], first: int, fresh: bool) -> None:
    """Let the codes' rows, of which ``first`` is the first, share parts by their FSQ digits.

    ``fresh`` draws parts and shrinks the rows; otherwise the embedding stays as it is. Where it is
    empty (on "meta"), whoever fills it shrinks them: see ``shrink``.
    """
    embedding = llama.model.embed_tokens
    shared = SharedParts(levels, first, llama.config.hidden_size)
    if fresh:
        nn.init.normal_(shared.parts, std=SPREAD / len(levels) ** 0.5)
        with torch.no_grad():
            shrink(embedding.weight, first, len(shared.digits))
    # The check that "unsafe" leaves out adds up parts and table, which may be empty.
    parametrize.register_parametrization(embedding, "weight", shared, unsafe=True)


def shrink(rows: Tensor, first: int, count: int) -> None:
    """Make ``count`` codes' rows from number ``first`` on as small as what a code has for itself.

    ``first`` and the end may lie outside of ``rows``, which then are part of a table.
    """
    rows[max(0, first) : max(0, first + count)] *= OWN


def folded(state: dict[str, Tensor], levels: list[int], first: int) -> dict[str, Tensor]:
    """The state of a plain Llama from that of one whose codes share parts."""
    state = dict(state)
    if _PARTS in state:
        state[_WEIGHT] = _sum(state.pop(_TABLE), state.pop(_PARTS), code_digits(levels), first)
    return state

"""Guided attention: a training-only loss that shows a few heads where in the text speech is.

Text and speech run in the same order, so while speaking the i-th of n frames a reader looks near
the same fraction of the text (Tachibana et al. 2018), or exactly there where the data says when
each word is spoken. A plain Llama finds this out by itself only after very many tokens; the loss
gives it from the first step and the model stays a plain Llama.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from llasa.base.errors import LlasaError
from llasa.training.lm.data import Batch

EVERY = 3
"""One position in so many is supervised: neighbours teach the same, and scores cost memory."""


@dataclass
class AlignmentSettings:
    """``weight`` 0 turns the loss off; it falls linearly to 0 at step ``until``.

    In ``layer`` one query head is supervised for each of ``offsets``: it is to look so many text
    tokens past the place that is being read, as the sound of a letter depends on those around it.
    ``width`` is the standard deviation of the allowed distance, in text tokens, too.
    """

    weight: float = 0.0
    until: int = 10_000
    layer: int = 2
    offsets: list[float] = field(default_factory=lambda: [0.0])
    width: float = 4.0

    def __post_init__(self) -> None:
        if self.until < 1 or not self.offsets:
            raise LlasaError("alignment: until must be 1 or more, offsets one number or more")
        if self.layer < 0 or self.width <= 0 or self.weight < 0:
            raise LlasaError("alignment: width must be above 0, layer and weight 0 or more")

    def weight_at(self, step: int) -> float:
        """Weight of the loss at a step."""
        return self.weight * max(0.0, 1 - step / self.until)


def guided_attention_loss(
    q: Tensor, k: Tensor, batch: Batch, settings: AlignmentSettings
) -> Tensor:
    """Minus log of the attention that falls near the diagonal, mean over a third of the positions.

    Args:
        q: (batch, heads, length, head_dim) rotated queries of the supervised layer.
        k: (batch, key-value heads, length, head_dim) rotated keys.
        batch: where text and speech are.
    """
    groups = q.shape[1] // k.shape[1]
    heads, some = len(settings.offsets), slice(None, None, EVERY)
    k = k.repeat_interleave(groups, 1)[:, :heads]
    scores = (q[:, :heads, some] @ k.transpose(-1, -2)).float() / q.shape[-1] ** 0.5
    length = k.shape[2]
    causal = torch.ones(length, length, dtype=torch.bool, device=q.device).tril()[some]
    seen = (batch.row >= 0)[:, None, None, :] if batch.mask is None else batch.mask[:, :, some]
    speech = batch.speech[:, some]
    scores = scores.masked_fill(~(seen & causal), -1e9)
    aims = speech[:, None] + torch.tensor(settings.offsets, device=q.device)[:, None]
    distance = aims[..., None] - batch.text[:, None, None, :]
    inside = seen & (batch.text >= 0)[:, None, None, :]
    near = torch.where(inside, -distance.square() / (2 * settings.width**2), -1e9)
    log_mass = torch.logsumexp(scores + near, -1) - torch.logsumexp(scores, -1)
    speaking = (speech >= 0)[:, None, :].expand_as(log_mass)
    return -log_mass[speaking].mean() if speaking.any() else log_mass.sum() * 0

"""Guided attention: a training-only loss that shows a few heads where in the text speech is.

Text and speech run in the same order, so while speaking the i-th of n frames a reader looks near
the same fraction of the text (Tachibana et al. 2018), or exactly there where the data says when
each word is spoken. A plain Llama finds this out by itself only after very many tokens; the loss
gives it from the first step and the model stays a plain Llama.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from llasa.base.errors import LlasaError
from llasa.base.names import number, whole
from llasa.data.reader import TokenItem
from llasa.models.folder import ModelFiles

EVERY = 3
"""One position in so many is supervised: neighbours teach the same, and scores cost memory."""

_KEEPING, _TIMED_WIDTH = 1.0, 1.5
"""Weight and width, as in the recipe of nano, where heads that were taught are to stay so."""


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
        number("Setting alignment.weight", self.weight, 0)
        number("Setting alignment.width", self.width, 0, above=True)
        whole("Setting alignment.until", self.until)
        whole("Setting alignment.layer", self.layer, 0)
        if not self.offsets:
            raise LlasaError("Setting alignment.offsets is empty: give a number for each head.")

    def weight_at(self, step: int) -> float:
        """Weight of the loss at a step."""
        return self.weight * max(0.0, 1 - step / self.until)


def kept_heads(files: ModelFiles, tokens: Iterable[TokenItem], steps: int) -> AlignmentSettings:
    """What keeps the reading heads of a model that learns on for so many steps; off for none.

    Where an utterance does not tell when its letters are spoken they are supposed to be in
    proportion, which is seldom wrong by more than the default width.
    """
    heads = files.settings.alignment
    if heads is None:
        return AlignmentSettings()
    width = _TIMED_WIDTH if all(len(item.timing) for item in tokens) else AlignmentSettings.width
    return AlignmentSettings(_KEEPING, 2 * steps, heads.layer, list(heads.offsets), width)


def guided_attention_loss(
    q: Tensor, k: Tensor, text: Tensor, speech: Tensor, seen: Tensor, settings: AlignmentSettings
) -> Tensor:
    """Minus log of the attention that falls near the diagonal, mean over a third of the positions.

    Args:
        q: (batch, heads, length, head_dim) rotated queries of the supervised layer.
        k: (batch, key-value heads, length, head_dim) rotated keys.
        text: (batch, length), the place of each text token in the text, -1 elsewhere.
        speech: (batch, length), the place in the text that is read at each position, -1 elsewhere.
        seen: (batch, 1, 1 or length, length), what each position may attend to beside causality.
    """
    groups = q.shape[1] // k.shape[1]
    heads, some = len(settings.offsets), slice(None, None, EVERY)
    k = k.repeat_interleave(groups, 1)[:, :heads]
    scores = (q[:, :heads, some] @ k.transpose(-1, -2)).float() / q.shape[-1] ** 0.5
    length = k.shape[2]
    causal = torch.ones(length, length, dtype=torch.bool, device=q.device).tril()[some]
    seen, speech = seen.expand(-1, -1, length, -1)[:, :, some], speech[:, some]
    scores = scores.masked_fill(~(seen & causal), -1e9)
    aims = speech[:, None] + torch.tensor(settings.offsets, device=q.device)[:, None]
    distance = aims[..., None] - text[:, None, None, :]
    inside = seen & (text >= 0)[:, None, None, :]
    near = torch.where(inside, -distance.square() / (2 * settings.width**2), -1e9)
    log_mass = torch.logsumexp(scores + near, -1) - torch.logsumexp(scores, -1)
    speaking = (speech >= 0)[:, None, :].expand_as(log_mass)
    return -log_mass[speaking].mean() if speaking.any() else log_mass.sum() * 0

"""What the language model learns: cross entropy of the next token, and where to read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint as recompute

from llasa.lm.llama import Llama
from llasa.training.auxiliary.alignment import guided_attention_loss
from llasa.training.auxiliary.phones import PhoneHead
from llasa.training.lm.data import Batch
from llasa.vocabulary.rows import IGNORE
from llasa.vocabulary.vocabulary import Vocabulary

if TYPE_CHECKING:
    from llasa.training.lm.settings import LMTraining

LOSS_POSITIONS = 2048
"""Positions whose logits exist at the same time where layers are recomputed."""


class Losses(NamedTuple):
    """``codes``: summed cross entropy of the targets of each line of the batch, (lines,).

    The others are mean losses, 0 where off.
    """

    codes: Tensor
    alignment: Tensor
    phones: Tensor


class Objective(nn.Module):
    """The model and its losses in one ``forward``, so that sharding wraps both."""

    def __init__(self, llama: Llama, settings: LMTraining, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.llama = llama
        self.alignment = settings.alignment
        self.checkpointing = settings.checkpointing
        restricted = not settings.full_vocabulary and settings.data.task == "tts"
        self.first = vocabulary.base_size if restricted else 0
        self.unreduced: Callable[[Tensor, Tensor], Tensor] = self._unreduced
        if settings.run.compile:
            self.unreduced = torch.compile(self._unreduced, dynamic=True)
        self.phone_layer = settings.phones.layer
        self.phone_head = (
            PhoneHead(llama.config.hidden_size, len(settings.phones.symbols))
            if settings.phones.weight
            else None
        )

    def forward(self, batch: Batch, aligned: bool) -> Losses:
        """All losses of a batch; that of the alignment only if ``aligned``."""
        guide = phones = batch.ids.new_zeros((), dtype=torch.float32)
        kept = {self.alignment.layer} if aligned else set()
        if self.phone_head is not None:
            kept.add(self.phone_layer)
        hidden, layers = self.llama.forward_with_states(
            batch.ids, kept, batch.mask, batch.positions, self.checkpointing
        )
        if aligned:
            layer = layers[self.alignment.layer]
            guide = guided_attention_loss(layer.queries, layer.keys, batch, self.alignment)
        if self.phone_head is not None:
            phones = self.phone_head(layers[self.phone_layer].state, batch.phones)
        targets = batch.targets()
        learnt = targets != IGNORE
        lost = self._cross_entropy(hidden[:, :-1][learnt], targets[learnt] - self.first)
        codes = lost.new_zeros(len(targets)).index_add(0, learnt.nonzero()[:, 0], lost)
        return Losses(codes, guide, phones)

    def _cross_entropy(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """That of each of the positions (n, size)."""
        if not self.checkpointing:
            return self.unreduced(hidden, targets)
        lost = [hidden[:0, 0].float()]
        for start in range(0, len(targets), LOSS_POSITIONS):
            part = slice(start, start + LOSS_POSITIONS)
            some = recompute(self.unreduced, hidden[part], targets[part], use_reentrant=False)
            lost.append(some)
        return torch.cat(lost)

    def _unreduced(self, hidden: Tensor, targets: Tensor) -> Tensor:
        logits = self.llama.logits(hidden, slice(self.first, None))
        return F.cross_entropy(logits.float(), targets, reduction="none")

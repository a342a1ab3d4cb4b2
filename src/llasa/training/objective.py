"""What the language model learns: cross entropy of the next token, and where to read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint as recompute

from llasa.engine.llama import Llama
from llasa.training.alignment import guided_attention_loss
from llasa.training.lm_data import Batch
from llasa.vocabulary import IGNORE, Vocabulary

if TYPE_CHECKING:
    from llasa.training.lm import LMTraining

LOSS_POSITIONS = 2048
"""Positions whose logits exist at the same time where layers are recomputed."""


class Objective(nn.Module):
    """The model and its losses in one ``forward``, so that sharding wraps both."""

    def __init__(self, llama: Llama, settings: LMTraining, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.llama = llama
        self.alignment = settings.alignment
        self.checkpointing = settings.checkpointing
        restricted = not settings.full_vocabulary and settings.data.task == "tts"
        self.first = vocabulary.base_size if restricted else 0

    def forward(self, batch: Batch, aligned: bool) -> tuple[Tensor, Tensor]:
        """Summed cross entropy of the targets, and the alignment loss (0 unless ``aligned``)."""
        guide = batch.ids.new_zeros((), dtype=torch.float32)
        inputs = (batch.ids, batch.mask, batch.positions, self.checkpointing)
        if aligned:
            hidden, q, k = self.llama.probed(*inputs, self.alignment.layer)
            guide = guided_attention_loss(q, k, batch, self.alignment)
        else:
            hidden = self.llama.hidden(*inputs)
        targets = batch.targets()
        learnt = targets != IGNORE
        return self._cross_entropy(hidden[:, :-1][learnt], targets[learnt] - self.first), guide

    def _cross_entropy(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Sum over positions."""
        if not self.checkpointing:
            return self._summed(hidden, targets)
        sums = [hidden.sum() * 0]
        for start in range(0, len(targets), LOSS_POSITIONS):
            part = slice(start, start + LOSS_POSITIONS)
            total = recompute(self._summed, hidden[part], targets[part], use_reentrant=False)
            sums.append(total)
        return torch.stack(sums).sum()

    def _summed(self, hidden: Tensor, targets: Tensor) -> Tensor:
        logits = self.llama.logits(hidden, slice(self.first, None))
        return F.cross_entropy(logits.float(), targets, reduction="sum")

"""What the language model learns: cross entropy of the next token, and where to read."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint as recompute

from llasa.lm.llama import Llama
from llasa.training.auxiliary.alignment import guided_attention_loss
from llasa.training.auxiliary.phones import PhoneHead
from llasa.training.lm.batch import Batch
from llasa.training.lm.settings import LMTraining
from llasa.vocabulary.rows import IGNORE
from llasa.vocabulary.vocabulary import Vocabulary

LOSS_POSITIONS = 2048
"""Positions whose logits exist at the same time where layers are recomputed."""
MOST_LOGITS = 1 << 28
"""Logits that exist at the same time elsewhere: a gigabyte of float32."""


class Losses(NamedTuple):
    """What a batch costs."""

    codes: Tensor
    """Summed cross entropy of the targets of each line of the batch, (lines,)."""
    extra: dict[str, Tensor]
    """Mean losses beside it, by their names in ``Objective.weights``."""


class Objective(nn.Module):
    """The model and its losses in one ``forward``, so that sharding wraps both."""

    def __init__(self, llama: Llama, settings: LMTraining, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.llama = llama
        self.alignment, self.phones = settings.alignment, settings.phones
        self.checkpointing = settings.checkpointing
        restricted = not settings.full_vocabulary and not settings.data.writes
        self.first = vocabulary.base_size if restricted else 0
        self.unreduced: Callable[[Tensor, Tensor], Tensor] = self._unreduced
        if settings.run.compile:
            self.unreduced = torch.compile(self._unreduced, dynamic=True)
        self.phone_head: PhoneHead | None = None
        if self.phones.weight:
            self.phone_head = PhoneHead(llama.config.hidden_size, len(self.phones.symbols))

    def weights(self, step: int) -> dict[str, float]:
        """The losses that count at a step beside cross entropy, and how much."""
        weights = {"alignment": self.alignment.weight_at(step), "phones": self.phones.weight}
        return {name: weight for name, weight in weights.items() if weight > 0}

    def forward(self, batch: Batch, wanted: Collection[str] = ()) -> Losses:
        """Cross entropy of a batch and the ``wanted`` losses beside it."""
        extra: dict[str, Tensor] = {}
        kept = {self.alignment.layer} if "alignment" in wanted else set()
        if "phones" in wanted:
            kept.add(self.phones.layer)
        hidden, layers = self.llama.forward_with_states(
            batch.ids, kept, batch.mask(), batch.positions, self.checkpointing
        )
        if "alignment" in wanted:
            layer = layers[self.alignment.layer]
            places = (batch.text, batch.speech, batch.seen())
            extra["alignment"] = guided_attention_loss(
                layer.queries, layer.keys, *places, self.alignment
            )
        if "phones" in wanted and self.phone_head is not None:
            extra["phones"] = self.phone_head(layers[self.phones.layer].state, batch.phones)
        targets = batch.targets()
        learnt = targets != IGNORE
        lost = self._cross_entropy(hidden[:, :-1][learnt], targets[learnt] - self.first)
        codes = lost.new_zeros(len(targets)).index_add(0, learnt.nonzero()[:, 0], lost)
        return Losses(codes, extra)

    def _cross_entropy(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """That of each of the positions (n, size); of many, a part at a time, recomputed."""
        vocabulary = self.llama.config.vocab_size - self.first
        most = LOSS_POSITIONS if self.checkpointing else max(1, MOST_LOGITS // vocabulary)
        if not self.checkpointing and len(targets) <= most:
            return self.unreduced(hidden, targets)
        lost = [hidden[:0, 0].float()]
        for start in range(0, len(targets), most):
            part = slice(start, start + most)
            some = recompute(self.unreduced, hidden[part], targets[part], use_reentrant=False)
            lost.append(some)
        return torch.cat(lost)

    def _unreduced(self, hidden: Tensor, targets: Tensor) -> Tensor:
        logits = self.llama.logits(hidden, slice(self.first, None))
        return F.cross_entropy(logits.float(), targets, reduction="none")

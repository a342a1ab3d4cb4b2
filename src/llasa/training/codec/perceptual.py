"""Perceptual loss: distance in the hidden states of a speech model (last stage of the paper)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llasa.base.errors import LlasaError, first_line
from llasa.base.packages import require


class PerceptualLoss(nn.Module):
    """Mean squared distance over hidden states 10 to 21 of a frozen waveform model.

    Args:
        path: folder or hub id of a Transformers model on 16 kHz waveforms, for the paper
            ``facebook/wav2vec2-large-xlsr-53``. Smaller models use the upper half of their layers.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        try:
            model: nn.Module = require("transformers").AutoModel.from_pretrained(
                path, trust_remote_code=False
            )
        except (OSError, ValueError) as error:
            raise LlasaError(
                f"Setting loss.perceptual_model {path} cannot be loaded: {first_line(error)}."
            ) from error
        self.model = model.requires_grad_(False).eval()

    def forward(self, generated: Tensor, real: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = self._states(real)
        got = self._states(generated)
        return torch.stack([F.mse_loss(g, w) for g, w in zip(got, wanted, strict=True)]).mean()

    def _states(self, audio: Tensor) -> list[Tensor]:
        states = self.model(audio.float(), output_hidden_states=True).hidden_states
        return list(states[10:22] if len(states) > 22 else states[len(states) // 2 :])

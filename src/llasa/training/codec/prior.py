"""A prior of the codes: what a code should be, given phone and pitch.

A language model has to guess each code from the text. Codes that vary between repetitions of the
same sound make that hard and add nothing audible. Here a small network predicts the quantiser's
input from the phones and the pitch around each frame; the distance to that prediction is a loss for
both, so that the encoder puts predictable content into its codes in the same way each time. Not in
the paper; compare LLM-Codec (2026), whose codes are trained with future-token prediction.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llasa.codec.heads.harmonic import SUBFRAMES, Pitch
from llasa.vocabulary.rows import IGNORE

_USUAL_LOG_HERTZ = 5.2


class CodePrior(nn.Module):
    """Predicts the bounded input of FSQ from phones and pitch.

    Args:
        phones: number of phones.
        dimensions: of the quantiser.
        size: channels.
    """

    def __init__(self, phones: int, dimensions: int, size: int = 160) -> None:
        super().__init__()
        self.symbols = nn.Embedding(phones + 1, size // 2)
        self.layers = nn.Sequential(
            nn.Conv1d(size // 2 + 2 * SUBFRAMES, size, 9, padding=4),
            nn.GELU(),
            nn.Conv1d(size, size, 9, padding=4),
            nn.GELU(),
            nn.Conv1d(size, size, 9, padding=4),
            nn.GELU(),
            nn.Conv1d(size, dimensions, 1),
        )

    def forward(self, bounded: Tensor, phones: Tensor, pitch: Pitch) -> Tensor:
        """Mean squared distance, in levels, over the frames whose phone is known; 0 without any.

        Args:
            bounded: (batch, frames, dimensions), what FSQ rounds.
            phones: (batch, frames), numbers or IGNORE.
            pitch: (batch, frames * SUBFRAMES).
        """
        known = phones != IGNORE
        symbols = self.symbols(torch.where(known, phones + 1, 0))
        height = (pitch.hertz.log() - _USUAL_LOG_HERTZ) * pitch.voiced
        spoken = torch.stack([height, pitch.voiced], -1).view(*phones.shape, 2 * SUBFRAMES)
        predicted = self.layers(torch.cat([symbols, spoken], -1).transpose(1, 2)).transpose(1, 2)
        distance = F.mse_loss(predicted.float(), bounded.float(), reduction="none").mean(-1)
        return (distance * known).sum() / known.sum().clamp(min=1)

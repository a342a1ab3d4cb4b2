"""The speaker encoder, whose embeddings condition the decoder.

So codes of one voice can be decoded in another. After global style tokens (Wang et al., 2018) and
BiCodec of Spark-TTS (2025); not in the paper, whose codes hold all of the sound.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llasa.codec.features import MELS, fbank

_CHANNELS = 128
_QUIETEST = 8.0
"""Natural logarithm of the power below the mean level at which a band counts as silent (35 dB)."""


class SpeakerEncoder(nn.Module):
    """Mono speech (batch, samples) at 16 kHz, at least 400 of them, to embeddings (batch, size).

    Convolutions over filter banks, then mean and deviation of all frames, weighted by attention.
    The level of the recording does not matter. The mean square of an embedding is 1, and zeros
    stand for no speaker.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(MELS, _CHANNELS, 5, padding=2)
        self.blocks = nn.ModuleList(
            nn.Conv1d(_CHANNELS, _CHANNELS, 5, padding=2 * 2**i, dilation=2**i) for i in range(3)
        )
        self.attention = nn.Conv1d(_CHANNELS, 1, 1)
        self.out = nn.Linear(2 * _CHANNELS, size)

    def forward(self, waveform: Tensor) -> Tensor:
        with torch.autocast(waveform.device.type, enabled=False):
            return F.rms_norm(self.loose(fbank(waveform)), (self.out.out_features,))

    def loose(self, mel: Tensor) -> Tensor:
        """From filter banks (batch, frames, 80) to embeddings of any mean square."""
        level = mel.amax(2, keepdim=True).mean(1, keepdim=True)
        x = (mel - level).clamp_min(-_QUIETEST).transpose(1, 2) / _QUIETEST + 0.5
        x = F.gelu(self.first(x))
        for block in self.blocks:
            x = x + F.gelu(block(x))
        weight = self.attention(x).softmax(-1)
        mean = (x * weight).sum(-1)
        deviation = ((x - mean[..., None]).square() * weight).sum(-1).add(1e-5).sqrt()
        loose: Tensor = self.out(torch.cat([mean, deviation], -1))
        return loose

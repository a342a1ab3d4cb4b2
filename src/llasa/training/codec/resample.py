"""Resampling that gradients pass through."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llasa.codec.config import CodecConfig

_ZEROS = 64
"""Zero crossings of the sinc on each side."""
_BETA = 9.0
"""Of the Kaiser window: the stop band lies 90 dB below."""
_PASS = 0.957
"""The half-power point, as a share of the lower Nyquist frequency."""


def to_input_rate(config: CodecConfig) -> nn.Module:
    """From the rate of decoded sound to that of the encoder."""
    if config.output_rate == config.input_rate:
        return nn.Identity()
    return Resampler(config.output_rate, config.input_rate)


class Resampler(nn.Module):
    """Waveforms (batch, samples) at one rate to (batch, samples * new / old), rounded up.

    A windowed sinc, as one strided convolution with an output channel for each phase.
    """

    def __init__(self, old: int, new: int) -> None:
        super().__init__()
        common = math.gcd(old, new)
        self.up, self.down = new // common, old // common
        cutoff = _PASS * min(1.0, new / old)  # as a share of the old Nyquist frequency
        self.reach = math.ceil(_ZEROS / cutoff)
        taps = torch.arange(-self.reach, self.reach + self.down, dtype=torch.float64)
        phases = torch.arange(self.up, dtype=torch.float64)[:, None] * self.down / self.up
        distance = taps - phases
        inside = (1 - (distance * cutoff / _ZEROS).square()).clamp_min(0)
        start = torch.tensor(_BETA, dtype=torch.float64)
        window = torch.special.i0(_BETA * inside.sqrt()) / torch.special.i0(start)
        window = torch.where(distance.abs() * cutoff < _ZEROS, window, 0.0)
        kernel = cutoff * torch.sinc(cutoff * distance) * window
        kernel = kernel / kernel.sum(1, keepdim=True)
        self.register_buffer("kernel", kernel.float()[:, None], persistent=False)
        self.kernel: Tensor

    def forward(self, waveform: Tensor) -> Tensor:
        count = waveform.shape[-1]
        wanted = -(-count * self.up // self.down)
        blocks = -(-count // self.down)
        padded = F.pad(waveform, (self.reach, self.reach + blocks * self.down - count))
        with torch.autocast(waveform.device.type, enabled=False):
            phases = F.conv1d(padded.float()[:, None], self.kernel, stride=self.down)
        return phases.transpose(1, 2).flatten(1)[:, :wanted]

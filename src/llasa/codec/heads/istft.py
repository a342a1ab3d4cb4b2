"""The decoder head of the paper: an inverse short-time Fourier transform (Vocos)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from llasa.codec.protocol import PhaseState

OVERLAP = 4
"""Frames that a sample is part of."""
_LOUDEST = math.log(100.0)
"""Bound of the logarithm of a magnitude."""


class SpectralFrames(nn.Module):
    """Short-time Fourier transform and its inverse, with "same" padding: n frames for n hops.

    A frame has 4 hops of samples, and one of them is in its middle.
    """

    def __init__(self, hop: int) -> None:
        super().__init__()
        self.hop = hop
        self.n_fft = OVERLAP * hop
        self.margin = (self.n_fft - hop) // 2
        """Samples that the first frame begins before the sound, and the last ends after it."""
        # On the CPU even where the weights are made on "meta", as no file fills it.
        window = torch.hann_window(self.n_fft, device="cpu")
        self.register_buffer("window", window, persistent=False)
        self.window: Tensor

    def analyse(self, audio: Tensor) -> Tensor:
        """(..., n * hop + 2 * margin) with both margins to (..., n, n_fft // 2 + 1), power kept."""
        frames = audio.unfold(-1, self.n_fft, self.hop) * self.window
        return torch.fft.rfft(frames)

    def synthesise(self, spectrum: Tensor) -> Tensor:
        """(batch, n, n_fft // 2 + 1) to (batch, n * hop)."""
        frames = torch.fft.irfft(spectrum, self.n_fft) * self.window
        envelope = self.window.square().expand(1, frames.shape[1], -1)
        return self._overlap_add(frames) / self._overlap_add(envelope)

    def _overlap_add(self, frames: Tensor) -> Tensor:
        batch, count, _ = frames.shape
        pieces = frames.reshape(batch, count, OVERLAP, self.hop)
        audio = frames.new_zeros(batch, count + OVERLAP - 1, self.hop)
        for i in range(OVERLAP):
            audio[:, i : i + count] += pieces[:, :, i]
        return audio.reshape(batch, -1)[:, self.margin : -self.margin]


class ISTFTHead(nn.Module):
    """Linear layer to log-magnitude and phase, then an inverse STFT with "same" padding (Vocos).

    (batch, frames, size) to (batch, frames * hop).
    """

    def __init__(self, size: int, hop: int, rate: int = 0) -> None:  # the same at any rate
        super().__init__()
        self.frames = SpectralFrames(hop)
        self.linear = nn.Linear(size, self.frames.n_fft + 2)

    def polar(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Magnitude and phase of each frame's spectrum, (batch, frames, bins)."""
        log_magnitude, phase = self.linear(x.float()).chunk(2, -1)
        # Bounded before it can be infinite, whose gradient is not a number.
        return log_magnitude.clamp_max(_LOUDEST).exp(), phase

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return self.frames.synthesise(torch.polar(*self.polar(x)))

    def decode_part(
        self, x: Tensor, at: int, stop: int, phase: PhaseState
    ) -> tuple[Tensor, PhaseState]:
        """See `CodecModel.decode_part`; there is no phase to go on from."""
        return self(x), PhaseState()

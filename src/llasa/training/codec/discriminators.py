"""Discriminators of the codec: five periods (HiFi-GAN) and eight spectrograms (paper section 3.2).

Of logarithmic spectrograms (not in the paper) small networks learn in a hundred steps what takes
them thousands from magnitudes or waveforms: what is wrong with speech is not what is loud in it.

Every network returns its feature maps, the last of which is the score.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from llasa.base.names import number

QUIET = 1e-6
"""Power below which logarithms of spectrograms show nothing."""


@dataclass
class DiscriminatorSettings:
    """Sizes; the defaults are those of the release (10.28 M and 18.10 M parameters).

    ``log`` takes the logarithms of the spectrograms, at hops of a quarter of a window in place of a
    half. ``rate`` is the peak learning rate, without it that of the optimizer.
    """

    periods: tuple[int, ...] = (2, 3, 5, 7, 11)
    period_channels: int = 16
    period_max_channels: int = 512
    ffts: tuple[int, ...] = (78, 126, 206, 334, 542, 876, 1418, 2296)
    spectral_channels: int = 32
    log: bool = False
    rate: float | None = None

    def __post_init__(self) -> None:
        if self.rate is not None:
            number("Setting discriminator.rate", self.rate, 0, above=True)


class PeriodDiscriminator(nn.Module):
    """Folds the waveform into rows of one period and convolves down the columns."""

    def __init__(self, period: int, channels: int, max_channels: int) -> None:
        super().__init__()
        self.period = period
        widths = [1] + [min(channels * 4**i, max_channels) for i in range(5)]
        self.convs = nn.ModuleList(
            weight_norm(nn.Conv2d(a, b, (5, 1), (3 if i < 4 else 1, 1), (2, 0)))
            for i, (a, b) in enumerate(pairwise(widths))
        )
        self.score = weight_norm(nn.Conv2d(widths[-1], 1, (2, 1), 1, (1, 0)))

    def forward(self, audio: Tensor) -> list[Tensor]:
        extra = -audio.shape[-1] % self.period
        padded = F.pad(audio[:, None], (0, extra), mode="reflect")
        x = padded.view(*padded.shape[:2], -1, self.period)
        maps = []
        for conv in self.convs:
            x = F.leaky_relu(conv(x), 0.1)
            maps.append(x)
        return [*maps, self.score(x)]


class SpectralDiscriminator(nn.Module):
    """2-D convolutions over one magnitude spectrogram (Parker et al. 2024), or its logarithm."""

    def __init__(self, n_fft: int, channels: int, log: bool = False) -> None:
        super().__init__()
        self.n_fft, self.log = n_fft, log
        self.hop = n_fft // (4 if log else 2)
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.window: Tensor
        widths = [1] + [channels * 2**i for i in range(4)]
        self.convs = nn.ModuleList(
            weight_norm(nn.Conv2d(a, b, 5, 2, 2)) for a, b in pairwise(widths)
        )
        self.convs.append(weight_norm(nn.Conv2d(widths[-1], 2 * widths[-1], 3, 1, 1)))
        self.score = weight_norm(nn.Conv2d(2 * widths[-1], 1, 3, 1, 1))

    def forward(self, audio: Tensor) -> list[Tensor]:
        with torch.autocast(audio.device.type, enabled=False):
            spectrum = torch.stft(
                audio.float(), self.n_fft, self.hop, window=self.window, return_complex=True
            )
            power = (spectrum.real.square() + spectrum.imag.square())[:, None]
            x = (power + QUIET).log10() + 2 if self.log else power.clamp(1e-7, 1e3).sqrt()
        maps = []
        for conv in self.convs:
            x = F.leaky_relu(conv(x), 0.2)
            maps.append(x)
        return [*maps, self.score(x)]


class Discriminators(nn.Module):
    """All discriminators; (batch, samples) to one list of feature maps each."""

    def __init__(self, settings: DiscriminatorSettings) -> None:
        super().__init__()
        self.periods = nn.ModuleList(
            PeriodDiscriminator(p, settings.period_channels, settings.period_max_channels)
            for p in settings.periods
        )
        self.spectral = nn.ModuleList(
            SpectralDiscriminator(n, settings.spectral_channels, settings.log)
            for n in settings.ffts
        )

    def forward(self, audio: Tensor) -> list[list[Tensor]]:
        return [network(audio) for network in (*self.periods, *self.spectral)]

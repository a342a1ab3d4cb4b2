"""Losses of the codec (paper section 3.2, released criterions)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llasa.audio.mel import mel_filters
from llasa.base.errors import LlasaError
from llasa.codec.heads.harmonic import Pitch, Spectra


class MelLoss(nn.Module):
    """Sum over resolutions of the L1 distance of log10 mel magnitudes (hop = window / 4).

    Input: two waveforms (batch, samples); output: a scalar.
    """

    def __init__(self, rate: int, windows: tuple[int, ...], mels: tuple[int, ...]) -> None:
        super().__init__()
        if len(windows) != len(mels):
            raise LlasaError(
                f"The mel loss has {len(windows)} windows but {len(mels)} numbers of mel bins."
            )
        self.windows = windows
        for size, count in zip(windows, mels, strict=True):
            self.register_buffer(f"window{size}", torch.hann_window(size), persistent=False)
            filters = torch.from_numpy(mel_filters(rate, size, count)).float()
            self.register_buffer(f"filters{size}", filters, persistent=False)

    def forward(self, generated: Tensor, real: Tensor) -> Tensor:
        total = generated.new_zeros(())
        # The logarithm of a bfloat16 sum would be mostly rounding.
        with torch.autocast(generated.device.type, enabled=False):
            for size in self.windows:
                with torch.no_grad():
                    target = self._log_mel(real, size)
                total = total + F.l1_loss(self._log_mel(generated, size), target)
        return total

    def _log_mel(self, audio: Tensor, size: int) -> Tensor:
        window: Tensor = getattr(self, f"window{size}")
        filters: Tensor = getattr(self, f"filters{size}")
        spectrum = torch.stft(audio.float(), size, size // 4, window=window, return_complex=True)
        # abs() has an infinite slope at zero
        magnitude = (spectrum.real.square() + spectrum.imag.square() + 1e-12).sqrt()
        return (magnitude.transpose(1, 2) @ filters).clamp_min(1e-5).log10()


def discriminator_loss(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Least squares: real to one, fake to zero, summed over discriminators."""
    terms = [(r - 1).square().mean() + f.square().mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(terms).sum()


def adversarial_loss(fake: list[Tensor]) -> Tensor:
    """Least squares: fake to one, summed over discriminators."""
    return torch.stack([(f - 1).square().mean() for f in fake]).sum()


def feature_matching_loss(real: list[list[Tensor]], fake: list[list[Tensor]]) -> Tensor:
    """Mean L1 of every feature map but the last, summed."""
    terms = [
        F.l1_loss(f, r.detach())
        for rs, fs in zip(real, fake, strict=True)
        for r, f in zip(rs[:-1], fs[:-1], strict=True)
    ]
    return torch.stack(terms).sum()


def spread_loss(inputs: Tensor) -> Tensor:
    """Distance of the quantiser's inputs from zero mean, unit variance and no correlation.

    With few steps and a high learning rate the inputs of FSQ drift into the flat ends of its
    bound, where codes die and no gradient brings them back.

    Args:
        inputs: (batch, frames, dimensions) before the bound.
    """
    flat = inputs.flatten(0, -2)
    mean = flat.mean(0)
    covariance = (flat - mean).T @ (flat - mean) / (len(flat) - 1)
    identity = torch.eye(len(mean), device=mean.device)
    return mean.square().mean() + (covariance - identity).square().sum(1).mean()


def pitch_loss(said: Spectra, heard: Pitch) -> Tensor:
    """Cross entropy of voicing, plus ten times the pitch error of voiced subframes in octaves.

    A scalar, the mean over subframes.
    """
    known = F.binary_cross_entropy_with_logits(said.voiced, heard.voiced)
    octaves = (said.log_hertz - heard.hertz.log()).abs() / math.log(2) * heard.voiced
    return known + 10 * octaves.sum() / heard.voiced.sum().clamp_min(1)


def mean_f0_loss(said: Spectra, speaker_log_f0: Tensor) -> Tensor:
    """Ten times the octaves between the mean voiced F0 and that of a speaker.

    `speaker_log_f0` (batch,) is the logarithm of the speaker's usual F0 in Hertz. A tenth of an
    octave costs nothing, because a short segment may deviate from the speaker's mean.
    """
    weight = said.voiced.detach().sigmoid()
    mean = (said.log_hertz * weight).sum(1) / weight.sum(1).clamp_min(1e-3)
    octaves = (mean - speaker_log_f0).abs() / math.log(2)
    return 10 * (octaves - 0.1).clamp_min(0).mean()

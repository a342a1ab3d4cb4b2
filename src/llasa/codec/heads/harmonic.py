"""A decoder head that predicts pitch, harmonics and noise, and synthesises the sound.

Harmonic-plus-noise synthesis, as in the neural homomorphic vocoder (Liu et al., 2020) and DDSP
(Engel et al., 2020). A small decoder cannot keep the phases of an inverse STFT consistent between
frames, which makes a voice hoarse; here the phase is accumulated instead. Not in the paper.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llasa.codec.heads.istft import SpectralFrames
from llasa.codec.protocol import PhaseState

SUBFRAMES = 2
"""Spectra for each code: consonants are shorter than 20 ms."""
_TOP = 0.475
"""Highest harmonic, as a share of the sample rate."""
_LOWEST, _USUAL, _HIGHEST = 50.0, 180.0, 1000.0
"""Hertz: the bounds of a pitch, and in between what untrained weights predict."""
NOISES = 1 << 18
"""Samples after which the noise repeats."""
_LOUDEST = 6.0
"""Bound of the logarithm of a gain."""


class Pitch(NamedTuple):
    """Hertz of each subframe, positive throughout, and whether it is voiced (0 to 1).

    Both (batch, subframes).
    """

    hertz: Tensor
    voiced: Tensor


class Spectra(NamedTuple):
    """What the head predicts for each subframe.

    Logarithms of gains, and the phase, (batch, subframes, bins); the logarithm of Hertz and the
    log odds of being voiced, (batch, subframes).
    """

    harmonics: Tensor
    phase: Tensor
    noise: Tensor
    log_hertz: Tensor
    voiced: Tensor

    def pitch(self) -> Pitch:
        """The predicted pitch, bounded, with each subframe either voiced or not."""
        hertz = self.log_hertz.exp().clamp(_LOWEST, _HIGHEST)
        return Pitch(hertz, (self.voiced > 0).to(self.voiced.dtype))


class HarmonicHead(nn.Module):
    """(batch, frames, size) to (batch, frames * hop).

    A train of pulses and a noise are filtered by the spectra of their subframes. The noise is the
    same in every sound, so that sound is a function of the codes.
    """

    def __init__(self, size: int, hop: int, rate: int) -> None:
        super().__init__()
        self.hop, self.rate = hop, rate
        self.frames = SpectralFrames(hop // SUBFRAMES)
        self.bins = self.frames.n_fft // 2 + 1
        self.linear = nn.Linear(size, SUBFRAMES * (3 * self.bins + 2))
        with torch.no_grad():
            self.linear.weight.mul_(0.1)
            start = torch.zeros(SUBFRAMES, 3 * self.bins + 2, device=self.linear.bias.device)
            start[:, : self.bins] = start[:, 2 * self.bins : 3 * self.bins] = -4.0
            start[:, -2] = math.log(_USUAL)
            self.linear.bias.copy_(start.flatten())
        # On the CPU even where the weights are made on "meta", as no file fills it.
        generator = torch.Generator("cpu").manual_seed(0)
        noise = torch.randn(NOISES, generator=generator, device="cpu")
        self.register_buffer("noise", noise, persistent=False)
        self.noise: Tensor

    def spectra(self, x: Tensor) -> Spectra:
        """The prediction from which `render` makes the sound."""
        with torch.autocast(x.device.type, enabled=False):
            said = self.linear(x.float()).unflatten(-1, (SUBFRAMES, -1)).flatten(1, 2)
        harmonics, phase, noise, rest = said.split([self.bins, self.bins, self.bins, 2], -1)
        return Spectra(_bounded(harmonics), phase, _bounded(noise), rest[..., 0], rest[..., 1])

    def forward(self, x: Tensor) -> Tensor:
        spectra = self.spectra(x)
        return self.render(spectra, spectra.pitch())[0]

    def decode_part(
        self, x: Tensor, at: int, stop: int, phase: PhaseState
    ) -> tuple[Tensor, PhaseState]:
        """See `CodecModel.decode_part`."""
        spectra = self.spectra(x)
        waveform, cycles = self.render(spectra, spectra.pitch(), at, phase)
        return waveform, PhaseState(phase.frames + stop - at, float(cycles[0, stop]) % 1.0)

    def render(
        self, spectra: Spectra, pitch: Pitch, at: int = 0, phase: PhaseState | None = None
    ) -> tuple[Tensor, Tensor]:
        """The sound of these spectra at a pitch, in training that of the recording.

        `phase` is the phase at the start of frame `at` (None: the sound begins there). Returns the
        waveform (batch, frames * hop) and the cycles between frames (batch, frames + 1).
        """
        phase = phase or PhaseState()
        margin, hop = self.frames.margin, self.hop
        with torch.autocast(pitch.hertz.device.type, enabled=False):
            hertz, voiced = self.by_sample(pitch.hertz), self.by_sample(pitch.voiced)
            exact = hertz.cpu() if hertz.device.type == "mps" else hertz  # which has no float64
            cycles = (exact.double() / self.rate).cumsum(-1)
            # The sum includes a sample itself, so the phase of a border is that of the one before.
            cycles = cycles - cycles[:, at * hop + margin - 1, None] + phase.cycles
            turn = (cycles - cycles.round()).float().to(hertz.device)
            pulses = self.frames.analyse(pulses_at(turn, hertz, self.rate) * voiced)
            first = (phase.frames - at) * hop - margin
            places = torch.arange(first, first + hertz.shape[1], device=hertz.device)
            noise = self.frames.analyse(self.noise[places % len(self.noise)])
            gains = torch.polar(spectra.harmonics.exp(), spectra.phase)
            heard = pulses * gains + noise * spectra.noise.exp()
            return self.frames.synthesise(heard), cycles[:, margin - 1 : -margin : hop]

    def by_sample(self, values: Tensor) -> Tensor:
        """(batch, subframes) to (batch, samples), linear between the middles, with margins.

        A margin is as long as from the middle of a subframe to the end of the next.
        """
        hop = self.frames.hop
        share = (torch.arange(hop, device=values.device) + 0.5) / hop
        padded = F.pad(values[:, None], (2, 2), "replicate")[:, 0, :, None]
        return torch.lerp(padded[:, :-1], padded[:, 1:], share).flatten(1)


def _bounded(gain: Tensor) -> Tensor:
    """Smoothly limited to `_LOUDEST`; a gain above it keeps a gradient that brings it back."""
    return _LOUDEST - F.softplus(_LOUDEST - gain)


def pulses_at(turn: Tensor, hertz: Tensor, rate: int) -> Tensor:
    """Pulses of power 1 where `turn` (-0.5 to 0.5) is 0: all harmonics, equally loud."""
    phase = math.pi * turn
    count = (_TOP * rate / hertz).floor()
    sine = phase.sin()
    still = sine.abs() < 1e-4
    ratio = ((2 * count + 1) * phase).sin() / torch.where(still, torch.ones_like(sine), sine)
    train = (torch.where(still, 2 * count + 1, ratio) - 1) / 2
    return train * (2 * hertz / (_TOP * rate)).sqrt()

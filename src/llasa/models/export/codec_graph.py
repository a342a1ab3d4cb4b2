"""The codec for ONNX graphs, with Fourier transforms as products of real matrices."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llasa.codec.features import (
    FFT,
    MEL_FLOOR,
    PREEMPHASIS,
    SCALE,
    SHIFT,
    WINDOW,
    kaldi_filters,
    stacked,
)
from llasa.codec.heads.harmonic import HarmonicHead, pulses_at
from llasa.codec.heads.istft import OVERLAP, ISTFTHead, SpectralFrames
from llasa.codec.layers import FrameNorm
from llasa.codec.model import CodecModel
from llasa.codec.snake import SnakeBeta, convolutions, extend


class _Norm(nn.Module):
    """An RMSNorm in operations that every ONNX opset has."""

    def __init__(self, norm: nn.RMSNorm) -> None:
        super().__init__()
        self.weight, self.eps = norm.weight, norm.eps or torch.finfo(torch.float32).eps

    def forward(self, x: Tensor) -> Tensor:
        return x * (x.square().mean(-1, keepdim=True) + self.eps).rsqrt() * self.weight


class _FrameNorm(nn.Module):
    """GroupNorm of every frame by itself; (batch, channels, frames)."""

    def __init__(self, norm: FrameNorm) -> None:
        super().__init__()
        self.groups, self.eps = norm.num_groups, norm.eps
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, x: Tensor) -> Tensor:
        grouped = x.reshape(1, self.groups, -1, x.shape[2])
        centred = grouped - grouped.mean(2, keepdim=True)
        normed = centred * (centred.square().mean(2, keepdim=True) + self.eps).rsqrt()
        return normed.reshape(x.shape) * self.weight[:, None] + self.bias[:, None]


class _Snake(nn.Module):
    """SnakeBeta as two convolutions."""

    def __init__(self, snake: SnakeBeta) -> None:
        super().__init__()
        up, down = convolutions()
        self.register_buffer("up", up)
        self.register_buffer("down", down)
        self.register_buffer("scale", snake.alpha.exp()[:, None, None])
        self.register_buffer("inverse", 1 / (snake.beta.exp()[:, None, None] + 1e-9))
        self.up: Tensor
        self.down: Tensor
        self.scale: Tensor
        self.inverse: Tensor

    def forward(self, x: Tensor) -> Tensor:
        alone = x.reshape(-1, 1, x.shape[2])  # channels as a batch, as all have the same filter
        both = F.conv1d(extend(alone[..., :1], alone, alone[..., -1:]), self.up)
        both = both + (both * self.scale).sin().square() * self.inverse
        first, last = both[:, :1, :1], both[:, 1:, -1:]
        return F.conv1d(extend(first, both, last), self.down).reshape(x.shape)


def exportable(model: CodecModel) -> CodecModel:
    """A copy in operations that every ONNX opset has."""
    model = copy.deepcopy(model)
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, FrameNorm):
                setattr(module, name, _FrameNorm(child))
            elif isinstance(child, SnakeBeta):
                setattr(module, name, _Snake(child))
            elif isinstance(child, nn.RMSNorm):
                setattr(module, name, _Norm(child))
    return model


class _Banks(nn.Module):
    """`fbank` with the transform as a matrix, in double precision as there."""

    def __init__(self) -> None:
        super().__init__()
        window = torch.hann_window(WINDOW, periodic=False, dtype=torch.float64).pow(0.85)
        real, imaginary = fourier(FFT)
        self.register_buffer(
            "transform", torch.cat([real, imaginary], 1)[:WINDOW] * window[:, None]
        )
        self.register_buffer("filters", kaldi_filters())
        self.transform: Tensor
        self.filters: Tensor

    def forward(self, waveform: Tensor) -> Tensor:
        count = (waveform.shape[1] - WINDOW) // SHIFT + 1
        places = torch.arange(count)[:, None] * SHIFT + torch.arange(WINDOW)
        frames = waveform.double()[:, places] * SCALE
        frames = frames - frames.mean(-1, keepdim=True)
        previous = torch.cat([frames[..., :1], frames[..., :-1]], -1)
        real, imaginary = ((frames - PREEMPHASIS * previous) @ self.transform).chunk(2, -1)
        mel = (real * real + imaginary * imaginary) @ self.filters
        return mel.clamp_min(MEL_FLOOR).log().float()


class EncoderGraph(nn.Module):
    """Waveform (1, samples) at 16 kHz, whole frames, to codes (1, frames)."""

    def __init__(self, model: CodecModel) -> None:
        super().__init__()
        self.model, self.banks = model, _Banks()

    def forward(self, waveform: Tensor) -> Tensor:
        hop = self.model.config.input_hop
        banks = self.banks(F.pad(waveform, (SHIFT, SHIFT)))
        features = stacked(banks, waveform.shape[1] // hop, hop)
        latents = self.model.latents(waveform, self.model.semantic(features))
        codes: Tensor = self.model.quantizer(latents)[1]
        return codes


class SpeakerGraph(nn.Module):
    """Speech (1, samples) at 16 kHz, at least 400 samples, to a speaker embedding (1, size)."""

    def __init__(self, model: CodecModel) -> None:
        super().__init__()
        assert model.speaker_encoder is not None
        self.encoder, self.banks = model.speaker_encoder, _Banks()

    def forward(self, waveform: Tensor) -> Tensor:
        loose = self.encoder.loose(self.banks(waveform))
        return loose * (loose.square().mean(-1, keepdim=True) + 1e-7).rsqrt()


class _Frames(nn.Module):
    """`SpectralFrames` with real matrices; a spectrum is its real and its imaginary part."""

    def __init__(self, frames: SpectralFrames) -> None:
        super().__init__()
        self.hop, self.margin, self.size = frames.hop, frames.margin, frames.n_fft
        window = frames.window.double()
        real, imaginary = fourier(self.size)
        twice = torch.full((real.shape[1],), 2.0, dtype=torch.float64)
        twice[0] = twice[-1] = 1.0
        back = torch.cat([real * twice, imaginary * twice], 1).T / self.size * window
        there = torch.cat([real, imaginary], 1) * window[:, None]
        self.register_buffer("there", there.float())
        self.register_buffer("back", back.float())
        self.register_buffer("power", frames.window.square())
        self.there: Tensor
        self.back: Tensor
        self.power: Tensor

    def analyse(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        hops = audio.reshape(1, -1, self.hop)
        count = hops.shape[-2] - OVERLAP + 1
        frames = torch.cat([hops[..., i : i + count, :] for i in range(OVERLAP)], -1)
        real, imaginary = (frames @ self.there).chunk(2, -1)
        return real, imaginary

    def synthesise(self, real: Tensor, imaginary: Tensor) -> Tensor:
        frames = torch.cat([real, imaginary], -1) @ self.back
        envelope = self.power.expand(1, frames.shape[1], self.size)
        return self._overlap_add(frames) / self._overlap_add(envelope)

    def _overlap_add(self, frames: Tensor) -> Tensor:
        pieces = frames.reshape(1, -1, OVERLAP, self.hop).unbind(2)
        last = OVERLAP - 1
        shifted = [F.pad(piece, (0, 0, i, last - i)) for i, piece in enumerate(pieces)]
        audio = torch.stack(shifted).sum(0)
        return audio.reshape(1, -1)[:, self.margin : -self.margin]


class _Istft(nn.Module):
    def __init__(self, head: ISTFTHead) -> None:
        super().__init__()
        self.head, self.frames = head, _Frames(head.frames)

    def forward(self, x: Tensor) -> Tensor:
        magnitude, phase = self.head.polar(x)
        return self.frames.synthesise(magnitude * phase.cos(), magnitude * phase.sin())


class _Harmonic(nn.Module):
    """`HarmonicHead.render`; see there."""

    def __init__(self, head: HarmonicHead) -> None:
        super().__init__()
        self.head, self.frames = head, _Frames(head.frames)

    def forward(
        self, x: Tensor, at: Tensor, stop: Tensor, frames: Tensor, cycles: Tensor
    ) -> tuple[Tensor, Tensor]:
        head, margin, hop = self.head, self.frames.margin, self.head.hop
        spectra = head.spectra(x)
        pitch = spectra.pitch()
        hertz, voiced = head.by_sample(pitch.hertz), head.by_sample(pitch.voiced)
        passed = (hertz.double() / head.rate).cumsum(-1)
        passed = passed - passed.index_select(1, at * hop + margin - 1) + cycles
        turn = (passed - passed.round()).float()
        real, imaginary = self.frames.analyse(pulses_at(turn, hertz, head.rate) * voiced)
        places = torch.arange(hertz.shape[1]) + ((frames - at) * hop - margin)
        noise = self.frames.analyse(head.noise[places % len(head.noise)][None])
        loud, hiss = spectra.harmonics.exp(), spectra.noise.exp()
        cos, sin = loud * spectra.phase.cos(), loud * spectra.phase.sin()
        sound = self.frames.synthesise(
            real * cos - imaginary * sin + noise[0] * hiss,
            real * sin + imaginary * cos + noise[1] * hiss,
        )
        return sound, passed.index_select(1, stop * hop + margin - 1)[0]


class DecoderGraph(nn.Module):
    """Codes (1, n) to a waveform (1, n * hop).

    A codec with a speaker encoder also takes an `embedding` (1, size), zeros for none. One with a
    harmonic head takes the phase at frame `at`: frames and cycles (float64) since the sound
    began; and gives the cycles at frame `stop`. All of these are (1,).
    """

    def __init__(self, model: CodecModel) -> None:
        super().__init__()
        self.quantizer, self.decoder = model.quantizer, model.decoder
        head = model.decoder.head
        self.harmonic = isinstance(head, HarmonicHead)
        self.head = _Harmonic(head) if isinstance(head, HarmonicHead) else _Istft(head)

    def forward(self, codes: Tensor, *more: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        conditioned = self.decoder.conditioning is not None
        embedding, state = (more[0], more[1:]) if conditioned else (None, more)
        return self.head(self.decoder.hidden(self.quantizer.lookup(codes), embedding), *state)


def fourier(size: int) -> tuple[Tensor, Tensor]:
    """Real and imaginary part of the matrix of a real transform, float64 (size, size // 2 + 1)."""
    places = torch.arange(size, dtype=torch.float64)
    angle = 2 * math.pi / size * (places[:, None] * places[: size // 2 + 1] % size)
    return angle.cos(), -angle.sin()

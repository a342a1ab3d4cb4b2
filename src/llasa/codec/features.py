"""Kaldi-style filter-bank features of the semantic branch, batched, in torch."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from llasa.codec.config import SAMPLE_RATE

WINDOW, SHIFT, FFT, MELS = 400, 160, 512, 80
PREEMPHASIS, MEL_FLOOR, SCALE = 0.97, 1.192092955078125e-07, 2.0**15


@lru_cache(maxsize=1)
@torch.inference_mode(False)  # its result is kept, for training too
def _mel_filters() -> Tensor:
    """Triangles on the Kaldi mel scale, 20 Hz to 8 kHz, shape (FFT // 2 + 1, MELS)."""

    def mel(hertz: Tensor) -> Tensor:
        return 1127.0 * torch.log1p(hertz / 700.0)

    edges = mel(torch.tensor([20.0, SAMPLE_RATE / 2], dtype=torch.float64))
    points = torch.linspace(float(edges[0]), float(edges[1]), MELS + 2, dtype=torch.float64)
    bins = mel(torch.arange(FFT // 2 + 1, dtype=torch.float64) * SAMPLE_RATE / FFT)[:, None]
    left, centre, right = points[:-2], points[1:-1], points[2:]
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    return torch.minimum(rising, falling).clamp_min(0)


def fbank(waveform: Tensor) -> Tensor:
    """Log mel filter banks as Kaldi computes them (25 ms povey window, 10 ms shift, no dither).

    In double precision, as the original extractor: the log of a quiet band beside a loud one is
    otherwise rounding noise. Takes (batch, samples) at 16 kHz in [-1, 1], at least 400 samples, and
    gives (batch, frames, 80), the natural log of mel energies; only whole windows count.
    """
    device = waveform.device
    if device.type == "mps":  # has no double precision
        waveform = waveform.cpu()
    frames = (waveform.double() * SCALE).unfold(-1, WINDOW, SHIFT)
    frames = frames - frames.mean(-1, keepdim=True)
    previous = torch.cat([frames[..., :1], frames[..., :-1]], -1)
    frames = frames - PREEMPHASIS * previous
    window = torch.hann_window(WINDOW, periodic=False, dtype=torch.float64).pow(0.85)
    window = window.to(waveform.device)
    power = torch.fft.rfft(frames * window, n=FFT).abs().square()
    mel = power @ _mel_filters().to(waveform.device)
    return mel.clamp_min(MEL_FLOOR).log().float().to(device)


def semantic_features(waveform: Tensor, hop: int = 320) -> Tensor:
    """Input of the semantic encoder: normalised filter banks, one vector per codec frame.

    160 zeros go on each side, every mel bin is normalised over the clip (unbiased variance), and
    the ``hop // 160`` frames under one codec frame are stacked: (batch, samples), a multiple of
    ``hop``, to (batch, samples // hop, 80 * hop // 160).
    """
    padded = torch.nn.functional.pad(waveform, (SHIFT, SHIFT))
    mel = fbank(padded)
    mean = mel.mean(1, keepdim=True)
    variance = mel.var(1, keepdim=True, unbiased=True)
    mel = (mel - mean) / (variance + 1e-7).sqrt()
    stack = hop // SHIFT
    frames = waveform.shape[-1] // hop
    return mel[:, : frames * stack].reshape(mel.shape[0], frames, stack * MELS)

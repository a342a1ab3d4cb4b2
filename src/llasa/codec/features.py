"""Kaldi-style filter-bank features of the semantic branch, batched, in torch."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from llasa.audio.audio import SPEECH_RATE
from llasa.audio.mel import mel_filters
from llasa.codec.inputs import WINDOW as WINDOW

SHIFT, FFT, MELS = 160, 512, 80
PREEMPHASIS, MEL_FLOOR, SCALE = 0.97, 1.192092955078125e-07, 2.0**15


@lru_cache(maxsize=1)
@torch.inference_mode(False)  # its result is kept, for training too
def kaldi_filters() -> Tensor:
    """Mel filters (FFT // 2 + 1, MELS), float64."""
    return torch.from_numpy(mel_filters(SPEECH_RATE, FFT, MELS, "kaldi"))


def fbank(waveform: Tensor, window: Literal["povey", "hamming"] = "povey") -> Tensor:
    """Log mel filter banks as Kaldi computes them (25 ms window, 10 ms shift, no dither).

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
    if window == "povey":
        shape = torch.hann_window(WINDOW, periodic=False, dtype=torch.float64).pow(0.85)
    else:
        shape = torch.hamming_window(WINDOW, periodic=False, dtype=torch.float64)
    power = torch.fft.rfft(frames * shape.to(waveform.device), n=FFT).abs().square()
    mel = power @ kaldi_filters().to(waveform.device)
    return mel.clamp_min(MEL_FLOOR).log().float().to(device)


def semantic_features(waveform: Tensor, hop: int = 320) -> Tensor:
    """Input of the semantic encoder: normalised filter banks, one vector per codec frame.

    160 zeros go on each side, every mel bin is normalised over the clip (unbiased variance), and
    the ``hop // 160`` frames under one codec frame are stacked: (batch, samples), a multiple of
    ``hop``, to (batch, samples // hop, 80 * hop // 160).
    """
    padded = torch.nn.functional.pad(waveform, (SHIFT, SHIFT))
    return stacked(fbank(padded), waveform.shape[-1] // hop, hop)


def stacked(mel: Tensor, frames: int, hop: int) -> Tensor:
    """Filter banks, normalised over the clip and stacked by codec frame; see above."""
    mean = mel.mean(1, keepdim=True)
    variance = mel.var(1, keepdim=True, unbiased=True)
    mel = (mel - mean) / (variance + 1e-7).sqrt()
    stack = hop // SHIFT
    return mel[:, : frames * stack].reshape(mel.shape[0], frames, stack * MELS)

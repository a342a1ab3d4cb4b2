"""Mel filter banks and spectrograms."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from llasa.audio.audio import SPEECH_RATE, Samples

HOP = 160

Spectrogram = NDArray[np.float32]
Filters = NDArray[np.floating[Any]]
Scale = Literal["slaney", "kaldi"]


@lru_cache(maxsize=32)
def mel_filters(rate: int, n_fft: int, mels: int, scale: Scale = "slaney") -> Filters:
    """Triangles over the bins of a Fourier transform: (n_fft // 2 + 1, mels).

    `slaney` (librosa, Whisper): from 0 Hz, straight over hertz, each of unit area. `kaldi`: from
    20 Hz, straight over mels, each of height 1. Both go up to half the `rate`.
    """
    bins, top = np.fft.rfftfreq(n_fft, 1 / rate)[:, None], rate / 2
    if scale == "kaldi":
        lowest, highest = _kaldi_mel(np.array([20.0, top]))
        return _triangles(_kaldi_mel(bins), np.linspace(lowest, highest, mels + 2))
    edges = _slaney_hertz(np.linspace(0, 15 + 27 * np.log(top / 1000) / np.log(6.4), mels + 2))
    return _triangles(bins, edges) * 2 / (edges[2:] - edges[:-2])


def _triangles(bins: Filters, edges: Filters) -> Filters:
    """Of height 1, from each edge to the next but one."""
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    return np.minimum(rising, falling).clip(0)


def _kaldi_mel(hertz: Filters) -> Filters:
    return 1127.0 * np.log1p(hertz / 700.0)


def _slaney_hertz(mel: Filters) -> Filters:
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))


def mel_power(samples: Samples, n_fft: int, mels: int, reflect: bool = False) -> Spectrogram:
    """Power in mel bands every 10 ms, Hann window, centred frames: (1 + n // 160, mels).

    Both ends are padded with zeros, or mirrored with `reflect`.
    """
    half = n_fft // 2
    padded = np.pad(samples, (half, half), "reflect" if reflect else "constant")
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::HOP]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    spectrum = np.fft.rfft(frames * window.astype(np.float32), axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    return (power @ mel_filters(SPEECH_RATE, n_fft, mels)).astype(np.float32)


def whisper_log_mel(samples: Samples, seconds: float, mels: int = 80) -> Spectrogram:
    """Whisper's input for one clip padded or cut to `seconds`: (mels, 100 * seconds)."""
    padded = np.zeros(round(seconds * SPEECH_RATE), np.float32)
    padded[: len(samples)] = samples[: len(padded)]
    power = mel_power(padded, 400, mels, reflect=True)[:-1]
    log = np.log10(np.maximum(power, 1e-10)).T
    return np.ascontiguousarray((np.maximum(log, log.max() - 8.0) + 4.0) / 4.0)

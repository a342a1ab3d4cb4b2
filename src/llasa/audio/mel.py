"""Mel spectrograms as the models were trained on them (librosa's and Whisper's conventions)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from llasa.audio.audio import Samples
from llasa.verifiers.base import RATE

HOP = 160

Spectrogram = NDArray[np.float32]


@lru_cache(maxsize=8)
def mel_filters(n_fft: int, mels: int) -> NDArray[np.float64]:
    """Triangles on Slaney's mel scale, each of unit area, 0 to 8 kHz: (n_fft // 2 + 1, mels)."""

    def to_hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))

    top = 15 + 27 * np.log(RATE / 2000) / np.log(6.4)
    points = to_hertz(np.linspace(0, top, mels + 2))
    left, centre, right = points[:-2], points[1:-1], points[2:]
    bins = np.fft.rfftfreq(n_fft, 1 / RATE)[:, None]
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    return np.minimum(rising, falling).clip(0) * 2 / (right - left)


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
    return (power @ mel_filters(n_fft, mels)).astype(np.float32)


def whisper_log_mel(samples: Samples, seconds: float, mels: int = 80) -> Spectrogram:
    """Whisper's input for one clip padded or cut to `seconds`: (mels, 100 * seconds)."""
    padded = np.zeros(round(seconds * RATE), np.float32)
    padded[: len(samples)] = samples[: len(padded)]
    power = mel_power(padded, 400, mels, reflect=True)[:-1]
    log = np.log10(np.maximum(power, 1e-10)).T
    return np.ascontiguousarray((np.maximum(log, log.max() - 8.0) + 4.0) / 4.0)

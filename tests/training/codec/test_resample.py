"""The resampler that gradients pass through, against soxr."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import soxr
import torch

from llasa.codec.config import CodecConfig
from llasa.training.codec.resample import Resampler, to_input_rate


@pytest.mark.parametrize("old", [24_000, 48_000, 22_000, 8_000])
def test_like_soxr(old: int) -> None:
    noise = np.random.default_rng(0).normal(size=old)
    spectrum = np.fft.rfft(noise)
    spectrum[int(0.85 * min(old, 16_000) / 2) :] = 0  # the edges of the filters differ
    sound = np.fft.irfft(spectrum).astype(np.float32)
    found = Resampler(old, 16_000)(torch.from_numpy(sound)[None])[0].numpy()
    expected = soxr.resample(sound, old, 16_000)
    assert len(found) == len(expected) == 16_000
    error = (found - expected)[1000:-1000]
    assert np.sqrt(np.mean(error**2)) < 1e-3 * expected.std()


def test_what_lies_above_is_silent() -> None:
    seconds = torch.arange(24_000, dtype=torch.float64) / 24_000
    sound = torch.sin(2 * torch.pi * 9_000 * seconds).float()[None]
    assert Resampler(24_000, 16_000)(sound)[0, 1000:-1000].abs().max() < 1e-4


@pytest.mark.parametrize("count", [1, 479, 480, 481])
def test_lengths(count: int) -> None:
    assert Resampler(24_000, 16_000)(torch.zeros(2, count)).shape == (2, -(-count * 2 // 3))


def test_gradients_pass() -> None:
    sound = torch.randn(2, 4800, dtype=torch.float64, requires_grad=True)
    Resampler(24_000, 16_000)(sound).square().sum().backward()
    assert sound.grad is not None
    assert (sound.grad.abs() > 0).all()


def test_equal_rates_need_none() -> None:
    sound = torch.randn(1, 100)
    assert to_input_rate(CodecConfig())(sound) is sound
    assert to_input_rate(replace(CodecConfig(), output_rate=24_000))(sound).shape == (1, 67)

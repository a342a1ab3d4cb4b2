"""Losses against hand numbers and an independent mel spectrogram."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
import torch

from llasa.base.errors import LlasaError
from llasa.training.codec.losses import (
    MelLoss,
    adversarial_loss,
    discriminator_loss,
    feature_matching_loss,
    spread_loss,
)

WINDOWS, BINS = (32, 64, 128, 256, 512, 1024, 2048), (5, 10, 20, 40, 80, 160, 320)


def noises() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    loud = torch.randn(2, 8000, generator=generator) * 0.3
    quiet = torch.randn(2, 8000, generator=generator) * 0.01
    return loud, quiet


def log_mel(audio: np.ndarray, size: int, filters: np.ndarray) -> np.ndarray:
    """Magnitudes by scipy, (bins, frames)."""
    padded = np.pad(audio.astype(np.float64), size // 2, mode="reflect")
    window = scipy.signal.get_window("hann", size)
    starts = range(0, len(padded) - size + 1, size // 4)
    frames = np.stack([padded[start : start + size] * window for start in starts])
    magnitude = np.abs(np.fft.rfft(frames))
    return np.log10(np.maximum(magnitude @ filters, 1e-5)).T


@pytest.mark.oracle
def test_mel_loss_against_scipy_and_transformers() -> None:
    filters = pytest.importorskip("transformers.audio_utils").mel_filter_bank
    loud, quiet = noises()
    expected = 0.0
    for size, bins in zip(WINDOWS, BINS, strict=True):
        bank = filters(size // 2 + 1, bins, 0.0, 8000.0, 16_000, norm="slaney", mel_scale="slaney")
        distances = [
            np.abs(log_mel(a, size, bank) - log_mel(b, size, bank)).mean()
            for a, b in zip(loud.numpy(), quiet.numpy(), strict=True)
        ]
        expected += float(np.mean(distances))
    loss = MelLoss(16_000, WINDOWS, BINS)
    assert float(loss(loud, quiet)) == pytest.approx(expected, rel=1e-3)
    assert float(loss(loud, loud)) == 0.0


def test_mel_loss_has_finite_gradients_in_silence() -> None:
    silence = torch.zeros(1, 4000, requires_grad=True)
    loss = MelLoss(16_000, WINDOWS, BINS)(silence, noises()[0][:1, :4000])
    loss.backward()
    assert silence.grad is not None
    assert torch.isfinite(silence.grad).all()


def test_mel_loss_stays_in_single_precision() -> None:
    loud, quiet = noises()
    loss = MelLoss(16_000, (256,), (40,))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = loss(loud, quiet)
    assert mixed == loss(loud, quiet)


def test_mel_settings_must_match() -> None:
    with pytest.raises(LlasaError, match="1 windows but 2 numbers"):
        MelLoss(16_000, (256,), (40, 80))


def test_gan_losses_by_hand() -> None:
    """Least squares, means over a map, sums over networks and maps."""
    real = [torch.tensor([1.0, 3.0]), torch.tensor([[0.0]])]
    fake = [torch.tensor([0.0, 2.0]), torch.tensor([[-1.0]])]
    assert float(discriminator_loss(real, fake)) == (0 + 4) / 2 + (0 + 4) / 2 + 1 + 1
    assert float(adversarial_loss(fake)) == (1 + 1) / 2 + 4
    maps = [[torch.tensor([1.0, 2.0]), torch.tensor([3.0]), torch.tensor([100.0])]]
    others = [[torch.tensor([0.0, 0.0]), torch.tensor([5.0]), torch.tensor([0.0])]]
    assert float(feature_matching_loss(maps, others)) == 1.5 + 2.0


def test_feature_matching_leaves_the_real_side_alone() -> None:
    real, fake = torch.ones(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    feature_matching_loss([[real, real]], [[fake, fake]]).backward()
    assert real.grad is None
    assert fake.grad is not None


def test_spread_loss() -> None:
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]) * 0.75**0.5
    assert float(spread_loss(signs[None])) == pytest.approx(0, abs=1e-6)
    # Mean (2, 0) adds 2; covariance diag(4, 1) adds (3² + 0) / 2.
    moved = signs * torch.tensor([2.0, 1.0]) + torch.tensor([2.0, 0.0])
    assert float(spread_loss(moved[None])) == pytest.approx(2 + 4.5, rel=1e-5)

"""Discriminators: sizes of the release and shapes of the feature maps."""

from __future__ import annotations

import pytest
import torch

from llasa.training.codec.discriminators import Discriminators, DiscriminatorSettings


def millions(module: torch.nn.Module) -> float:
    """Parameters; weight norm's lengths count, as in the release."""
    return sum(p.numel() for p in module.parameters()) / 1e6


def test_released_sizes() -> None:
    networks = Discriminators(DiscriminatorSettings())
    assert millions(networks.periods) == pytest.approx(10.28, abs=0.005)
    assert millions(networks.spectral) == pytest.approx(18.10, abs=0.005)
    assert len(networks.periods) == 5
    assert len(networks.spectral) == 8


def test_shapes() -> None:
    settings = DiscriminatorSettings((2, 3), 2, 8, (78, 126), 2)
    maps = Discriminators(settings)(torch.randn(3, 1601))
    assert [len(m) for m in maps] == [6, 6, 6, 6]
    # (batch, channels, rows, period): 1601 samples are padded to 801 rows of 2, or 534 of 3.
    assert [tuple(m.shape) for m in maps[0]] == [
        (3, 2, 267, 2),
        (3, 8, 89, 2),
        (3, 8, 30, 2),
        (3, 8, 10, 2),
        (3, 8, 10, 2),
        (3, 1, 11, 2),
    ]
    assert maps[1][0].shape == (3, 2, 178, 3)
    # (batch, channels, bins, frames): 40 bins, 1601 // 39 + 1 frames.
    assert [tuple(m.shape[1:]) for m in maps[2]] == [
        (2, 20, 21),
        (4, 10, 11),
        (8, 5, 6),
        (16, 3, 3),
        (32, 3, 3),
        (1, 3, 3),
    ]


def test_gradient_reaches_the_audio_and_silence_is_fine() -> None:
    audio = torch.zeros(1, 1600, requires_grad=True)
    settings = DiscriminatorSettings((2,), 2, 4, (78,), 2)
    for maps in Discriminators(settings)(audio):
        maps[-1].sum().backward(retain_graph=True)
    assert audio.grad is not None
    assert torch.isfinite(audio.grad).all()


def test_logarithms_show_what_is_quiet() -> None:
    plain, log = (
        Discriminators(DiscriminatorSettings((), 2, 4, (256,), 2, log=log)) for log in (False, True)
    )
    log.load_state_dict(plain.state_dict())
    torch.manual_seed(0)
    tone, hiss = (torch.arange(2560) / 4).sin()[None], 1e-3 * torch.randn(1, 2560)
    changes = []
    with torch.no_grad():
        for network in (plain, log):
            (before,), (after,) = network(tone), network(tone + hiss)
            changes.append(float((after[0] - before[0]).square().mean() / before[0].var()))
    assert changes[0] < 1e-4 < 1e-2 < changes[1]
    (maps,) = log(tone)
    assert maps[0].shape == (1, 2, 65, 21)  # 129 bins, 2560 // 64 + 1 frames

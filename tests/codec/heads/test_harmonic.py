"""The head of harmonics and noise, against sums of cosines and the noise itself."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from llasa.base.errors import LlasaError
from llasa.codec.checkpoints.transformers import to_transformers
from llasa.codec.codec import Codec
from llasa.codec.config import CodecConfig
from llasa.codec.heads.harmonic import (
    HarmonicHead,
    Pitch,
    Spectra,
)
from llasa.codec.protocol import PhaseState
from llasa.training.codec.losses import mean_f0_loss, pitch_loss
from tests.tiny_model import CODEC, tiny_codec

RATE, HOP, FRAMES = 16_000, 320, 40
SILENT = -50.0


@pytest.fixture
def head() -> HarmonicHead:
    torch.manual_seed(0)
    return HarmonicHead(16, HOP, RATE)


def spectra(head: HarmonicHead, harmonics: float, noise: float) -> Spectra:
    count = 2 * FRAMES
    flat = torch.zeros(1, count, head.bins)
    empty = torch.zeros(1, count)
    return Spectra(flat + harmonics, flat, flat + noise, empty, empty)


def pitch(hertz: NDArray[np.float64] | float, voiced: float = 1.0) -> Pitch:
    curve = torch.full((1, 2 * FRAMES), 0.0) + torch.as_tensor(hertz, dtype=torch.float32)
    return Pitch(curve, torch.full((1, 2 * FRAMES), voiced))


def cosines(cycles: NDArray[np.float64], hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    """All harmonics below 7,600 Hz, one by one, at power 1."""
    count = np.floor(0.475 * RATE / hertz)
    total = np.zeros(len(cycles))
    for number in range(1, int(count.max()) + 1):
        total += np.cos(2 * math.pi * number * cycles) * (number <= count)
    return total * np.sqrt(2 * hertz / (0.475 * RATE))


@pytest.mark.parametrize("hertz", [90.0, 200.0, 411.3])
def test_a_flat_filter_gives_all_harmonics(head: HarmonicHead, hertz: float) -> None:
    sound, borders = head.render(spectra(head, 0.0, SILENT), pitch(hertz))
    count = FRAMES * HOP
    cycles = np.arange(1, count + 1) * hertz / RATE
    expected = cosines(cycles, np.full(count, hertz))
    np.testing.assert_allclose(sound[0].numpy(), expected, atol=5e-3)
    assert np.sqrt(np.mean(expected**2)) == pytest.approx(1, abs=0.05)
    np.testing.assert_allclose(borders[0], np.arange(FRAMES + 1) * HOP * hertz / RATE, rtol=1e-6)


def test_a_gliding_pitch(head: HarmonicHead) -> None:
    curve = np.linspace(150, 200, 2 * FRAMES)
    sound, _ = head.render(spectra(head, 0.0, SILENT), pitch(curve))
    middles = (np.arange(2 * FRAMES) + 0.5) * HOP / 2
    by_sample = np.interp(np.arange(FRAMES * HOP) + 0.5, middles, curve)
    expected = cosines(np.cumsum(by_sample) / RATE, by_sample)
    error = sound[0].numpy() - expected
    assert np.sqrt(np.mean(error**2)) < 0.02


def test_a_flat_filter_gives_the_noise(head: HarmonicHead) -> None:
    sound, _ = head.render(spectra(head, SILENT, math.log(0.5)), pitch(100.0))
    np.testing.assert_allclose(sound[0], 0.5 * head.noise[: FRAMES * HOP], atol=1e-5)
    later, _ = head.render(spectra(head, SILENT, 0.0), pitch(100.0), phase=PhaseState(1000, 0.0))
    places = (torch.arange(FRAMES * HOP) + 1000 * HOP) % len(head.noise)
    np.testing.assert_allclose(later[0], head.noise[places], atol=1e-5)


def test_nothing_voiced_no_pulses(head: HarmonicHead) -> None:
    sound, _ = head.render(spectra(head, 0.0, SILENT), pitch(100.0, voiced=0.0))
    assert sound.abs().max() < 1e-6


def test_what_untrained_weights_say(head: HarmonicHead) -> None:
    said = head.spectra(torch.randn(2, FRAMES, 16))
    assert said.harmonics.shape == said.phase.shape == said.noise.shape == (2, 80, head.bins)
    heard = said.pitch()
    assert heard.hertz.shape == heard.voiced.shape == (2, 80)
    assert ((heard.hertz > 120) & (heard.hertz < 270)).all()
    assert set(heard.voiced.unique().tolist()) <= {0.0, 1.0}


def test_pitch_loss(head: HarmonicHead) -> None:
    said = spectra(head, 0.0, 0.0)
    sure = said._replace(voiced=torch.full((1, 80), 30.0), log_hertz=torch.full((1, 80), 5.0))
    right = Pitch(torch.full((1, 80), math.exp(5.0)), torch.ones(1, 80))
    assert pitch_loss(sure, right) == pytest.approx(0, abs=1e-4)
    octave = right._replace(hertz=2 * right.hertz)
    assert pitch_loss(sure, octave) == pytest.approx(10, abs=1e-3)
    silence = octave._replace(voiced=torch.zeros(1, 80))
    assert pitch_loss(sure, silence) == pytest.approx(30, abs=1e-3)


def test_gradients_reach_all_that_is_said(head: HarmonicHead) -> None:
    x = torch.randn(1, FRAMES, 16)
    said = head.spectra(x)
    heard = pitch(130.0)
    sound, _ = head.render(said, heard)
    (sound.square().sum() + pitch_loss(said, heard)).backward()
    slope = head.linear.weight.grad
    assert slope is not None
    assert slope.isfinite().all()
    assert (slope.abs().sum(1) > 0).all()


def test_sound_goes_on_by_an_phase() -> None:
    """Codes decoded in two parts, the second with all that came before it, give the whole."""
    config = replace(CODEC, decoder_head="harmonic", decoder_window=4, time_rotary=True)
    codec: Codec = tiny_codec(config=config)
    codes = np.random.default_rng(0).integers(0, 64, 60)
    (whole,) = codec.decode([codes])
    first, there = codec.decode_part(codes, 0, 50)
    np.testing.assert_array_equal(first, whole)
    rest, then = codec.decode_part(codes, 50, 55, there, context=0.9)
    np.testing.assert_allclose(rest, whole[50 * HOP :], atol=1e-4)  # rounding moves the phase
    assert (there.frames, then.frames) == (50, 55)
    other, _ = codec.decode_part(codes, 50, 55, PhaseState(), context=0.9)
    assert np.abs(other - rest).max() > 1e-3


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (0, 11), (6, 5), (11, 11)])
def test_parts_that_cannot_be(start: int, stop: int) -> None:
    codec: Codec = tiny_codec()
    with pytest.raises(LlasaError, match="A part of 10 codes cannot go from"):
        codec.decode_part(np.zeros(10, np.int64), start, stop)


def test_what_is_too_loud_or_too_high_is_bounded_and_can_come_back(head: HarmonicHead) -> None:
    with torch.no_grad():
        head.linear.bias.fill_(20.0)
    said = head.spectra(torch.zeros(1, FRAMES, 16))
    assert said.harmonics.max() <= 6
    assert said.pitch().hertz.max() <= 1000
    target = pitch(200.0)
    pitch_loss(said, target).backward()
    assert (head.linear.bias.grad.view(2, -1)[:, -2] > 0).all()


def test_the_level_of_a_voice(head: HarmonicHead) -> None:
    """Only what is voiced counts, and a tenth of an octave is nothing."""
    said = spectra(head, 0.0, SILENT)
    voiced = torch.where(torch.arange(2 * FRAMES) < FRAMES, 50.0, -50.0)[None]
    hertz = torch.where(voiced > 0, 200.0, 999.0).log()
    said = said._replace(log_hertz=hertz, voiced=voiced)
    levels = torch.tensor([200.0, 212.0, 100.0, 800.0]).log()
    off = [mean_f0_loss(said, level[None]).item() for level in levels]
    assert off == pytest.approx([0, 0, 9, 19], abs=1e-4)


def test_only_our_layout_holds_it() -> None:
    with pytest.raises(LlasaError, match="decoder_head is 'harmonic' where it needs 'istft'"):
        to_transformers(CodecConfig(decoder_head="harmonic"), {})


def test_an_unknown_head() -> None:
    with pytest.raises(LlasaError, match="decoder_head"):
        CodecConfig(decoder_head="organ")

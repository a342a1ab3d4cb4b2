"""STOI and PESQ: perfect copies, order under noise, and what has no score."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from llasa.audio.audio import read_audio
from llasa.audio.fidelity import pesq, stoi
from llasa.base.errors import LlasaError

RATE = 16_000


@pytest.fixture(scope="module")
def clip(speech_data: Path) -> np.ndarray:
    return read_audio(speech_data / "librispeech/1688-142285-0002.flac").mono().samples


def noisy(clip: np.ndarray, level: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, level, len(clip))
    return (clip + noise).astype(np.float32)


def test_a_copy_is_perfect(clip: np.ndarray) -> None:
    pytest.importorskip("pystoi")
    pytest.importorskip("pesq")
    assert stoi(clip, clip, RATE) == pytest.approx(1.0)
    assert pesq(clip, clip, RATE, "wb") == pytest.approx(4.644, abs=1e-3)
    assert pesq(clip, clip, RATE, "nb") == pytest.approx(4.549, abs=1e-3)


def test_noise_lowers_every_score(clip: np.ndarray) -> None:
    pytest.importorskip("pystoi")
    pytest.importorskip("pesq")
    for score in (
        lambda fake: stoi(clip, fake, RATE),
        lambda fake: pesq(clip, fake, RATE, "wb"),
        lambda fake: pesq(clip, fake, RATE, "nb"),
    ):
        values = [score(noisy(clip, level)) for level in (0.001, 0.01, 0.1)]
        assert values == sorted(values, reverse=True)


def test_what_has_no_score(clip: np.ndarray) -> None:
    pytest.importorskip("pystoi")
    pytest.importorskip("pesq")
    short, silence = clip[8000:11_000], np.zeros(RATE, np.float32)
    assert math.isnan(stoi(short, short, RATE))
    assert math.isnan(pesq(short, short, RATE, "wb"))
    assert math.isnan(pesq(silence, silence, RATE, "nb"))


def test_other_rates_are_refused() -> None:
    pytest.importorskip("pesq")
    with pytest.raises(LlasaError, match="not defined at 24000 Hz"):
        pesq(np.ones(24_000, np.float32), np.ones(24_000, np.float32), 24_000, "wb")

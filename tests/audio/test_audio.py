"""Reading, writing and shaping audio; real files through libsndfile, no stand-ins."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llasa.audio.audio import Audio, read_audio, to_int16
from llasa.audio.formats import FORMATS
from llasa.base.errors import LlasaError
from llasa.data.manifest import read_manifest


def tone(seconds: float = 1.0, rate: int = 16_000, level: float = 0.5, channels: int = 1) -> Audio:
    """A 440 Hz sine; channel c is c + 1 times lower."""
    wave = level * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)
    if channels == 1:
        return Audio(wave.astype(np.float32), rate)
    stack = np.stack([wave / (c + 1) for c in range(channels)], axis=1)
    return Audio(stack.astype(np.float32), rate)


def pitch(audio: Audio) -> float:
    """Frequency of the strongest spectral line, in Hz."""
    spectrum = np.abs(np.fft.rfft(audio.mono().samples))
    return float(spectrum.argmax() * audio.rate / len(audio.samples))


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_format_comes_back(tmp_path: Path, suffix: str, channels: int) -> None:
    if FORMATS[suffix].by_av:
        pytest.importorskip("av", reason="needs the extra av")
    audio = tone(1.3, channels=channels)
    path = tmp_path / f"a.{suffix.upper()}"
    audio.write(path)
    assert os.listdir(tmp_path) == [path.name]
    again = read_audio(path)
    delay = 0.12 if suffix == "aac" else 0.1  # ADTS does not say how much its encoder adds
    assert again.duration == pytest.approx(audio.duration, abs=delay)
    assert again.samples.dtype == np.float32
    assert again.samples.shape[1:] == audio.samples.shape[1:]
    assert pitch(again) == pytest.approx(440, abs=3)
    assert np.abs(again.samples).max() == pytest.approx(0.5, abs=0.05)
    if suffix in ("wav", "flac"):
        assert np.abs(again.samples - audio.samples).max() < 1 / 32_000
    for source in (path.read_bytes(), io.BytesIO(path.read_bytes()), str(path)):
        assert np.array_equal(read_audio(source).samples, again.samples)


@pytest.mark.parametrize("suffix", ["mp3", "opus"])
@pytest.mark.parametrize("rate", [7_000, 16_001, 96_000])
def test_rates_a_format_cannot_hold_are_resampled(suffix: str, rate: int) -> None:
    again = read_audio(tone(1.0, rate).encode(suffix))
    assert again.rate in FORMATS[suffix].rates or suffix == "opus"
    assert pitch(again) == pytest.approx(440, abs=3)


@pytest.mark.slow
def test_long_vorbis_is_written_in_pieces() -> None:
    again = read_audio(tone(40, 48_000).encode("ogg"))
    assert again.duration == pytest.approx(40)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"])
@pytest.mark.parametrize("rate", [8_000, 96_000])
def test_odd_wav_files_are_read(tmp_path: Path, subtype: str, rate: int) -> None:
    audio = tone(0.5, rate, channels=2)
    soundfile.write(tmp_path / "a.wav", audio.samples, rate, subtype)
    again = read_audio(tmp_path / "a.wav")
    assert again.rate == rate
    assert np.abs(again.samples - audio.samples).max() < 0.03


def test_too_loud_is_clipped() -> None:
    again = read_audio(tone(level=3.0).encode())
    assert np.abs(again.samples).max() <= 1
    assert np.abs(again.samples).max() > 0.99


@given(
    st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=200),
    st.sampled_from([8_000, 16_000, 44_100, 96_000]),
    st.sampled_from(["wav", "flac"]),
)
@settings(max_examples=40, deadline=None)
def test_lossless_round_trip(values: list[float], rate: int, suffix: str) -> None:
    audio = Audio(np.array(values, np.float32), rate)
    again = read_audio(audio.encode(suffix))
    assert again.rate == rate
    assert np.abs(again.samples - audio.samples).max() <= 1 / 32_768


def broken_files(folder: Path) -> dict[str, str]:
    """Files that cannot be used, each with what the sentence must say."""
    flac = tone().encode("flac")
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("not audio at all")
    (folder / "header.wav").write_bytes(tone().encode()[:20])
    (folder / "cut.flac").write_bytes(flac[:60])
    (folder / "zeros.mp3").write_bytes(bytes(5000))
    soundfile.write(folder / "none.wav", np.zeros(0), 16_000)
    nan = np.array([0.0, np.nan, 0.5], np.float32)
    soundfile.write(folder / "nan.wav", nan, 16_000, "FLOAT")
    soundfile.write(folder / "inf.wav", np.array([np.inf], np.float32), 16_000, "FLOAT")
    (folder / "folder.wav").mkdir()
    return {
        "empty.wav": "is empty",
        "text.wav": "not a readable audio file",
        "header.wav": "not a readable audio file",
        "cut.flac": "no samples|not a readable audio file",
        "zeros.mp3": "not a readable audio file",
        "none.wav": "no samples",
        "nan.wav": "not numbers",
        "inf.wav": "not numbers",
        "folder.wav": "is a folder",
        "missing.wav": "does not exist",
    }


def test_unusable_files_are_named(tmp_path: Path) -> None:
    for name, message in broken_files(tmp_path).items():
        with pytest.raises(LlasaError, match=message) as caught:
            read_audio(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value), name
        assert "\n" not in str(caught.value)
    with pytest.raises(LlasaError, match="The upload is empty"):
        read_audio(b"", name="The upload")


def test_unwritable(tmp_path: Path) -> None:
    audio = tone(0.1)
    for name, message in [
        ("a.wave", "Did you mean wav"),
        ("a.mka", "valid are wav, flac, mp3, ogg, opus"),
        ("a", "no suffix"),
        ("none/a.wav", "does not exist"),
    ]:
        with pytest.raises(LlasaError, match=message):
            audio.write(tmp_path / name)
    with pytest.raises(LlasaError, match="unknown"):
        audio.encode("wma")
    with pytest.raises(LlasaError, match="nothing to write"):
        Audio(np.zeros(0, np.float32), 16_000).encode()
    with pytest.raises(LlasaError, match="not numbers"):
        Audio(np.array([np.nan], np.float32), 16_000).encode()
    with pytest.raises(LlasaError, match="at most 8 channels"):
        Audio(np.zeros((10, 300), np.float32), 16_000).encode("flac")
    with pytest.raises(LlasaError, match="sample rate is 0"):
        audio.resample(0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("rate", [8_000, 24_000, 44_100])
def test_resample(rate: int) -> None:
    audio = tone(1.0, channels=2)
    again = audio.resample(rate)
    assert (again.rate, again.samples.shape) == (rate, (rate, 2))
    assert pitch(again) == pytest.approx(440, abs=2)
    assert audio.resample(16_000) is audio


def test_mono_is_the_mean() -> None:
    audio = tone(channels=2)
    assert np.allclose(audio.mono().samples, audio.samples.mean(1), atol=1e-6)
    assert audio.mono().mono().samples.shape == (16_000,)


def test_trim_silence() -> None:
    quiet = np.zeros(8_000, np.float32)
    speech = tone(0.5)
    padded = Audio(np.concatenate([quiet, speech.samples, quiet]), 16_000)
    assert padded.trim_silence(margin=0.1).duration == pytest.approx(0.7, abs=0.01)
    assert padded.trim_silence(margin=9).duration == padded.duration
    stereo = Audio(np.stack([padded.samples, padded.samples * 0], 1), 16_000)
    assert stereo.trim_silence(margin=0.0).duration == pytest.approx(0.5, abs=0.01)
    with pytest.raises(LlasaError, match="silent"):
        Audio(quiet, 16_000).trim_silence()


def test_levels() -> None:
    assert tone(level=0.5).level() == pytest.approx(20 * np.log10(0.5 / 2**0.5), abs=0.01)
    pauses = Audio(np.pad(tone(level=0.5).samples, (0, 32_000)), 16_000)
    assert pauses.level() == pytest.approx(tone(level=0.5).level(), abs=0.01)
    assert Audio(np.zeros(100, np.float32), 16_000).level() == float("-inf")


def test_real_recordings(speech_data: Path) -> None:
    for manifest in ("librispeech.jsonl", "kathleen.test.jsonl"):
        for row in read_manifest(speech_data / manifest)[:5]:
            audio = read_audio(row.path)
            assert audio.mono().resample(16_000).duration == pytest.approx(row.seconds, abs=0.05)
            assert -50 < audio.level() < 0
            assert 0.5 < audio.trim_silence().duration <= audio.duration


def test_few_bytes_of_much_silence_are_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 192_000, 8, "PCM_16", format="FLAC") as sound:
        for _ in range(10):
            sound.write(np.zeros((192_000, 8), np.float32))
    assert len(file.getvalue()) < 100_000

    def read(*_: object, **__: object) -> None:
        raise AssertionError("it is decoded")

    monkeypatch.setattr(soundfile.SoundFile, "read", read)
    with pytest.raises(LlasaError, match="1,920,000 samples in each of 8 channels, and at most"):
        read_audio(file.getvalue(), "The recording", 60.0)


SINE = tone().samples
INVERTED = np.stack([SINE, -SINE], axis=1)


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        (SINE.tolist(), (16_000,)),
        (SINE[None], (16_000,)),
        (SINE[:, None], (16_000,)),
        (np.stack([SINE, SINE]), (16_000, 2)),
        (np.stack([SINE, SINE], axis=1), (16_000, 2)),
        (SINE.astype("f8"), (16_000,)),
        (torch.from_numpy(SINE), (16_000,)),
        (torch.from_numpy(SINE).bfloat16(), (16_000,)),
        (torch.from_numpy(SINE).requires_grad_(), (16_000,)),
        ((SINE * 2**15).astype("i2"), (16_000,)),
        ((SINE * 2**31).astype("i4"), (16_000,)),
        ((SINE * 2**7).astype("i1"), (16_000,)),
        ((SINE * 2**7 + 128).astype("u1"), (16_000,)),
    ],
)
def test_what_sound_may_come_as(value: Any, shape: tuple[int, ...]) -> None:
    audio = Audio(value, np.int64(16_000))  # type: ignore[arg-type]
    assert audio.samples.shape == shape
    assert audio.samples.dtype == np.float32
    assert type(audio.rate) is int
    np.testing.assert_allclose(audio.mono().samples, SINE, atol=0.01)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (SINE * 32767, "The audio reaches 16383.5, where full scale is 1: divide"),
        (SINE.astype("i8"), "The audio holds int64 values"),
        (SINE > 0, "holds bool values"),
        (SINE.astype(complex), "holds complex128 values"),
        (np.zeros((20, 20)), r"has shape \(20, 20\)"),
        (np.zeros((2, 3, 4)), r"has shape \(2, 3, 4\)"),
        (None, r"has shape \(\)"),
        ("a.wav", r"has shape \(\)"),
        ([[0.1], [0.1, 0.2]], "is not an array of numbers"),
    ],
)
def test_what_cannot_be_sound(value: Any, reason: str) -> None:
    with pytest.raises(LlasaError, match=reason):
        Audio(value, 16_000)


@pytest.mark.parametrize("rate", [0, -1, 16_000.5, "16000", None, True])
def test_what_cannot_be_a_rate(rate: Any) -> None:
    with pytest.raises(LlasaError, match="sample rate is"):
        Audio(SINE, rate)


def test_channels_that_cancel_each_other_are_not_averaged() -> None:
    np.testing.assert_array_equal(Audio(INVERTED, 16_000).mono().samples, SINE)
    quiet = np.stack([SINE, np.zeros_like(SINE)], axis=1)
    np.testing.assert_allclose(Audio(quiet, 16_000).mono().samples, SINE / 2)
    assert not Audio(np.zeros((9, 2), np.float32), 16_000).mono().samples.any()


def test_a_file_with_unscaled_floats_is_named(tmp_path: Path) -> None:
    path = tmp_path / "loud.wav"
    soundfile.write(path, SINE * 32767, 16_000, subtype="FLOAT")
    with pytest.raises(LlasaError, match=r"loud\.wav reaches 16383"):
        read_audio(path)
    soundfile.write(path, SINE * 5, 16_000, subtype="FLOAT")
    assert np.abs(read_audio(path).samples).max() == pytest.approx(2.5)


def test_a_recorder_that_never_wrote_the_length() -> None:
    data = tone().encode("wav")
    place = data.index(b"data") + 4
    found = read_audio(data[:place] + bytes(4) + data[place + 4 :])
    np.testing.assert_array_equal(found.samples, read_audio(data).samples)


WHOLE = [tone(0.05).encode(suffix) for suffix in ("wav", "flac", "ogg", "mp3")]


@given(st.sampled_from(WHOLE), st.data())
@settings(max_examples=200, deadline=None)
@pytest.mark.slow
def test_any_bytes_are_sound_or_one_sentence(data: bytes, draw: st.DataObject) -> None:
    """Real files, cut, overwritten and with bytes put in."""
    place = draw.draw(st.integers(0, min(len(data), 200)))
    kept = place + draw.draw(st.integers(0, 8))
    data = data[:place] + draw.draw(st.binary(max_size=8)) + data[kept:]
    data = data[: draw.draw(st.integers(0, len(data)))] if draw.draw(st.booleans()) else data
    reason = "a.wav is read"
    try:
        audio = read_audio(data, "a.wav", max_seconds=10)
    except LlasaError as error:
        reason = str(error)
    else:
        assert np.isfinite(audio.samples).all()
        assert 0 < audio.duration <= 10
    assert reason.startswith("a.wav ")
    assert "\n" not in reason


def test_no_other_place_reads_sound_or_scales_integers() -> None:
    """Files come in by `read_audio`, arrays by `as_samples`."""
    source = Path(__file__).parents[2] / "src" / "llasa"
    for path in source.rglob("*.py"):
        if path.name not in ("audio.py", "formats.py"):  # the latter writes
            by_hand = re.search(
                r"SoundFile\(|soundfile\.read|wave\.open|iinfo", path.read_text("utf-8")
            )
            assert by_hand is None, path


def test_16_bit_samples_are_rounded_and_clipped() -> None:
    samples = np.array([-2.0, -1.0, -1.6 / 32767, 0.0, 0.6 / 32767, 1.0, 2.0], np.float32)
    assert to_int16(samples).tolist() == [-32767, -32767, -2, 0, 1, 32767, 32767]

"""``Codec``: lists of clips, rates, channels, padding, and what it refuses."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
import torch

from llasa.audio.audio import Audio
from llasa.base.errors import LlasaError
from llasa.codec.codec import Codec
from llasa.codec.model import CodecModel

from .tools import CONV, HOP, RATE, randomize


@pytest.fixture(scope="module")
def codec() -> Any:
    torch.manual_seed(0)
    model = CodecModel(CONV)
    randomize(model, seed=3)
    return Codec(model, device="cpu")


def tone(seconds: float, rate: int = RATE, hertz: float = 220.0) -> Any:
    time = np.arange(round(seconds * rate)) / rate
    return (0.4 * np.sin(2 * np.pi * hertz * time * (1 + 0.2 * time))).astype(np.float32)


def test_properties(codec: Codec) -> None:
    assert (codec.sample_rate, codec.hop, codec.frame_rate) == (RATE, HOP, 50.0)
    assert codec.codebook_size == 65_536


def test_id(codec: Codec, tmp_path: Path) -> None:
    """It tells codecs apart, and stays with the codes: in half precision, with another decoder."""
    codec.save(tmp_path, half=True)
    other = Codec.load(tmp_path, device="cpu")
    randomize(other.model.decoder, seed=4)
    assert other.id == codec.id
    randomize(other.model.quantizer, seed=4)
    assert Codec(other.model, "cpu").id != codec.id


def test_lengths_and_types(codec: Codec) -> None:
    codes = codec.encode([tone(0.5)])
    audio = codec.decode(codes)
    assert codes[0].dtype == np.int64
    assert codes[0].shape == (26,)
    assert audio[0].dtype == np.float32
    assert audio[0].shape == (26 * HOP,)
    assert np.isfinite(audio[0]).all()
    assert codec.encode([]) == codec.decode([]) == []


def test_decoding_from_a_place_takes_so_much_before_it(codec: Codec) -> None:
    (codes,) = codec.encode([tone(2.0)])
    (whole,) = codec.decode([codes])
    np.testing.assert_array_equal(codec.decode_part(codes, 0)[0], whole)
    np.testing.assert_array_equal(codec.decode_part(codes, 60)[0], whole[60 * HOP :])
    (short,) = codec.decode([codes[35:]])
    np.testing.assert_array_equal(codec.decode_part(codes, 60, context=0.5)[0], short[25 * HOP :])
    with pytest.raises(LlasaError, match="non-empty"):
        codec.decode_part(codes[:0], 0)[0]


def test_audio_brings_its_own_rate(codec: Codec, clip: Any) -> None:
    sound = Audio(clip[:22_050], 44_100)
    (codes,) = codec.encode([sound])
    np.testing.assert_array_equal(codes, codec.encode([sound.samples], sound.rate)[0])
    with pytest.raises(LlasaError, match="a list of clips, not a single one"):
        codec.encode(sound)  # type: ignore[arg-type]


@pytest.mark.parametrize("samples", [400, 640, 641, 959, 960, 961, 6400])
def test_padding_rules(codec: Codec, clip: Any, samples: Any) -> None:
    (released,) = codec.encode([clip[:samples]])
    (none,) = codec.encode([clip[:samples]], pad="none")
    assert len(released) == samples // HOP + 1
    assert len(none) == samples // HOP
    extended = np.pad(clip[:samples], (0, HOP - samples % HOP))
    for codes, framed in ((released, extended), (none, clip[: samples // HOP * HOP])):
        with torch.inference_mode():
            expected = codec.model.encode(torch.from_numpy(framed)[None])[0].numpy()
        np.testing.assert_array_equal(codes, expected)


def test_unequal_lengths_equal_alone(codec: Codec, clip: Any) -> None:
    clips = [clip[:5000], clip[5000:31_000], clip[:400], clip[31_000:31_960], clip[40_000:45_000]]
    together = codec.encode(clips)
    for codes, one in zip(together, clips, strict=True):
        np.testing.assert_array_equal(codes, codec.encode([one])[0])
    audio = codec.decode(together)
    for waveform, codes in zip(audio, together, strict=True):
        np.testing.assert_array_equal(waveform, codec.decode([codes])[0])


@pytest.mark.parametrize("rate", [8_000, 24_000, 44_100, 48_000])
def test_rates_are_resampled(codec: Codec, rate: int) -> None:
    sound = tone(0.6, rate)
    (codes,) = codec.encode([sound], rate)
    (expected,) = codec.encode([soxr.resample(sound, rate, RATE)])
    np.testing.assert_array_equal(codes, expected)
    assert len(codes) == 31


def test_one_rate_for_each_clip(codec: Codec) -> None:
    sounds = [tone(0.5, 8_000), tone(0.3), tone(0.4, 48_000)]
    rates = [8_000, 16_000, 48_000]
    for codes, sound, rate in zip(codec.encode(sounds, rates), sounds, rates, strict=True):
        np.testing.assert_array_equal(codes, codec.encode([sound], rate)[0])


def test_stereo_is_averaged(codec: Codec) -> None:
    left, right = tone(0.5), tone(0.5, hertz=330)
    (mono,) = codec.encode([(left + right) / 2])
    for stereo in (np.stack([left, right]), np.stack([left, right], 1)):
        np.testing.assert_array_equal(codec.encode([stereo])[0], mono)
    (plain,) = codec.encode([left])
    for single in (left[None], left[:, None], np.stack([left, left])):
        np.testing.assert_array_equal(codec.encode([single])[0], plain)


def test_tensors_and_other_floats(codec: Codec) -> None:
    sound = tone(0.5)
    (codes,) = codec.encode([sound])
    for audio in (torch.from_numpy(sound), sound.astype(np.float64), sound[::-1][::-1]):
        np.testing.assert_array_equal(codec.encode([audio])[0], codes)
    assert len(codec.encode([torch.from_numpy(sound).bfloat16()])[0]) == len(codes)
    (audio,) = codec.decode([codes])
    for form in (torch.from_numpy(codes), codes.tolist(), codes.astype(np.int32)):
        np.testing.assert_array_equal(codec.decode([form])[0], audio)


@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")
def test_mixed_precision_is_near(codec: Codec, clip: Any) -> None:
    clip = clip[:32_000]
    coarse = Codec(codec.model, device="cpu", dtype=torch.bfloat16)
    (codes,) = codec.encode([clip])
    (audio,) = coarse.decode([codes])
    (exact,) = codec.decode([codes])
    assert audio.dtype == np.float32
    assert 0 < np.abs(audio - exact).max() < 0.3 * np.abs(exact).max()
    assert (coarse.encode([clip])[0] == codes).mean() > 0.5


def test_inputs_and_gradients_are_left_alone(codec: Codec) -> None:
    sound = tone(0.5)
    before = sound.copy()
    codec.encode([sound])
    np.testing.assert_array_equal(sound, before)
    assert not codec.model.training
    assert all(p.requires_grad for p in codec.model.parameters())


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros(0, np.float32), "Clip 0 is empty"),
        (np.zeros((2, 0), np.float32), "Clip 0 is empty"),
        (np.zeros(399, np.float32), r"too short: 399 samples at 16000 Hz, at least 400 \(25 ms\)"),
        (np.full(8000, np.nan, np.float32), "NaN"),
        (np.full(8000, -np.inf, np.float32), "NaN"),
        (np.zeros((9, 8000), np.float32), r"shape \(9, 8000\)"),
        (np.zeros((1, 2, 8000), np.float32), r"shape \(1, 2, 8000\)"),
        (np.float32(0.5), r"shape \(\)"),
        (torch.zeros(8000, dtype=torch.int64), "int64"),
        ("speech.wav", "shape"),
    ],
)
def test_bad_audio(codec: Codec, audio: Any, message: str) -> None:
    with pytest.raises(LlasaError, match=message):
        codec.encode([audio])


def test_the_bad_clip_is_named(codec: Codec) -> None:
    with pytest.raises(LlasaError, match="Clip 1"):
        codec.encode([tone(0.5), np.zeros(10, np.float32)])


@pytest.mark.parametrize("rate", [0, -16_000, 1, 10**7, 16_000.5, True, "16000"])
def test_bad_rates(codec: Codec, rate: int) -> None:
    with pytest.raises(LlasaError, match="sample rate"):
        codec.encode([tone(0.5)], [rate])


def test_number_of_rates(codec: Codec) -> None:
    with pytest.raises(LlasaError, match="1 clips but 2 sample rates"):
        codec.encode([tone(0.5)], [RATE, RATE])


def test_unknown_padding(codec: Codec) -> None:
    with pytest.raises(LlasaError, match="released, none"):
        codec.encode([tone(0.5)], pad="reflect")


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ([], "shape"),
        ([[1, 2]], "shape"),
        (3, "shape"),
        ([-1, 5], "code -1"),
        ([5, 65_536], "code 65536: valid are 0 to 65535"),
        ([0.5, 1.0], "float64"),
        (torch.ones(3), "float32"),
        (["a"], "whole numbers"),
        (np.array([2**63], np.uint64), "valid are"),
    ],
)
def test_bad_codes(codec: Codec, codes: Any, message: str) -> None:
    with pytest.raises(LlasaError, match=message):
        codec.decode([codes])


def test_bad_device_and_dtype(codec: Codec) -> None:
    with pytest.raises(LlasaError, match="device abacus"):
        Codec(codec.model, device="abacus")
    with pytest.raises(LlasaError, match="device meta cannot be used"):  # it holds no values
        Codec(codec.model, device="meta")
    if not torch.cuda.is_available():
        with pytest.raises(LlasaError, match="device cuda"):
            Codec(codec.model, device="cuda")
    with pytest.raises(LlasaError, match="float32, bfloat16 or float16"):
        Codec(codec.model, dtype=torch.int8)

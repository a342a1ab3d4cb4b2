"""Timbres: what a codec hears of a voice, and what its decoder makes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from llasa.base.errors import LlasaError
from llasa.codec.checkpoints.transformers import to_transformers
from llasa.codec.codec import Codec
from llasa.codec.config import CodecConfig
from llasa.codec.speaker import SpeakerEmbedding
from llasa.codec.speaker_encoder import SpeakerEncoder
from llasa.codec.streaming import StreamingDecoder, StreamSettings
from tests.tiny_model import CODEC, tiny_codec, tone

WINDOWED = replace(CODEC, decoder_window=4, time_rotary=True, decoder_head="harmonic")
CODES = np.random.default_rng(0).integers(0, 64, 60)


@pytest.fixture(scope="module")
def codec() -> Codec:
    return tiny_codec(config=replace(WINDOWED, timbre_size=8))


def test_a_timbre_has_power_1_whatever_the_level() -> None:
    torch.manual_seed(0)
    encoder = SpeakerEncoder(8)
    sound = torch.from_numpy(tone(2.0).samples)[None]
    timbre = encoder(sound)
    assert timbre.shape == (1, 8)
    assert timbre.square().mean().item() == pytest.approx(1, abs=1e-3)
    torch.testing.assert_close(encoder(sound / 20), timbre, atol=1e-3, rtol=1e-3)
    higher = torch.from_numpy(tone(2.0, 12_000).samples)[None]  # as played faster
    assert (encoder(higher) - timbre).abs().max() > 0.01


def test_it_is_heard(codec: Codec) -> None:
    timbre = codec.timbre(tone(2.0))
    assert timbre is not None
    assert (timbre.values.shape, timbre.id) == ((8,), codec.timbre_id)
    (plain,), (told,) = codec.decode([CODES]), codec.decode([CODES], timbre)
    assert plain.shape == told.shape
    assert np.abs(plain - told).max() > 0.01
    (other,) = codec.decode([CODES], replace(timbre, values=-timbre.values))
    assert np.abs(other - told).max() > 0.01


def test_none_is_the_same_as_zeros_and_untrained_ones_change_nothing() -> None:
    bare = tiny_codec(config=replace(WINDOWED, timbre_size=8))
    assert bare.model.decoder.timbre is not None
    torch.nn.init.normal_(bare.model.decoder.timbre.weight)
    zeros = SpeakerEmbedding(np.zeros(8, np.float32), bare.timbre_id)
    np.testing.assert_array_equal(bare.decode([CODES], zeros)[0], bare.decode([CODES])[0])
    torch.nn.init.zeros_(bare.model.decoder.timbre.weight)
    ones = replace(zeros, values=np.ones(8, np.float32))
    np.testing.assert_array_equal(bare.decode([CODES], ones)[0], bare.decode([CODES])[0])


def test_streamed_and_in_parts(codec: Codec) -> None:
    timbre = codec.timbre(tone(2.0))
    (whole,) = codec.decode([CODES], timbre)
    decoder = StreamingDecoder(codec, StreamSettings(21, 14, 1, 2, 16), timbre=timbre)
    pieces = [decoder.push(CODES[i : i + 1]) for i in range(len(CODES))]
    streamed = np.concatenate([*pieces, decoder.finish()])
    np.testing.assert_allclose(streamed, whole, atol=1e-2)
    rest = codec.decode_from(CODES, 0, timbre=timbre)
    np.testing.assert_allclose(rest, whole, atol=1e-5)


def test_saved_and_loaded(codec: Codec, tmp_path: Path) -> None:
    codec.save(tmp_path)
    again = Codec.load(tmp_path, "cpu")
    assert (again.timbre_id, again.timbre_size) == (codec.timbre_id, 8)
    timbre = codec.timbre(tone(2.0))
    np.testing.assert_array_equal(again.decode([CODES], timbre), codec.decode([CODES], timbre))
    codec.save(tmp_path / "half", half=True)
    assert Codec.load(tmp_path / "half", "cpu").timbre_id == codec.timbre_id


def test_other_codecs(codec: Codec) -> None:
    plain, timbre = tiny_codec(config=WINDOWED), codec.timbre(tone(2.0))
    assert plain.timbre(tone(2.0)) is None
    assert plain.timbre_id == ""
    with pytest.raises(LlasaError, match="has no timbres: leave the voice out"):
        plain.decode([CODES], timbre)
    other = tiny_codec(seed=1, config=replace(WINDOWED, timbre_size=8))
    with pytest.raises(LlasaError, match=r"make it again from its recording, with Codec\.timbre"):
        other.decode_part(CODES, 0, timbre=timbre)


BAD = [np.ones(7), np.ones((1, 8)), np.full(8, np.nan), np.full(8, 1e30), np.ones(8, int)]


@pytest.mark.parametrize("values", BAD)
def test_damaged_timbres(codec: Codec, values: NDArray[np.float64]) -> None:
    with pytest.raises(LlasaError, match="A timbre of this codec is 8 numbers of power 1"):
        codec.decode([CODES], SpeakerEmbedding(values, codec.timbre_id))
    with pytest.raises(LlasaError, match="A timbre is no str: give that of a voice"):
        codec.decode([CODES], "ann")  # type: ignore[arg-type]
    doubles = SpeakerEmbedding(np.ones(8), codec.timbre_id)  # which numpy makes by itself
    assert len(codec.decode([CODES], doubles)) == 1


def test_silence_around_the_speech_does_not_count(codec: Codec) -> None:
    quiet = np.zeros(8000, np.float32)
    sound = tone(2.0).samples
    alone, among = (codec.timbre(x) for x in (sound, np.concatenate([quiet, sound, quiet])))
    assert alone is not None
    assert among is not None
    np.testing.assert_allclose(alone.values, among.values, atol=1e-3)


@pytest.mark.parametrize("count", [400, 500, 639])
def test_the_shortest_recordings(codec: Codec, count: int) -> None:
    for samples in (tone(1.0).samples[:count], np.zeros(count, np.float32)):
        timbre = codec.timbre(samples)
        assert timbre is not None
        assert np.isfinite(timbre.values).all()


def test_bad_recordings(codec: Codec) -> None:
    with pytest.raises(LlasaError, match="the recording is empty"):
        codec.timbre(np.zeros(0, np.float32))
    with pytest.raises(LlasaError, match="the recording is too short"):
        codec.timbre(np.zeros(100, np.float32))
    with pytest.raises(LlasaError, match="timbre_size"):
        CodecConfig(timbre_size=-1)


def test_transformers_has_none() -> None:
    with pytest.raises(LlasaError, match="timbre_size is 8 where it needs 0"):
        to_transformers(CodecConfig(timbre_size=8), {})

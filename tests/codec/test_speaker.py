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
    return tiny_codec(config=replace(WINDOWED, speaker_size=8))


def test_an_embedding_has_power_1_whatever_the_level() -> None:
    torch.manual_seed(0)
    encoder = SpeakerEncoder(8)
    sound = torch.from_numpy(tone(2.0).samples)[None]
    embedding = encoder(sound)
    assert embedding.shape == (1, 8)
    assert embedding.square().mean().item() == pytest.approx(1, abs=1e-3)
    torch.testing.assert_close(encoder(sound / 20), embedding, atol=1e-3, rtol=1e-3)
    higher = torch.from_numpy(tone(2.0, 12_000).samples)[None]  # as played faster
    assert (encoder(higher) - embedding).abs().max() > 0.01


def test_it_is_heard(codec: Codec) -> None:
    embedding = codec.speaker_embedding(tone(2.0))
    assert embedding is not None
    assert (embedding.values.shape, embedding.id) == ((8,), codec.speaker_encoder_id)
    (plain,), (told,) = codec.decode([CODES]), codec.decode([CODES], embedding)
    assert plain.shape == told.shape
    assert np.abs(plain - told).max() > 0.01
    (other,) = codec.decode([CODES], replace(embedding, values=-embedding.values))
    assert np.abs(other - told).max() > 0.01


def test_none_is_the_same_as_zeros_and_untrained_ones_change_nothing() -> None:
    bare = tiny_codec(config=replace(WINDOWED, speaker_size=8))
    assert bare.model.decoder.conditioning is not None
    torch.nn.init.normal_(bare.model.decoder.conditioning.weight)
    zeros = SpeakerEmbedding(np.zeros(8, np.float32), bare.speaker_encoder_id)
    np.testing.assert_array_equal(bare.decode([CODES], zeros)[0], bare.decode([CODES])[0])
    torch.nn.init.zeros_(bare.model.decoder.conditioning.weight)
    ones = replace(zeros, values=np.ones(8, np.float32))
    np.testing.assert_array_equal(bare.decode([CODES], ones)[0], bare.decode([CODES])[0])


def test_streamed_and_in_parts(codec: Codec) -> None:
    embedding = codec.speaker_embedding(tone(2.0))
    (whole,) = codec.decode([CODES], embedding)
    decoder = StreamingDecoder(codec, StreamSettings(21, 14, 1, 2, 16), speaker_embedding=embedding)
    pieces = [decoder.push(CODES[i : i + 1]) for i in range(len(CODES))]
    streamed = np.concatenate([*pieces, decoder.finish()])
    np.testing.assert_allclose(streamed, whole, atol=1e-2)
    rest = codec.decode_part(CODES, 0, speaker_embedding=embedding)[0]
    np.testing.assert_allclose(rest, whole, atol=1e-5)


def test_saved_and_loaded(codec: Codec, tmp_path: Path) -> None:
    codec.save(tmp_path)
    again = Codec.load(tmp_path, "cpu")
    assert (again.speaker_encoder_id, again.speaker_size) == (codec.speaker_encoder_id, 8)
    embedding = codec.speaker_embedding(tone(2.0))
    np.testing.assert_array_equal(
        again.decode([CODES], embedding), codec.decode([CODES], embedding)
    )
    codec.save(tmp_path / "half", half=True)
    assert Codec.load(tmp_path / "half", "cpu").speaker_encoder_id == codec.speaker_encoder_id


def test_other_codecs(codec: Codec) -> None:
    plain, embedding = tiny_codec(config=WINDOWED), codec.speaker_embedding(tone(2.0))
    assert plain.speaker_embedding(tone(2.0)) is None
    assert plain.speaker_encoder_id == ""
    with pytest.raises(LlasaError, match="has no speaker embeddings: leave the voice out"):
        plain.decode([CODES], embedding)
    other = tiny_codec(seed=1, config=replace(WINDOWED, speaker_size=8))
    with pytest.raises(
        LlasaError, match=r"compute it again from the recording, with Codec\.speaker_embedding"
    ):
        other.decode_part(CODES, 0, speaker_embedding=embedding)


BAD = [np.ones(7), np.ones((1, 8)), np.full(8, np.nan), np.full(8, 1e30), np.ones(8, int)]


@pytest.mark.parametrize("values", BAD)
def test_damaged_embeddings(codec: Codec, values: NDArray[np.float64]) -> None:
    with pytest.raises(LlasaError, match="A speaker embedding of this codec has 8 numbers"):
        codec.decode([CODES], SpeakerEmbedding(values, codec.speaker_encoder_id))
    with pytest.raises(LlasaError, match="A str is not a speaker embedding"):
        codec.decode([CODES], "ann")  # type: ignore[arg-type]
    doubles = SpeakerEmbedding(np.ones(8), codec.speaker_encoder_id)  # which numpy makes by itself
    assert len(codec.decode([CODES], doubles)) == 1


def test_silence_around_the_speech_does_not_count(codec: Codec) -> None:
    quiet = np.zeros(8000, np.float32)
    sound = tone(2.0).samples
    alone, among = (
        codec.speaker_embedding(x) for x in (sound, np.concatenate([quiet, sound, quiet]))
    )
    assert alone is not None
    assert among is not None
    np.testing.assert_allclose(alone.values, among.values, atol=1e-3)


@pytest.mark.parametrize("count", [400, 500, 639])
def test_the_shortest_recordings(codec: Codec, count: int) -> None:
    for samples in (tone(1.0).samples[:count], np.zeros(count, np.float32)):
        embedding = codec.speaker_embedding(samples)
        assert embedding is not None
        assert np.isfinite(embedding.values).all()


def test_bad_recordings(codec: Codec) -> None:
    with pytest.raises(LlasaError, match="The recording is empty"):
        codec.speaker_embedding(np.zeros(0, np.float32))
    with pytest.raises(LlasaError, match="The recording is too short"):
        codec.speaker_embedding(np.zeros(100, np.float32))
    with pytest.raises(LlasaError, match="speaker_size"):
        CodecConfig(speaker_size=-1)


def test_transformers_has_none() -> None:
    with pytest.raises(LlasaError, match="speaker_size is 8 where it needs 0"):
        to_transformers(CodecConfig(speaker_size=8), {})

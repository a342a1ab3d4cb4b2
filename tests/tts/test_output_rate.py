"""A model whose codec speaks at 24 kHz, from Python to the server."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llasa.audio.audio import read_audio
from llasa.evaluation.systems import find_system
from llasa.evaluation.tts import resynthesise
from llasa.search.result import SearchResult
from llasa.search.strategies import beam, best_of_n
from llasa.tts.llasa import Llasa
from tests.search.tools import Judge, loudness
from tests.serving.tools import Server, serving
from tests.tiny_model import CODEC, tone, write_tiny_model

pytestmark = pytest.mark.usefixtures("own_voices")

TEXT = "The lazy dog speaks."
LONG = " ".join(f"This is sentence number {n}, and the fox jumps over the dog." for n in range(3))
SPEECH = "/v1/audio/speech"


@pytest.fixture(scope="module", params=["istft", "harmonic"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    bounded: dict[str, Any] = {"decoder_window": 4, "time_rotary": True, "speaker_size": 8}
    config = replace(CODEC, output_rate=24_000, decoder_head=request.param, **bounded)
    return write_tiny_model(tmp_path_factory.mktemp("model"), config=config)


@pytest.fixture(scope="module")
def tts(model: Path) -> Llasa:
    return Llasa.load(model, device="cpu")


@pytest.fixture(scope="module")
def server(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(model, tmp_path_factory.mktemp("voices")) as running:
        yield running


def test_speech_lasts_as_long_as_its_codes(tts: Llasa) -> None:
    speech = tts(TEXT, seed=3)
    assert (tts.rate, speech.rate) == (24_000, 24_000)
    assert len(speech.audio.samples) == 480 * len(speech.codes)
    assert speech.seconds == len(speech.codes) / 50
    cut = tts(TEXT, seed=3, max_seconds=0.5)
    assert len(cut.audio.samples) == 12_000
    near = 13 * 480  # samples before the end that hear of what is missing there
    heard = cut.audio.samples[: 12_000 - near]
    np.testing.assert_allclose(heard, speech.audio.samples[: len(heard)], atol=1e-5)


@pytest.mark.parametrize("text", [TEXT, LONG])
def test_a_stream_is_the_speech_in_pieces(tts: Llasa, text: str) -> None:
    speech = tts(text, seed=3)
    chunks = list(tts.stream(text, seed=3))
    assert {chunk.rate for chunk in chunks} == {24_000}
    np.testing.assert_array_equal(np.concatenate([c.codes for c in chunks]), speech.codes)
    joined = np.concatenate([chunk.samples for chunk in chunks])
    np.testing.assert_allclose(joined, speech.audio.samples, atol=1e-3)
    for chunk in chunks[:-1]:
        assert chunk.seconds == pytest.approx(chunk.tokens / 50, abs=0.5)


@pytest.mark.parametrize("rate", [16_000, 24_000, 44_100])
def test_a_clone_of_any_recording(tts: Llasa, rate: int) -> None:
    voice = tts.clone(tone(2.0, rate), "The lazy dog jumps.")
    assert len(voice.codes) == pytest.approx(100, abs=3)  # silence at both ends is cut off
    assert voice.fits(tts.codec)
    assert tts(TEXT, voice=voice, seed=1).rate == 24_000


@pytest.mark.parametrize("strategy", [partial(best_of_n, n=2), partial(beam, beams=1, expand=2)])
def test_search(tts: Llasa, strategy: partial[SearchResult]) -> None:
    """Takes that were decoded in parts are what is decoded at once, and verifiers hear them."""
    search = partial(strategy, verify=[Judge(loudness, "loud", needs={"audio"}), "likelihood"])
    speech = tts(TEXT, seed=3, search=search)
    (result,) = speech.search
    for take in result.candidates:
        assert take.audio.rate == 24_000
        assert len(take.audio.samples) == 480 * len(take.codes)
    voice = tts.voice("ann")
    assert voice is not None
    whole = np.concatenate([voice.codes, speech.codes])
    expected = tts.codec.decode_part(
        whole, len(voice.codes), speaker_embedding=voice.speaker_embedding
    )[0]
    np.testing.assert_allclose(speech.audio.samples, expected.clip(-1, 1), atol=2e-3)


def test_evaluation(tts: Llasa, model: Path) -> None:
    coded = find_system(str(model), "cpu")(tone(1.23))
    assert coded.audio.rate == 24_000
    again = resynthesise(tone(1.23), tts.codec)
    assert (again.rate, len(again.samples)) == (24_000, 29_520)


def test_served_sound(server: Server, tts: Llasa) -> None:
    body = {"input": TEXT, "voice": "ann", "seed": 1, "response_format": "wav"}
    expected = tts(TEXT, voice="ann", seed=1)
    whole = server.client.post(SPEECH, json=body).content
    with wave.open(io.BytesIO(whole)) as file:
        assert file.getframerate() == 24_000
        assert file.getnframes() == len(expected.audio.samples)
    streamed = server.client.post(SPEECH, json={**body, "stream_format": "audio"}).content
    assert len(streamed) == len(whole)
    assert streamed[24:32] == (24_000).to_bytes(4, "little") + (48_000).to_bytes(4, "little")


@pytest.mark.parametrize("format", ["mp3", "flac", "opus", "pcm"])
@pytest.mark.parametrize("stream", [False, True])
def test_served_formats(server: Server, tts: Llasa, format: str, stream: bool) -> None:
    body = {"input": TEXT, "voice": "ann", "seed": 1, "response_format": format}
    body |= {"stream_format": "audio"} if stream else {}
    answer = server.client.post(SPEECH, json=body)
    expected = tts(TEXT, voice="ann", seed=1)
    if format == "pcm":
        assert "rate=24000" in answer.headers["content-type"]
        samples = np.frombuffer(answer.content, "<i2") / 32767
        np.testing.assert_allclose(samples, expected.audio.samples, atol=2e-3)
        return
    sound = read_audio(answer.content)
    assert sound.rate == 24_000
    assert sound.duration == pytest.approx(expected.seconds, abs=0.1)


def test_tokens_and_speed_over_http(server: Server, tts: Llasa) -> None:
    answer = server.client.post("/v1/audio/tokens/decode", json={"codes": list(range(30))})
    sound = read_audio(answer.content)
    assert (sound.rate, len(sound.samples)) == (24_000, 30 * 480)
    body = {"input": LONG, "response_format": "wav", "seed": 1}
    usual = read_audio(server.client.post(SPEECH, json=body).content)
    fast = read_audio(server.client.post(SPEECH, json={**body, "speed": 2}).content)
    assert fast.duration == pytest.approx(usual.duration / 2, abs=0.02)

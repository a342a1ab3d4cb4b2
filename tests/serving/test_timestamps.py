"""Word times over HTTP: OpenAI's events, the WebSocket, and Kokoro-FastAPI's captioned speech."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from websockets.sync.client import connect

import llasa
from llasa.audio.audio import read_audio
from llasa.serving.batching import EngineClient
from llasa.serving.jobs import SpeechJob
from llasa.serving.schemas import SpeechSettings
from llasa.tts.llasa import Llasa

from .tools import Server, envelope, scheduling, serving

pytestmark = pytest.mark.slow

SPEECH, CAPTIONED = "/v1/audio/speech", "/dev/captioned_speech"
TEXT = "Hello there, my friend. It costs $5 today."
WORDS = ["Hello", "there", "my", "friend", "It", "costs", "$5", "today"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(Path("nano"), tmp_path_factory.mktemp("voices")) as running:
        yield running


@pytest.fixture(scope="module")
def alone() -> Llasa:
    return llasa.load("nano", device="cpu")


def events(server: Server, **body: Any) -> list[dict[str, Any]]:
    body = {"input": TEXT, "stream_format": "sse", "response_format": "pcm", "seed": 1, **body}
    with server.client.stream("POST", SPEECH, json=body) as answer:
        assert answer.status_code == 200
        return [json.loads(line[6:]) for line in answer.iter_lines() if line]


def test_events_say_when_words_are_heard(server: Server, alone: Llasa) -> None:
    found = events(server, timestamp_granularities=["word", "segment", "phone"])
    stamps = [event for event in found if event["type"] == "speech.audio.timestamps"]
    assert found[-1]["type"] == "speech.audio.done"
    words = [word for event in stamps for word in event["words"]]
    assert [word["word"] for word in words] == WORDS
    assert [TEXT[slice(*word["span"])] for word in words] == WORDS
    own = alone(TEXT, seed=1).words
    for word, known in zip(words, own, strict=True):
        assert (word["start"], word["end"]) == pytest.approx((known.start, known.end), abs=0.1)
    segments = [segment for event in stamps for segment in event["segments"]]
    assert [segment["text"] for segment in segments] == TEXT.replace(". ", ".|").split("|")
    assert [segment["id"] for segment in segments] == [0, 1]
    assert segments[1]["start"] == words[4]["start"]
    assert {event["source"] for event in stamps} == {"attention"}
    assert all(event["phones"] == [] for event in stamps)
    assert found[0]["type"] == "speech.audio.delta"


def test_only_what_was_asked_for(server: Server) -> None:
    assert {e["type"] for e in events(server)} == {"speech.audio.delta", "speech.audio.done"}
    (stamp,) = [
        e
        for e in events(server, input="Hi.", timestamp_granularities=["segment"])
        if e["type"] == "speech.audio.timestamps"
    ]
    assert stamp.keys() == {"type", "source", "segments"}


def test_the_websocket_tells_times(server: Server) -> None:
    with connect(f"ws{server.url.removeprefix('http')}{SPEECH}") as line:
        line.send(json.dumps({"response_format": "pcm", "timestamp_granularities": ["word"]}))
        line.send(json.dumps({"text": "Hello the"}))
        line.send(json.dumps({"text": "re. My friend.", "end": True}))
        told = [json.loads(piece) for piece in line if isinstance(piece, str)]
    words = [word for message in told[:-1] for word in message["words"]]
    assert [(word["word"], word["span"]) for word in words] == [
        ("Hello", [0, 5]),
        ("there", [6, 11]),
        ("My", [13, 15]),
        ("friend", [16, 22]),
    ]
    assert told[-1]["type"] == "speech.audio.done"


def test_times_beside_candidates(server: Server) -> None:
    body = {"input": TEXT, "best_of": 2, "verifiers": ["length"], "return_candidates": True}
    answer = server.client.post(SPEECH, json={**body, "timestamp_granularities": ["word"]})
    assert [word["word"] for word in answer.json()["words"]] == WORDS


def test_where_no_times_can_be_told(server: Server) -> None:
    body = {"input": TEXT, "timestamp_granularities": ["word"]}
    assert "stream_format sse" in envelope(server.client.post(SPEECH, json=body), 400)["message"]
    body = {"input": TEXT, "stream_format": "sse", "timestamp_granularities": ["letter"]}
    assert envelope(server.client.post(SPEECH, json=body), 400)


@pytest.mark.parametrize("form", ["mp3", "pcm", "wav"])
def test_captioned_speech_in_lines(server: Server, alone: Llasa, form: str) -> None:
    body = {"model": "kokoro", "input": TEXT, "voice": "af_heart", "response_format": form}
    with server.client.stream("POST", CAPTIONED, json={**body, "seed": 1}) as answer:
        assert answer.headers["content-type"] == "application/json"
        lines = [json.loads(line) for line in answer.iter_lines()]
    assert len(lines) >= 2
    assert all(line.keys() == {"audio", "audio_format", "timestamps"} for line in lines)
    stamps = [stamp for line in lines for stamp in line["timestamps"]]
    assert [stamp["word"] for stamp in stamps] == WORDS
    assert all(stamp["start_time"] < stamp["end_time"] for stamp in stamps)
    sound = b"".join(base64.b64decode(line["audio"]) for line in lines)
    seconds = alone(TEXT, voice="heart", seed=1).seconds
    if form == "mp3":
        assert lines[0]["audio_format"] == "audio/mpeg"
        assert read_audio(io.BytesIO(sound)).duration == pytest.approx(seconds, abs=0.2)
    if form == "pcm":
        assert len(sound) / 48_000 == pytest.approx(seconds, abs=0.01)


def test_captioned_speech_in_one_go(server: Server, alone: Llasa) -> None:
    body = {"input": TEXT, "stream": False, "response_format": "wav", "seed": 1}
    answer = server.client.post(CAPTIONED, json=body)
    found = answer.json()
    speech = alone(TEXT, seed=1)
    assert base64.b64decode(found["audio"]) == speech.audio.encode("wav")
    assert found["timestamps"] == [
        {"word": word.text, "start_time": word.start, "end_time": word.end} for word in speech.words
    ]
    assert answer.headers["x-llasa-seed"] == "1"
    silent = server.client.post(CAPTIONED, json={**body, "return_timestamps": False}).json()
    assert silent["timestamps"] is None
    lines = server.client.post(CAPTIONED, json={"input": TEXT, "return_timestamps": False}).text
    assert len(lines.splitlines()) >= 2  # as soon as each part is there
    assert all(json.loads(line)["timestamps"] is None for line in lines.splitlines())
    asked = {"input": TEXT, "timestamp_granularities": ["segment"]}
    refused = envelope(server.client.post(CAPTIONED, json=asked), 400)["message"]
    assert "times words alone" in refused
    assert "empty" in envelope(server.client.post(CAPTIONED, json={"input": " "}), 400)["message"]


def test_whoever_waits_for_times_has_its_sound(
    alone: Llasa, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a part is read the server knows already how long its sound lasts: who is urgent."""
    read, dues = EngineClient.attention, list[float]()

    def watched(self: EngineClient, *places: Any) -> Any:
        dues.append(self.due)
        return read(self, *places)

    monkeypatch.setattr(EngineClient, "attention", watched)

    async def heard() -> list[bool]:
        job = SpeechJob(scheduler, alone.request(TEXT, seed=1), None, settings)
        return [isinstance(piece, bytes) async for piece in job.pieces()]

    asked = {"timestamp_granularities": ["word"], "response_format": "pcm"}
    settings = SpeechSettings.model_validate(asked)
    with scheduling(alone) as scheduler:
        kinds = asyncio.run(heard())
    assert kinds[0]
    assert kinds.count(False) == len(dues) == 2  # sentences
    assert all(due < math.inf for due in dues)
    assert dues == sorted(set(dues))

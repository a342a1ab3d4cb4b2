"""A live server process: OpenAI's client, streaming, limits, keys, voices, tokens, shutdown."""

from __future__ import annotations

import base64
import io
import json
import signal
import socket
import threading
import wave
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("openai", reason="needs the openai package")
import openai
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from llasa.audio.audio import Audio, read_audio
from llasa.audio.encoding import PCM_RATE
from llasa.models.folder import ModelConfig
from llasa.models.voice import Voice, voice_files
from llasa.serving.errors import NotFoundError
from llasa.serving.voices import VoiceStore
from llasa.tts.llasa import Llasa
from tests.tiny_model import CODEC, tone, write_tiny_model
from tests.waiting import PATIENCE, wait_for

from .tools import Server, envelope, serving

pytestmark = pytest.mark.slow

SPEECH = "/v1/audio/speech"
TEXT = "The lazy dog speaks."
LONG = " ".join(f"This is sentence number {n}, and the fox jumps over the dog." for n in range(4))
HOLD = "The fox jumps over the lazy dog, again and again, and the dog does not mind it at all."


@pytest.fixture(scope="module")
def server(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tiny, tmp_path_factory.mktemp("voices")) as running:
        yield running


@pytest.fixture
def client(server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


@pytest.fixture
def alone(tiny: Path, own_voices: Path) -> Llasa:
    return Llasa.load(tiny, device="cpu")


def recording(seconds: float = 2.0) -> bytes:
    return tone(seconds).encode("wav")


def many_channels(count: int) -> bytes:
    """Three seconds in more channels than an `Audio` has."""
    file, samples = io.BytesIO(), tone(3).samples
    soundfile.write(file, np.stack([samples] * count, axis=1), 16_000, format="WAV")
    return file.getvalue()


# -- speech ---------------------------------------------------------------------------------


def test_openai_client_gets_exactly_what_python_gets(client: openai.OpenAI, alone: Llasa) -> None:
    answer = client.audio.speech.create(
        model="tts-1",
        voice="alloy",
        input=LONG,
        response_format="wav",
        extra_body={"seed": 7, "temperature": 0.8},
    )
    assert answer.content == alone(LONG, seed=7, temperature=0.8).audio.encode("wav")
    assert answer.response.headers["x-llasa-seed"] == "7"


def aac_seconds(data: bytes) -> float:
    av = pytest.importorskip("av", reason="needs the extra av")
    with av.open(io.BytesIO(data)) as file:
        return sum(frame.samples / frame.sample_rate for frame in file.decode(audio=0))


@pytest.mark.parametrize("format", ["wav", "mp3", "aac", "flac", "opus", "pcm"])
def test_openai_client_streams(client: openai.OpenAI, alone: Llasa, format: Any) -> None:
    with client.audio.speech.with_streaming_response.create(
        model=alone.name,
        voice="ann",
        input=LONG,
        response_format=format,
        stream_format="audio",
        extra_body={"seed": 3},
    ) as answer:
        pieces = list(answer.iter_bytes())
    expected = alone(LONG, voice="ann", seed=3)
    data = b"".join(pieces)
    if format == "pcm":
        seconds = len(data) / 2 / 24_000
    else:
        seconds = aac_seconds(data) if format == "aac" else read_audio(data).duration
    assert seconds == pytest.approx(expected.seconds, abs=0.15)


def test_how_a_text_is_read(client: openai.OpenAI, alone: Llasa) -> None:
    """Numbers are spelled out by default, and the fields are Python's settings."""
    text = "*Siobhan* has 15 dogs"
    fields = {"format_in": "markdown", "lexicon": {"Siobhan": "shivawn"}}
    for body in ({}, fields, {"normalize": False}, {"language": "de"}):
        answer = client.audio.speech.create(
            model="tts-1",
            voice="ann",
            input=text,
            response_format="wav",
            extra_body={"seed": 2, **body},
        )
        expected = alone(text, voice="ann", seed=2, **body)
        assert answer.content == expected.audio.encode("wav"), body
    for wrong in ({"format_in": "html"}, {"language": "german!"}, {"lexicon": {"a": ""}}):
        with pytest.raises(openai.BadRequestError):
            client.audio.speech.create(model="tts-1", voice="ann", input=text, extra_body=wrong)


def test_openai_client_hears_events(client: openai.OpenAI, server: Server) -> None:
    body = {"input": TEXT, "response_format": "pcm", "stream_format": "sse", "seed": 1}
    with server.client.stream("POST", SPEECH, json=body) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = [json.loads(line[6:]) for line in answer.iter_lines() if line]
    *deltas, last = events
    assert {event["type"] for event in deltas} == {"speech.audio.delta"}
    assert len(deltas) > 1
    sound = b"".join(base64.b64decode(event["audio"]) for event in deltas)
    assert last["type"] == "speech.audio.done"
    assert last["seed"] == 1
    assert last["usage"]["output_tokens"] * 480 * 2 == len(sound)


def test_wav_whole_and_endless(server: Server) -> None:
    body = {"input": TEXT, "response_format": "wav", "seed": 1}
    whole = server.client.post(SPEECH, json=body)
    assert int(whole.headers["content-length"]) == len(whole.content)
    with wave.open(io.BytesIO(whole.content)) as file:
        frames = file.getnframes()
    streamed = server.client.post(SPEECH, json={**body, "stream_format": "audio"})
    assert "content-length" not in streamed.headers
    assert len(streamed.content) == 44 + 2 * frames


def test_speed(server: Server) -> None:
    body = {"input": LONG, "response_format": "wav", "seed": 1}
    usual = read_audio(server.client.post(SPEECH, json=body).content).duration
    fast = read_audio(server.client.post(SPEECH, json={**body, "speed": 2}).content).duration
    assert fast == pytest.approx(usual / 2, abs=0.01)


def test_pause(server: Server, alone: Llasa) -> None:
    def seconds(**more: float) -> float:
        body = {"input": LONG, "response_format": "wav", "seed": 1, **more}
        return read_audio(server.client.post(SPEECH, json=body).content).duration

    gaps = len(alone.request(LONG).passages) - 1
    assert gaps > 0
    for speed in (1, 2):  # pauses are as they are heard
        more = seconds(pause=3, speed=speed) - seconds(pause=1, speed=speed)
        assert more == pytest.approx(2 * gaps, abs=0.02)


def test_many_at_once_are_batched_and_equal(server: Server, alone: Llasa) -> None:
    expected = alone(TEXT, seed=9).audio.encode("wav")
    body = {"input": TEXT, "response_format": "wav", "seed": 9}
    steps, tokens = server.metric("llasa_steps_total"), server.metric("llasa_tokens_total")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: server.client.post(SPEECH, json=body), range(8)))
    assert all(answer.content == expected for answer in answers)
    steps = server.metric("llasa_steps_total") - steps
    assert server.metric("llasa_tokens_total") - tokens > 1.5 * steps


# -- WebSocket ------------------------------------------------------------------------------


def ws(server: Server) -> str:
    return f"ws{server.url.removeprefix('http')}{SPEECH}"


def test_text_streams_in_and_sound_out(server: Server, alone: Llasa) -> None:
    with connect(ws(server)) as line:
        line.send(json.dumps({"voice": "ann", "response_format": "pcm", "seed": 4}))
        for fragment in ("A fox ru", "ns. The do", "g sleeps"):
            line.send(json.dumps({"text": fragment}))
        first = line.recv(60)
        assert isinstance(first, bytes)  # before the text has ended
        line.send(json.dumps({"text": ".", "end": True}))
        *sound, last = line
    assert all(isinstance(piece, bytes) for piece in sound)
    done = json.loads(last)
    parts = [alone(part, voice="ann", seed=4 + n) for n, part in enumerate(_sentences())]
    assert done["usage"]["output_tokens"] == sum(part.tokens for part in parts)
    assert done["type"] == "speech.audio.done"


def _sentences() -> list[str]:
    return ["A fox runs.", "The dog sleeps."]


def test_a_talk_whose_text_is_complete_is_finished_at_the_end(
    endless: Path, tmp_path: Path
) -> None:
    with serving(endless, tmp_path) as server, connect(ws(server)) as line:
        line.send(json.dumps({"response_format": "pcm", "max_seconds": 8}))
        line.send(json.dumps({"text": HOLD, "end": True}))
        first = line.recv(PATIENCE)
        assert isinstance(first, bytes)
        server.process.send_signal(signal.SIGTERM)
        *more, last = line
        assert json.loads(last)["type"] == "speech.audio.done"
        assert sum(map(len, [first, *more])) / 2 / 24_000 == pytest.approx(8, abs=0.1)
        assert server.process.wait(PATIENCE) in (0, -signal.SIGTERM)


@pytest.mark.parametrize(
    "messages",
    [
        ["no json"],
        ['{"sped": 2}'],
        ["{}", '{"end": true}'],
        ["{}", '{"words": "a"}'],
        ["{}", "[1]"],
        ['{"voice": "nobody"}', '{"text": "A fox.", "end": true}'],
        ["{}", json.dumps({"text": "a" * 5000})],
    ],
)
def test_bad_messages_get_an_error_and_the_end(server: Server, messages: list[str]) -> None:
    with connect(ws(server)) as line:
        for message in messages:
            line.send(message)
        assert "message" in json.loads(line.recv(60))["error"]
        with pytest.raises(ConnectionClosedError, match="1008"):
            line.recv(60)
    wait_for(lambda: server.metric("llasa_sequences") == 0)


def test_other_web_pages_may_not_connect(server: Server) -> None:
    with pytest.raises(InvalidStatus), connect(ws(server), origin=Origin("https://evil.example")):
        pass
    with connect(ws(server), origin=Origin(server.url)):
        pass


# -- limits, keys, shutdown -----------------------------------------------------------------


def test_queue_is_bounded_and_disconnect_frees_the_place(endless: Path, tmp_path: Path) -> None:
    body = {"input": HOLD, "response_format": "wav"}
    with serving(endless, tmp_path, "--batch", "1", "--queue", "1") as server:
        host, port = server.url.removeprefix("http://").split(":")
        data = json.dumps(body).encode()
        head = f"POST {SPEECH} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
        lines = []
        for _ in range(2):
            line = socket.create_connection((host, int(port)))
            line.sendall(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)
            lines.append(line)
        wait_for(lambda: server.metric("llasa_sequences") == 1)
        wait_for(lambda: server.metric("llasa_starts_waiting") == 1)
        refused = server.client.post(SPEECH, json=body)
        assert envelope(refused, 503)["code"] == "overloaded"
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        for line in lines:
            line.close()
        wait_for(lambda: server.metric("llasa_starts_waiting") == 0)
        wait_for(lambda: server.metric("llasa_sequences") == 0)
        short = {**body, "max_seconds": 0.2}
        assert read_audio(server.client.post(SPEECH, json=short).content).duration == 0.2


def test_who_takes_nothing_keeps_nobody_out(endless: Path, tmp_path: Path) -> None:
    """Speech that is finished gives its place back; a long one is not made ahead of its taker."""
    flags = ("--batch", "1", "--queue", "0", "--grace", "1")
    with serving(endless, tmp_path, *flags) as server, ExitStack() as stack:
        host, port = server.url.removeprefix("http://").split(":")

        def accepted(settings: dict[str, float]) -> bool:
            body = json.dumps({"input": LONG * 6, "response_format": "pcm", **settings}).encode()
            head = f"POST {SPEECH} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
            line = stack.enter_context(socket.socket())
            line.settimeout(PATIENCE)
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line.connect((host, int(port)))
            line.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            return line.recv(12) == b"HTTP/1.1 200"  # and nothing of the sound

        assert accepted({"max_seconds": 3})
        wait_for(lambda: server.metric("llasa_audio_seconds_total") == 3)  # it lies with the server
        # Its place is free a moment after it has been counted.
        wait_for(lambda: accepted({"speed": 0.25, "max_seconds": 150}))
        wait_for(lambda: server.metric("llasa_first_audio_seconds_count") == 2)
        wait_for(lambda: server.metric("llasa_sequences") == 0)
        assert server.metric("llasa_audio_seconds_total") == 3  # the second waits for its taker
        assert server.stop() in (0, -signal.SIGTERM)


def test_a_client_that_leaves_is_no_error(endless: Path, tmp_path: Path) -> None:
    with serving(endless, tmp_path) as server:
        body = {"input": HOLD, "response_format": "pcm"}
        with server.client.stream("POST", SPEECH, json=body) as answer:
            assert next(answer.iter_raw())
        wait_for(lambda: f'"path": "{SPEECH}"' in server.log())
        wait_for(lambda: server.metric("llasa_sequences") == 0)
        assert '"level": "error"' not in server.log()


def test_keys(tiny: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("first\nsecond\n")
    with serving(tiny, tmp_path, "--api-keys", str(file), keys="third,fourth") as server:
        for key in ("first", "second", "third", "fourth"):
            client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=key)
            assert [model.id for model in client.models.list()] == ["tiny"]
        wrong: list[dict[str, str]] = [{}, {"authorization": "Bearer fifth"}]
        wrong += [{"authorization": "first"}, {"authorization": "Basic first"}]
        for headers in wrong:
            for path in ("/v1/models", "/v1/nothing"):
                answer = server.client.get(path, headers=headers)
                assert envelope(answer, 401)["type"] == "authentication_error"
        with pytest.raises(openai.AuthenticationError):
            openai.OpenAI(base_url=f"{server.url}/v1", api_key="no").models.list()
        assert server.client.get("/health").status_code == 200
        with pytest.raises(InvalidStatus), connect(ws(server)):
            pass


def test_shutdown_finishes_what_was_accepted(endless: Path, tmp_path: Path) -> None:
    with serving(endless, tmp_path) as server:
        answers: list[httpx.Response] = []
        body = {"input": HOLD, "max_seconds": 8, "response_format": "wav"}
        asking = threading.Thread(
            target=lambda: answers.append(server.client.post(SPEECH, json=body))
        )
        asking.start()
        wait_for(lambda: server.metric("llasa_sequences") == 1)
        assert server.stop() in (0, -signal.SIGTERM)
        asking.join()
        assert read_audio(answers[0].content).duration == 8


# -- voices and tokens ----------------------------------------------------------------------


def upload(server: Server, name: str, audio: bytes, **fields: str) -> httpx.Response:
    form = {"name": name, "transcript": "The lazy dog jumps.", "consent": "Ann herself", **fields}
    form = {key: value for key, value in form.items() if value != "left out"}
    return server.client.post("/v1/audio/voices", data=form, files={"audio_sample": audio})


def test_a_voice_is_added_spoken_with_and_deleted(server: Server, alone: Llasa) -> None:
    made = upload(server, "bea", recording(), gender="female")
    assert made.status_code == 200, made.text
    assert made.json()["gender"] == "female"
    assert made.json()["consent"] == "Ann herself"
    assert made.json()["created_at"] > 1e9
    listed = server.client.get("/v1/audio/voices").json()["data"]
    assert {voice["id"]: voice["deletable"] for voice in listed} == {"ann": False, "bea": True}
    assert server.client.get("/v1/audio/voices/bea").json() == made.json()
    voice = alone.clone(read_audio(recording()), "The lazy dog jumps.", "bea")
    body = {"input": TEXT, "voice": {"id": "bea"}, "response_format": "wav", "seed": 1}
    spoken = server.client.post(SPEECH, json=body).content
    assert spoken == alone(TEXT, voice=voice, seed=1).audio.encode("wav")
    assert "exists" in envelope(upload(server, "bea", recording()), 400)["message"]
    assert server.client.delete("/v1/audio/voices/bea").json()["deleted"]
    envelope(server.client.delete("/v1/audio/voices/bea"), 404)
    assert "bea" in envelope(server.client.post(SPEECH, json=body), 404)["message"]
    assert (
        "belongs to the model"
        in envelope(server.client.delete("/v1/audio/voices/ann"), 400)["message"]
    )


@pytest.mark.parametrize(
    ("name", "audio", "fields", "sentence"),
    [
        ("../bea", recording(), {}, "not a valid voice name"),
        ("bea.safetensors", recording(), {}, "name of a file"),
        ("bea", recording(), {"gender": "loud"}, "gender"),
        ("random", recording(), {}, "asks for none"),
        ("bea", recording(), {"transcript": "!?"}, "letter or digit"),
        ("bea", recording(), {"consent": "left out"}, "consent"),
        ("bea", recording(), {"consent": " "}, "who agreed"),
        ("bea", b"no audio", {}, "not a readable audio file"),
        ("bea", b"", {}, "empty"),
        ("bea", recording(0.5), {}, "less than 1 s"),
        ("bea", recording(61), {}, "longer than 60 s"),
        ("bea", many_channels(16), {}, "16 channels"),
    ],
)
def test_bad_voices_are_refused(
    server: Server, name: str, audio: bytes, fields: dict[str, str], sentence: str
) -> None:
    answer = upload(server, name, audio, **fields)
    assert sentence in envelope(answer, 400)["message"]


@pytest.mark.parametrize("name", ["default", "alloy", "Nova"])
def test_names_that_others_know_stay_so(server: Server, name: str) -> None:
    answer = upload(server, name, recording())
    assert "stands for a voice of the model here" in envelope(answer, 400)["message"]


def test_of_two_who_add_one_voice_one_is_first(server: Server) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: upload(server, "same", recording()), range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 400, 400, 400]
    assert server.client.delete("/v1/audio/voices/same").status_code == 200


def test_voices_that_vanish_are_not_listed(
    tiny: Path, own_voices: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tts = Llasa.load(tiny, device="cpu")
    store = VoiceStore(tts)
    store.add("bea", read_audio(recording()), "The lazy dog jumps.", "Bea")
    files = voice_files(own_voices, *tts.files.voices)
    monkeypatch.setattr("llasa.serving.voices.voice_files", lambda *folders: files)
    usable = tts.voices()
    monkeypatch.setattr(tts, "voices", lambda: usable)
    (own_voices / "bea.safetensors").unlink()
    assert [voice.id for voice in store.list()] == ["ann"]
    with pytest.raises(NotFoundError):
        store.get("bea")


def test_previews_of_voices(server: Server, tiny: Path) -> None:
    path = "/v1/audio/voices/ann/preview"
    assert "has no preview" in envelope(server.client.get(path), 404)["message"]
    assert "unknown" in envelope(server.client.get("/v1/audio/voices/eve/preview"), 404)["message"]
    file = tiny / "voices" / "ann.opus"
    tone(1.0).write(file)
    try:
        assert server.client.get("/v1/audio/voices/ann").json()["preview"]
        heard = server.client.get(path)
        assert heard.headers["content-type"] == "audio/ogg"
        assert heard.content == file.read_bytes()
    finally:
        file.unlink()


def test_kill_while_voices_are_uploaded(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    with serving(tiny, folder) as server:
        assert upload(server, "v0", recording()).status_code == 200

        def many() -> None:
            try:
                for number in range(1, 10_000):
                    upload(server, f"v{number}", recording())
            except httpx.HTTPError:
                pass

        uploading = threading.Thread(target=many)
        uploading.start()
        wait_for(lambda: len(list(folder.glob("v*.safetensors"))) > 3)
        server.stop(signal.SIGKILL)
        uploading.join()
    kept = {path.stem for path in folder.glob("v*.safetensors")}
    with serving(tiny, folder) as server:
        listed = {voice["id"] for voice in server.client.get("/v1/audio/voices").json()["data"]}
        assert listed == {"ann", *kept}
        assert all(Voice.load(folder / f"{name}.safetensors").codes.any() for name in kept)
        assert upload(server, "new", recording()).status_code == 200


def test_a_script_of_several_speakers(server: Server, alone: Llasa) -> None:
    text, cast = "ANNA: A fox runs.\nNote: it sleeps.", {"Anna": "ann", "note": ""}
    body = {"input": text, "cast": cast, "seed": 3, "response_format": "pcm"}
    answer = server.client.post("/v1/audio/speech", json=body)
    assert answer.status_code == 200, answer.text
    expected = alone(text, cast=cast, seed=3)
    assert len(answer.content) == 2 * round(expected.seconds * 24_000)

    def refusal(status: int, **told: object) -> str:
        sent = server.client.post("/v1/audio/speech", json={**body, **told})
        return str(envelope(sent, status)["message"])

    assert "the cast does not have: Note" in refusal(400, cast={"anna": "ann"})
    assert "'nobody' is unknown" in refusal(404, cast={"anna": "nobody"})
    assert "random is no voice of a cast" in refusal(400, cast={"anna": "random"})
    assert "cast" in refusal(400, cast={})
    assert "cast" in refusal(400, cast=["anna"])


def test_a_cast_of_a_model_without_a_voice_of_its_own(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path, ModelConfig("bare"))
    with serving(model, tmp_path / "voices") as server:
        body = {"input": "ANNA: A fox runs.", "cast": {"Anna": "default"}}
        refused = envelope(server.client.post("/v1/audio/speech", json=body), 400)
        assert "Anna the voice 'default', and the model has none" in refused["message"]
        body["cast"] = {"Anna": "ann"}
        assert server.client.post("/v1/audio/speech", json=body).status_code == 200


def test_sound_in_another_format(server: Server, tmp_path: Path) -> None:
    sound = read_audio(recording())
    both = Audio(np.stack([sound.samples, sound.samples], 1), sound.rate)
    for file in (recording(), both.encode("flac")):
        for form, kind in (("mp3", "mpeg"), ("flac", "flac"), ("opus", "ogg"), ("wav", "wav")):
            told = {"response_format": form}
            answer = server.client.post("/v1/audio/convert", files={"file": file}, data=told)
            assert answer.headers["content-type"] == f"audio/{kind}"
            made = read_audio(answer.content)
            assert made.samples.ndim == 1
            assert made.duration == pytest.approx(sound.duration, abs=0.1)
    bare = server.client.post("/v1/audio/convert", files={"file": recording()})
    assert bare.headers["content-type"] == "audio/mpeg"


def test_the_longest_speech_in_another_format(server: Server) -> None:
    sound = Audio(np.zeros(600 * PCM_RATE, np.float32), PCM_RATE).encode("wav")  # as on the page
    told = {"response_format": "flac"}
    answer = server.client.post("/v1/audio/convert", files={"file": sound}, data=told)
    assert read_audio(answer.content).duration == 600
    longer = Audio(np.zeros(601 * PCM_RATE, np.float32), PCM_RATE).encode("flac")
    refused = server.client.post("/v1/audio/convert", files={"file": longer})
    assert "longer than 600 s: cut it" in envelope(refused, 400)["message"]
    more = bytes(len(sound) + (1 << 20))
    refused = server.client.post("/v1/audio/convert", files={"file": more})
    assert "too large" in envelope(refused, 413)["message"]


def test_sound_that_cannot_be_in_another_format(server: Server) -> None:
    def refusal(file: bytes, status: int = 400, **told: str) -> str:
        sent = server.client.post("/v1/audio/convert", files={"file": file}, data=told)
        return str(envelope(sent, status)["message"])

    assert "not a readable audio file" in refusal(b"no sound at all")
    assert "mp3" in refusal(recording(), response_format="midi")
    long = Audio(np.zeros(601 * 8000, np.float32), 8000).encode("flac")
    assert "longer than 600 s" in refusal(long)
    slow = Audio(np.zeros(600, np.float32), 1).encode("wav")
    assert "has 1 Hz: give one of 4,000 Hz or more" in refusal(slow)
    assert "form" in envelope(server.client.post("/v1/audio/convert", json={}), 415)["message"]
    assert (
        "file"
        in envelope(server.client.post("/v1/audio/convert", files={"x": b""}), 400)["message"]
    )


def test_tokens_there_and_back(server: Server, alone: Llasa) -> None:
    answer = server.client.post("/v1/audio/tokens", files={"file": recording()}).json()
    (codes,) = alone.codec.encode([read_audio(recording())])
    assert answer == {"codes": codes.tolist(), "codec": alone.codec.id, "frame_rate": 50.0}
    decoded = server.client.post("/v1/audio/tokens/decode", json={"codes": answer["codes"]})
    (samples,) = alone.codec.decode([codes])
    sound = read_audio(decoded.content)
    np.testing.assert_allclose(sound.samples, samples.clip(-1, 1), atol=1e-4)
    told = {"codes": answer["codes"], "voice": "ann"}
    refused = envelope(server.client.post("/v1/audio/tokens/decode", json=told), 400)
    assert "This codec has no speaker embeddings: leave the voice out" in refused["message"]
    for wrong in ([], [64], [-1], [0] * 3001, ["a"], [1.5]):
        envelope(server.client.post("/v1/audio/tokens/decode", json={"codes": wrong}), 400)


def test_a_model_whose_codec_hears_voices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(CODEC, speaker_size=8)
    settings = ModelConfig("told", cloning=False, default_voice="ann")
    model = write_tiny_model(tmp_path, settings, config=config)
    monkeypatch.setenv("LLASA_VOICES", str(tmp_path / "none"))
    tts = Llasa.load(model, device="cpu")
    with serving(model, tmp_path / "voices") as server:
        assert upload(server, "bea", recording()).status_code == 200
        body = {"input": TEXT, "voice": "bea", "response_format": "wav", "seed": 1}
        spoken = server.client.post("/v1/audio/speech", json=body).content
        voice = tts.clone(read_audio(recording()), "The lazy dog jumps.", "bea")
        expected = tts(TEXT, voice=voice, seed=1).audio.samples
        np.testing.assert_allclose(read_audio(spoken).samples, expected, atol=1e-3)
        body |= {"voice": "random"}
        spoken = server.client.post("/v1/audio/speech", json=body).content
        expected = tts(TEXT, voice="random", seed=1).audio.samples
        np.testing.assert_allclose(read_audio(spoken).samples, expected, atol=1e-3)
        decode = {"codes": list(range(30)), "voice": "bea"}
        answer = server.client.post("/v1/audio/tokens/decode", json=decode)
        (samples,) = tts.codec.decode([np.arange(30)], voice.speaker_embedding)
        heard = read_audio(answer.content).samples
        np.testing.assert_allclose(heard, samples.clip(-1, 1), atol=1e-4)
        for name, status in (("random", 400), ("eve", 404)):
            answer = server.client.post("/v1/audio/tokens/decode", json={**decode, "voice": name})
            envelope(answer, status)


# -- bad bodies and the rest ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({}, 400, "input"),
        ({"input": ""}, 400, "The text is empty"),
        ({"input": "!?"}, 400, "no letter or digit"),
        ({"input": "\ud800"}, 400, ""),
        ({"input": 3}, 400, "input"),
        ({"input": "a" * 5000}, 400, "at most 4,096"),
        ({"input": TEXT, "speed": 9}, 400, "speed"),
        ({"input": TEXT, "pause": -1}, 400, "pause"),
        ({"input": TEXT, "temperature": -1}, 400, "temperature"),
        ({"input": TEXT, "seed": -1}, 400, "seed"),
        ({"input": TEXT, "seed": 2**70}, 400, "seed"),
        ({"input": TEXT, "max_seconds": 0}, 400, "max_seconds"),
        ({"input": TEXT, "response_format": "midi"}, 400, "'aac'"),
        ({"input": TEXT, "voice": "ann+ann"}, 400, "has no speaker embedding"),
        ({"input": TEXT, "voice": "ann(0)"}, 400, "has no weight"),
        ({"input": TEXT, "lang_code": "q"}, 400, "'q'"),
        ({"input": TEXT, "model": "gpt-9"}, 404, "not served"),
        ({"input": TEXT, "voice": "nobody"}, 404, "unknown"),
        ({"input": TEXT, "voice": "/etc/passwd.safetensors"}, 404, "unknown"),
        ({"input": TEXT, "voice": "http://localhost/ann.safetensors"}, 404, "unknown"),
        ([1], 400, ""),
    ],
)
def test_bad_bodies_get_openais_error(
    server: Server, body: Any, status: int, sentence: str
) -> None:
    answer = server.client.post(
        SPEECH, content=json.dumps(body), headers={"content-type": "application/json"}
    )
    assert sentence in envelope(answer, status)["message"]


def test_bodies_that_are_no_json(server: Server) -> None:
    json_type = {"content-type": "application/json"}
    for content in (b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"input": NaN}'):
        envelope(server.client.post(SPEECH, content=content, headers=json_type), 400)
    huge = b'{"input": "' + b"a" * (1 << 20) + b'"}'
    envelope(server.client.post(SPEECH, content=huge, headers=json_type), 413)
    for path, kind in ((SPEECH, "text/plain"), ("/v1/audio/tokens", "application/json")):
        answer = server.client.post(path, content=b"{}", headers={"content-type": kind})
        assert kind != "text/plain" or "application/json" in envelope(answer, 415)["message"]
        assert " is not " in envelope(answer, 415)["message"]
    envelope(server.client.get("/nothing"), 404)
    envelope(server.client.get(SPEECH), 405)


def test_state(server: Server) -> None:
    assert server.client.get("/health").json() == {"status": "ok"}
    answer = server.client.get("/ready", headers={"x-request-id": "my-id"})
    assert answer.json() == {"status": "ready"}
    assert answer.headers["x-request-id"] == "my-id"
    assert server.client.get("/v1/models").json()["data"][0]["id"] == "tiny"
    assert server.client.get("/v1/models/tiny").json()["object"] == "model"
    for name in ("other", "HKUSTAudio/Llasa-1B"):
        assert name in envelope(server.client.get(f"/v1/models/{name}"), 404)["message"]
    assert server.client.get("/v1/models/tts-1").json()["id"] == "tts-1"
    limits = server.client.get("/v1/models").json()["data"][0]["limits"]
    assert limits == {"chars": 4096, "seconds": 600.0, "candidates": 8}
    for path in ("/", "/health", "/v1/models", "/v1/audio/voices"):
        head = server.client.head(path)
        assert (head.status_code, head.content) == (200, b"")
    server.client.post(SPEECH, json={"input": TEXT, "max_seconds": 0.5})
    for name in ("llasa_first_audio_seconds_count", "llasa_rtf_count", "llasa_audio_seconds_total"):
        wait_for(partial(server.metric, name))
    evil = {"host": "evil.example"}
    assert "--allow-host" in envelope(server.client.get("/v1/models", headers=evil), 403)["message"]
    cross = {"sec-fetch-site": "cross-site"}
    form = {"name": "eve", "consent": "x", "transcript": "The lazy dog jumps."}
    answer = server.client.post(
        "/v1/audio/voices", data=form, files={"audio_sample": recording()}, headers=cross
    )
    assert "--cors" in envelope(answer, 403)["message"]
    assert (
        "access-control-allow-origin"
        not in server.client.get("/health", headers={"origin": "https://evil.example"}).headers
    )


def test_pages_that_may_call_can_read_the_headers(endless: Path, tmp_path: Path) -> None:
    page = {"origin": "https://app.example"}
    with serving(endless, tmp_path, "--cors", page["origin"]) as server:
        body = {"input": "A fox.", "response_format": "wav"}
        answer = server.client.post(SPEECH, json=body, headers=page)
        assert answer.status_code == 200
        own = {name for name in answer.headers if name.startswith("x-")}
        assert own == {"x-llasa-seed", "x-llasa-warnings", "x-request-id"}
        exposed = answer.headers["access-control-expose-headers"].split(", ")
        assert set(exposed) == own | {"retry-after"}


def test_words_of_a_voice_are_heard_in_the_models_language(
    tmp_path: Path, own_voices: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    german = write_tiny_model(tmp_path, ModelConfig("german", languages=("de",)))
    heard: list[str] = []

    def transcribe(audio: Audio, language: str = "en") -> str:
        heard.append(language)
        return "The lazy dog jumps."

    monkeypatch.setattr("llasa.serving.voices.transcribe", transcribe)
    VoiceStore(Llasa.load(german, device="cpu")).add("bea", read_audio(recording()), "", "Bea")
    assert heard == ["de"]

"""Clients that know nothing of this server: what they send is answered as they expect."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from llasa.audio.audio import read_audio
from llasa.models.folder import ModelConfig
from tests.tiny_model import CODEC, tone, write_tiny_model
from tests.waiting import PATIENCE

from .tools import Server, envelope, serving

pytestmark = pytest.mark.slow

REQUESTS = sorted(Path(__file__).with_name("clients").glob("*.json"))
"""As some clients send them, written down after their code: see the README beside them."""
SPEECH = "/v1/audio/speech"
PACKAGE = "openai@6.9.1"
SCRIPT = """
import OpenAI from "openai";
import { writeFile } from "node:fs/promises";
const client = new OpenAI({ baseURL: process.argv[2] + "/v1", apiKey: "none", maxRetries: 0 });
const answer = await client.audio.speech.create({ model: "gpt-4o-mini-tts-2025-12-15",
  voice: "cedar", input: "The fox runs.", instructions: "Calm.", response_format: "wav" });
await writeFile("out.wav", Buffer.from(await answer.arrayBuffer()));
const wrong = await client.audio.speech.create({ model: "tts-1", voice: "nobody", input: "A fox." })
  .catch(error => error);
const models = await client.models.list();
console.log(JSON.stringify({ warnings: answer.headers.get("x-llasa-warnings"),
  status: wrong.status, message: wrong.message, models: models.data.map(model => model.id) }));
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Of a model with the voices ann and bea, which can be mixed."""
    config = replace(CODEC, speaker_size=8)
    settings = ModelConfig("tiny", cloning=False, default_voice="ann")
    model = write_tiny_model(tmp_path_factory.mktemp("model"), settings, config=config, ends=-2.0)
    with serving(model, tmp_path_factory.mktemp("voices")) as running:
        form = {"name": "bea", "consent": "Bea", "transcript": "The lazy dog jumps."}
        sample = {"audio_sample": tone(2).encode("wav")}
        assert running.client.post("/v1/audio/voices", data=form, files=sample).status_code == 200
        yield running


@pytest.mark.parametrize("file", REQUESTS, ids=lambda file: file.stem)
def test_requests_as_clients_send_them(server: Server, file: Path) -> None:
    for sent in json.loads(file.read_text("utf-8")):
        body = json.dumps(sent["body"]).encode() if "body" in sent else None
        answer = server.client.request(
            sent["method"], sent["path"], content=body, headers=sent.get("headers", {})
        )
        assert answer.status_code == 200, answer.text
        if "sound" in sent:
            assert answer.headers["content-type"] == sent["sound"]
            assert read_audio(answer.content).duration > 0.1
            warnings = answer.headers.get("x-llasa-warnings", "")
            assert sent.get("warns", "") in warnings
        found: Any = answer.json() if "reads" in sent else "-"
        for step in sent.get("reads", ()):
            found = found[step]
        assert isinstance(found, str)
        assert found


def test_openai_from_npm(server: Server, tmp_path: Path) -> None:
    if not shutil.which("npm") or not shutil.which("node"):
        pytest.skip("needs node and npm")
    command = ["npm", "install", "--no-audit", "--no-fund", PACKAGE]
    if subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=PATIENCE).returncode:
        pytest.skip(f"npm cannot install {PACKAGE}")
    (tmp_path / "client.mjs").write_text(SCRIPT)
    done = subprocess.run(
        ["node", "client.mjs", server.url], cwd=tmp_path, capture_output=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["models"] == ["tiny"]
    assert told["status"] == 404
    assert "Voice 'nobody' is unknown" in told["message"]
    assert "instructions" in told["warnings"]
    assert read_audio(tmp_path / "out.wav").duration > 0.1


def test_strict(tiny: Path, tmp_path: Path) -> None:
    with serving(tiny, tmp_path, "--strict", "--root-path", "/tts") as server:
        body = {"input": "A fox.", "sped": 2}
        refused = envelope(server.client.post(SPEECH, json=body), 400)
        assert "Did you mean speed?" in refused["message"]
        body = {"input": "A fox.", "instructions": "Calm.", "response_format": "wav"}
        assert server.client.post(f"/tts{SPEECH}", json=body).status_code == 200
        assert server.client.get("/tts/openapi.json").json()["servers"] == [{"url": "/tts"}]


def test_what_changes_nothing_is_told_everywhere(server: Server) -> None:
    body = {"input": "A fox.", "instructions": "Calm.", "stream": True, "seed": 1}
    told = "'instructions' change nothing: the model has no styles."
    with server.client.stream("POST", SPEECH, json={**body, "stream_format": "sse"}) as answer:
        assert told in json.loads(answer.headers["x-llasa-warnings"])
        *_, last = [json.loads(line[6:]) for line in answer.iter_lines() if line]
    candidates = server.client.post(SPEECH, json={**body, "return_candidates": True}).json()
    for warnings in (last["warnings"], candidates["warnings"]):
        assert warnings.count(told) == 1
        assert any(warning.startswith("'stream' is not a field") for warning in warnings)
    quiet = server.client.post(SPEECH, json={"input": "A fox.", "response_format": "wav"})
    assert "instructions" not in quiet.headers.get("x-llasa-warnings", "")


def test_mixtures_and_openais_voices(server: Server) -> None:
    def spoken(voice: str) -> bytes:
        body = {"input": "A fox.", "voice": voice, "response_format": "wav", "seed": 1}
        answer = server.client.post(SPEECH, json=body)
        assert answer.status_code == 200, answer.text
        return answer.content

    sounds = [spoken(voice) for voice in ("ann", "bea", "ann+bea", "ann(3)+bea")]
    assert len(set(sounds)) == 4
    assert spoken("bea(2)+ann(2)") == spoken("ann+bea")
    assert spoken("ann + bea") == spoken("ann+bea")
    assert spoken("alloy") == spoken("nova") == spoken("default") == sounds[0]
    for voice, status in (("ann+random", 404), ("ann+eve", 404), ("ann+", 400)):
        answer = server.client.post(SPEECH, json={"input": "A fox.", "voice": voice})
        envelope(answer, status)

"""Whatever comes in: an answer, never a 5xx, and no file touched but the voices."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("schemathesis", reason="needs the schemathesis package")
import schemathesis

from tests.tiny_model import tone
from tests.waiting import PATIENCE

from .tools import Server, serving

pytestmark = pytest.mark.slow

RUNS = int(os.environ.get("LLASA_FUZZ", "200"))
"""Requests of each kind, and to each operation."""


@pytest.fixture(scope="module")
def server(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    voices = tmp_path_factory.mktemp("voices")
    with serving(
        tiny, voices, "--max-seconds", "1", "--max-chars", "200", "--max-candidates", "2"
    ) as running:
        yield running
        assert running.client.get("/health").status_code == 200
        assert all(path.suffix == ".safetensors" for path in voices.iterdir())


def test_the_openapi_document_is_kept(server: Server) -> None:
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) == 15
    for operation in operations:

        @settings(
            max_examples=RUNS,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def kept(case: Any) -> None:
            answer = case.call(timeout=PATIENCE)
            assert answer.status_code < 500
            if answer.status_code >= 400:
                assert "error" in answer.json()

        kept()


def value(draw: random.Random, depth: int = 0) -> Any:
    """Some JSON value, now and then a nasty one."""
    simple: list[Any] = [
        None,
        True,
        0,
        -1,
        2**63,
        10**400,
        1e308,
        0.5,
        "",
        "A fox.",
        "\x00\ud800\u202e👾",
        "../../etc/passwd",
        "http://127.0.0.1:1/a.wav",
        "a" * 3000,
        "wav",
        "sse",
        "random",
    ]
    if depth < 3 and draw.random() < 0.2:
        return [value(draw, depth + 1) for _ in range(draw.randrange(4))]
    if depth < 3 and draw.random() < 0.1:
        return {draw.choice(["id", "input", ""]): value(draw, depth + 1)}
    return draw.choice(simple)


def check(answer: httpx.Response) -> None:
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert answer.json()["error"]["message"]


def test_bodies(server: Server) -> None:
    draw = random.Random(0)
    fields = [
        *("model", "voice", "response_format", "speed", "seed", "max_seconds", "temperature"),
        *("top_k", "top_p", "min_p", "repetition_penalty", "repetition_window"),
        *("stream_format", "best_of", "verifiers", "strategy", "return_candidates"),
        "timestamp_granularities",
        *("codes", "unknown"),
    ]
    for number in range(RUNS):
        body = {name: value(draw) for name in draw.sample(fields, draw.randrange(4))}
        if draw.random() < 0.8:
            body["input"] = "A fox." if draw.random() < 0.5 else value(draw)
        path = "/v1/audio/speech" if number % 4 else "/v1/audio/tokens/decode"
        data = json.dumps(body).encode()
        if draw.random() < 0.1:
            data = data[: draw.randrange(len(data))]
        kind = {"content-type": draw.choice(["application/json", "text/plain", "a/b"])}
        if draw.random() < 0.8:
            kind = {"content-type": "application/json"}
        check(server.client.post(path, content=data, headers=kind))


def test_uploads(server: Server) -> None:
    draw = random.Random(1)
    sounds = [tone(1.2).encode(format) for format in ("wav", "flac", "mp3", "ogg")]
    for number in range(RUNS):
        sound = bytearray(draw.choice(sounds))
        for _ in range(draw.choice([0, 1, 20])):
            sound[draw.randrange(min(len(sound), 200))] = draw.randrange(256)
        data = bytes(sound[: draw.choice([len(sound), 10, 1000])])
        form = {"transcript": "A lazy dog jumps.", "consent": "x"}
        form["name"] = draw.choice([f"v{number}", "../x", "/tmp/x", "", "a\x00b", "é" * 70])
        for name in draw.sample(list(form), draw.choice([0, 0, 1])):
            del form[name]
        file = {"audio_sample": (draw.choice(["a.wav", "../../a", ""]), data)}
        if number % 3 == 0:
            check(server.client.post("/v1/audio/tokens", files={"file": data}))
        else:
            check(server.client.post("/v1/audio/voices", data=form, files=file))

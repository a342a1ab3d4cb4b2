"""Over HTTP, too, nothing goes wrong in silence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from websockets.sync.client import connect

from llasa.models.folder import ModelConfig
from llasa.verifiers.registry import missing_packages
from tests.tiny_model import write_tiny_model

from .tools import Server, envelope, serving

pytestmark = pytest.mark.slow

SPEECH = "/v1/audio/speech"
CUT = "did not end by itself and was cut off after"
GERMAN = "Guten Tag, mein Name ist Jürgen, und ich komme aus Köln am schönen Rhein, wo es regnet."
needs_content = pytest.mark.skipif(
    bool(missing_packages("content")), reason="needs the extra search"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A model that speaks English and never ends."""
    folder = tmp_path_factory.mktemp("model")
    settings = ModelConfig("tiny", default_voice="ann", languages=("en",))
    model = write_tiny_model(folder, settings, ends=-50.0)
    with serving(model, tmp_path_factory.mktemp("voices")) as running:
        yield running


def done_of(server: Server, **body: Any) -> dict[str, Any]:
    """The last event of a stream."""
    body = {"input": "A fox.", "response_format": "pcm", "stream_format": "sse", **body}
    events = server.client.post(SPEECH, json=body).text.strip().split("\n\n")
    return json.loads(events[-1].removeprefix("data: "))


def test_speech_that_does_not_end_is_said(server: Server) -> None:
    whole = server.client.post(SPEECH, json={"input": "A fox.", "response_format": "wav"})
    (warning,) = json.loads(whole.headers["x-llasa-warnings"])
    assert CUT in warning
    done = done_of(server)
    assert done["finish_reason"] == "length"
    assert CUT in done["warnings"][0]
    got = server.client.post(SPEECH, json={"input": "A fox.", "return_candidates": True})
    assert CUT in got.json()["warnings"][0]
    with connect(server.url.replace("http", "ws") + SPEECH) as line:
        line.send(json.dumps({"response_format": "pcm"}))
        line.send(json.dumps({"text": "A fox.", "end": True}))
        *_, last = line
    assert CUT in json.loads(last)["warnings"][0]
    wanted = {"input": "A fox.", "response_format": "wav", "max_seconds": 0.2}
    assert "x-llasa-warnings" not in server.client.post(SPEECH, json=wanted).headers


def test_many_warnings_fit_into_a_header(server: Server) -> None:
    body = {"input": "The fox jumps over the lazy dog, and it does so all day. " * 12}
    answer = server.client.post(SPEECH, json={**body, "response_format": "wav"})
    told = json.loads(answer.headers["x-llasa-warnings"])
    assert len(told) == 6
    assert told[-1].startswith("And ")


def test_languages(server: Server) -> None:
    refused = server.client.post(SPEECH, json={"input": GERMAN})
    assert "speaks English only, and the text is German" in envelope(refused, 400)["message"]
    body = {"input": GERMAN, "force": True, "max_seconds": 0.2}
    forced = server.client.post(SPEECH, json=body)
    assert forced.status_code == 200
    assert "German" in json.loads(forced.headers["x-llasa-warnings"])[0]


@needs_content
def test_a_check_tells_each_sentence(server: Server) -> None:
    done = done_of(server, check=True, tries=2, max_seconds=0.5)
    (check,) = done["checks"]
    assert (check["text"], check["ok"]) == ("A fox.", False)
    assert 1 <= check["tries"] <= 2
    assert "'A fox.'" in done["warnings"][0]
    body = {"input": "A fox.", "check": True, "tries": 1, "max_seconds": 0.5}
    got = server.client.post(SPEECH, json={**body, "return_candidates": True}).json()
    assert got["checks"][0]["text"] == "A fox."
    assert "moonshine" in got["search"][0]["candidates"][0]["heard"]
    assert 'verifier="moonshine"' in server.client.get("/metrics").text


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"tries": 2}, "tries belongs to check"),
        ({"check": True, "tries": 9}, "at most 8 times"),
        ({"check": True, "tries": 0}, "tries: "),
        ({"check": True, "best_of": 2}, "Give either check, or best_of"),
        ({"check": "perhaps"}, "check: "),
    ],
)
def test_bad_checks(server: Server, body: dict[str, Any], reason: str) -> None:
    answer = server.client.post(SPEECH, json={"input": "A fox.", **body})
    assert reason in envelope(answer, 400)["message"]

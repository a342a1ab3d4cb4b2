"""Candidates, verifiers and recognised transcripts over HTTP."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

import llasa
from llasa.audio.audio import read_audio
from llasa.search.result import SearchResult
from llasa.search.strategies import Strategy, sample
from llasa.serving.metrics import Metrics
from llasa.serving.schemas import SpeechSettings
from llasa.serving.search_factory import SearchFactory
from llasa.tts.llasa import Llasa
from llasa.verifiers.registry import missing_packages

from .tools import Server, envelope, serving

pytestmark = pytest.mark.slow

SPEECH = "/v1/audio/speech"
TEXT = "The lazy dog speaks. " * 6
JUDGES = ["length", "repetition"]


@pytest.fixture(scope="module")
def server(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tiny, tmp_path_factory.mktemp("voices")) as running:
        yield running


def test_judges_listen_for_the_language_of_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []

    def plan(name: str, n: int, *, verify: list[str], language: str) -> Strategy:
        heard.append(language)
        return sample

    monkeypatch.setattr("llasa.serving.search_factory.plan", plan)
    chooser = SearchFactory(8, {"length": ""}, Metrics(), "fr")
    for language in (None, "de", "de-AT"):
        body = {"best_of": 2, "verifiers": ["length"], "language": language}
        assert chooser.strategy(SpeechSettings.model_validate(body), shown=False)
    assert heard == ["fr", "de", "de"]


@pytest.fixture
def alone(tiny: Path, own_voices: Path) -> Llasa:
    return Llasa.load(tiny, device="cpu")


def test_all_candidates_come_with_scores_and_sound(server: Server, alone: Llasa) -> None:
    body = {"input": TEXT, "best_of": 3, "verifiers": JUDGES, "return_candidates": True}
    answer = server.client.post(SPEECH, json={**body, "response_format": "wav", "seed": 5})
    assert answer.status_code == 200, answer.text
    got = answer.json()
    speech = alone(TEXT, seed=5, search=partial(llasa.best_of_n, n=3, verify=JUDGES))
    assert base64.b64decode(got["audio"]) == speech.audio.encode("wav")
    assert got["finish_reason"] == speech.finish_reason
    assert len(got["search"]) == len(speech.search) > 1
    assert [part["silence_before"] for part in got["search"]] == [0, 0]
    assert [part["silence_after"] for part in got["search"]] == [0.3, 0]
    for part, known in zip(got["search"], speech.search, strict=True):
        assert part["text"] == known.text
        for one, take in zip(part["candidates"], known.candidates, strict=True):
            audio = one.pop("audio")
            assert one == take.to_dict()
            assert base64.b64decode(audio) == take.audio.encode("wav")
    assert "llasa_verifier_seconds_total" in server.client.get("/metrics").text


def test_one_candidate_needs_no_verifier(server: Server) -> None:
    body = {"input": "A fox.", "return_candidates": True}
    (part,) = server.client.post(SPEECH, json=body).json()["search"]
    (candidate,) = part["candidates"]
    assert candidate["scores"] == {}
    assert candidate["audio"]


@pytest.mark.parametrize(
    ("asked", "known"),
    [
        ({"best_of": 4, "strategy": "beam"}, partial(llasa.beam, beams=2, expand=2)),
        (
            {"best_of": 3, "strategy": "partial"},
            partial(llasa.partial_search, beams=1, expand=3, n=3),
        ),
        ({}, llasa.sample),
    ],
)
def test_each_strategy_is_that_of_python(
    server: Server, alone: Llasa, asked: dict[str, Any], known: Callable[..., SearchResult]
) -> None:
    body = {"input": "Two dogs.", "seed": 3, "response_format": "wav", "verifiers": JUDGES}
    answer = server.client.post(SPEECH, json={**body, **asked})
    speech = alone("Two dogs.", seed=3, search=partial(known, verify=JUDGES))
    assert answer.content == speech.audio.encode("wav")


def test_the_best_is_streamed_part_by_part(server: Server, alone: Llasa) -> None:
    body = {"input": TEXT, "best_of": 2, "verifiers": JUDGES, "seed": 5}
    body |= {"response_format": "pcm", "stream_format": "sse"}
    with server.client.stream("POST", SPEECH, json=body) as answer:
        events = [json.loads(line[6:]) for line in answer.iter_lines() if line]
    speech = alone(TEXT, seed=5, search=partial(llasa.best_of_n, n=2, verify=JUDGES))
    assert len(events) > len(speech.search)
    assert events[-1]["usage"]["output_tokens"] == speech.tokens


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"best_of": 9}, "at most 8 candidates"),
        ({"best_of": 0}, "best_of"),
        ({"verifiers": ["contents"]}, "not served: valid are"),
        ({"verifiers": ["style:/etc/passwd"]}, "not served"),
        ({"verifiers": ["whisper:owner/name"]}, "not served"),
        ({"verifiers": []}, "verifiers"),
        ({"verifiers": ["length", "length"]}, "named twice"),
        ({"strategy": "worst"}, "strategy"),
        ({"return_candidates": True, "stream_format": "sse"}, "leave stream_format out"),
    ],
)
def test_what_is_not_allowed(server: Server, wrong: dict[str, Any], sentence: str) -> None:
    answer = server.client.post(SPEECH, json={"input": "A fox.", **wrong})
    assert sentence in envelope(answer, 400)["message"]


def test_what_is_served_is_told(server: Server) -> None:
    (model,) = server.client.get("/v1/models").json()["data"]
    assert model["limits"] == {"chars": 4096, "seconds": 600, "candidates": 8}
    assert "length" in model["verifiers"]
    assert model["default_voice"] == "ann"
    assert not any(":" in name or name == "xvector" for name in model["verifiers"])


def test_a_missing_transcript_is_recognised(server: Server, speech_data: Path) -> None:
    if missing_packages("content"):
        pytest.skip("needs the extra search")
    row = json.loads((speech_data / "librispeech.jsonl").read_text().splitlines()[0])
    recording = (speech_data / row["audio"]).read_bytes()
    form = {"name": "heard", "consent": "the corpus' licence"}
    answer = server.client.post(
        "/v1/audio/voices", data=form, files={"audio_sample": recording}
    ).json()
    heard = set(answer["transcript"].lower().split())
    words = set(row["text"].lower().split())
    assert len(heard & words) > 0.6 * len(words)
    assert answer["seconds"] == pytest.approx(read_audio(recording).duration, abs=2)

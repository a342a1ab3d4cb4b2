"""The server without PyTorch: `llasa serve --engine onnx` on an export."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("onnx", reason="needs the extra export")

from llasa.audio.audio import read_audio
from llasa.models.export.onnx import export_onnx
from llasa.models.find import find_model
from llasa.tts.llasa import Llasa
from tests.tiny_model import tone

from .tools import Server, envelope, serving

pytestmark = pytest.mark.slow

SPEECH, TEXT = "/v1/audio/speech", "The fox jumps. The lazy dog sleeps."
TORCHLESS = """
import sys
sys.modules["torch"] = None  # importing it fails
from llasa.cli.main import main
raise SystemExit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def server(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    model = tmp_path_factory.mktemp("export") / "tiny"
    export_onnx(find_model(tiny), model)
    where = (model, tmp_path_factory.mktemp("voices"), "--engine", "onnx")
    with serving(*where, program=("-c", TORCHLESS)) as running:
        yield running


def test_speech(server: Server, tiny: Path) -> None:
    body = {"input": TEXT, "voice": "ann", "temperature": 0, "max_seconds": 2}
    whole = server.client.post(SPEECH, json={**body, "response_format": "wav"})
    assert whole.status_code == 200, whole.text
    ours = Llasa.load(tiny)(TEXT, voice="ann", temperature=0, max_seconds=2)
    theirs = read_audio(whole.content)
    np.testing.assert_allclose(theirs.samples, ours.audio.samples, atol=1e-3)
    streamed = server.client.post(SPEECH, json={**body, "stream_format": "sse"})
    assert json.loads(streamed.text.strip().splitlines()[-1][6:])["seconds"] == ours.seconds


def test_candidates_and_recordings(server: Server) -> None:
    body = {"input": "A fox.", "best_of": 3, "verifiers": ["length"], "return_candidates": True}
    answer = server.client.post(SPEECH, json=body)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["search"][0]["candidates"]) == 3
    sample = {"audio_sample": tone(2).encode("wav")}
    form = {"name": "bea", "consent": "Bea", "transcript": "The lazy dog jumps."}
    assert server.client.post("/v1/audio/voices", data=form, files=sample).status_code == 200
    spoken = server.client.post(SPEECH, json={"input": "A fox.", "voice": "bea", "seed": 1})
    assert spoken.status_code == 200, spoken.text
    assert envelope(server.client.post(SPEECH, json={"input": ""}), 400)

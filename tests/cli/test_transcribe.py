"""``llasa transcribe``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llasa.models.folder import ModelConfig
from tests.tiny_model import tone, write_tiny_model

from .conftest import Run


@pytest.fixture
def hearing(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path, ModelConfig("tiny", hearing=True))


def test_lines_and_json(run: Run, hearing: Path, recording: Path) -> None:
    tone(0.5).write("b.wav")
    one = run("transcribe", recording, "--model", hearing)
    both = run("transcribe", recording, "b.wav", "--model", hearing)
    assert (one.code, one.err, both.code) == (0, "", 0)
    first, second = both.out.decode().splitlines()
    assert first == f"{recording}: {one.out.decode().rstrip()}"
    assert second.startswith("b.wav: ")
    result = run("transcribe", recording, "b.wav", "--model", hearing, "--json")
    rows = [json.loads(line) for line in result.out.splitlines()]
    assert [row["seconds"] for row in rows] == [1.5, 0.5]
    assert rows[0].keys() == {"audio", "text", "logprob", "seconds"}
    assert one.out.decode().strip() in rows[0]["text"] or not rows[0]["text"].isprintable()


def test_refusals(run: Run, tiny: Path, hearing: Path, recording: Path) -> None:
    assert (
        "Model tiny was not trained to hear" in run("transcribe", recording, "--model", tiny).error
    )
    assert "none.wav does not exist" in run("transcribe", "none.wav", "--model", hearing).error
    Path("text.wav").write_text("no sound")
    assert "text.wav" in run("transcribe", "text.wav", "--model", hearing).error

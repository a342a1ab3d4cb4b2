"""``llasa distill`` from texts to a judged model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llasa.models.find import find_model
from llasa.models.folder import ModelConfig
from tests.tiny_model import write_tiny_model

from .conftest import Run

pytestmark = pytest.mark.slow
WORDS = ("me", "you", "him", "her", "us", "them")


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text("".join(f"The lazy dog jumps over {word}.\n" for word in WORDS))
    return path


def test_rounds_are_judged_beside_the_start(run: Run, tmp_path: Path, texts: Path) -> None:
    model = write_tiny_model(tmp_path, ModelConfig("tiny", cloning=False), ends=0.7)
    command = ["distill", texts, "-o", "better", "--from", model, "--rounds", 1, "--sentences", 3]
    command += ["--takes", 2, "--held-out", 3, "--verify", "length", "--good", -99, "--epochs", 1]
    command += ["--device", "cpu", "--judges", "repetition", "--json"]
    result = run(*command)
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert list(found["scores"]["all"]) == ["start", "round 1"]
    assert found["scores"]["all"]["round 1"]["score repetition"]["utterances"] == 3
    assert found["choosing"] == ["rules"]
    assert "of the family rules, which also chose" in result.err
    assert list(found["against"]["start"]) == ["round 1"]
    assert find_model("better").settings.name == "better"
    assert run(*command).code == 0  # nothing is left to do


def test_refusals(run: Run, tiny: Path, texts: Path) -> None:
    assert "are needed" in run("distill", texts, "-o", "x", "--from", tiny).error
    assert "none.txt does not exist" in run("distill", "none.txt", "-o", "x", "--from", tiny).error

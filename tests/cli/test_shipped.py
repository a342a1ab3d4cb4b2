"""The model inside the package, through the real command, offline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import llasa
from llasa.audio.audio import read_audio
from llasa.models.find import DEFAULT_MODEL, find_model, shipped_models

WEIGHTS = shipped_models().get(DEFAULT_MODEL, Path("none")) / "lm" / "model.safetensors"
pytestmark = pytest.mark.skipif(
    not WEIGHTS.is_file(), reason=f"the weights of {DEFAULT_MODEL} are not in this checkout"
)


def test_no_argument_speaks_a_greeting(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "llasa", "say", "--json", "--seed", "1"],
        cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "LLASA_VOICES": str(tmp_path / "own")},
        capture_output=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    report = json.loads(done.stdout)
    audio = read_audio(tmp_path / "llasa.wav")
    assert report["finish_reason"] == "stop"
    assert 1 < audio.duration < 10
    assert audio.level() > -40


def test_every_voice_speaks() -> None:
    tts = llasa.load()
    for voice in [None, *tts.voices()]:
        speech = tts("Hello, world.", voice=voice, seed=1)
        assert 0.3 < speech.seconds < 6
        assert speech.audio.level() > -40


def test_it_has_a_card_and_is_small() -> None:
    found = find_model()
    assert "licence" in found.card().lower()
    assert found.root is not None
    size = sum(path.stat().st_size for path in found.root.rglob("*") if path.is_file())
    assert size <= 45e6

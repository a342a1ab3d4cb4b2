"""The model inside the package, through the real command, offline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import llasa
from llasa.audio.audio import read_audio
from llasa.models.find import DEFAULT_MODEL, find_model, shipped_models
from llasa.verifiers.asr.moonshine import Moonshine
from llasa.verifiers.asr.word_errors import errors
from llasa.verifiers.asr.words import EnglishWords
from tests.verifiers.tools import RATE, needs_packages

WEIGHTS = shipped_models().get(DEFAULT_MODEL, Path("none")) / "lm" / "model.safetensors"
pytestmark = pytest.mark.skipif(
    not WEIGHTS.is_file(), reason=f"the weights of {DEFAULT_MODEL} are not in this checkout"
)

SENTENCES = [
    "The train leaves at ten in the morning.",
    "Please close the door when you go out.",
    "My sister lives in a small house near the river.",
    "We had bread and cheese for lunch.",
    "It will be cold and windy tomorrow.",
    "He read the letter twice and put it away.",
    "Could you tell me the way to the station?",
    "The children played in the garden all day.",
    "I will call you again next week.",
    "She bought three apples and a bottle of milk.",
]
GOLDEN = [
    *(946, 1010, 945, 2035, 826, 828, 1852, 2349, 3081, 3085, 3085, 3085, 1724, 956, 957, 1783),
    *(2547, 3251, 3603, 3847, 3847, 3847, 3847, 3892, 3892, 244, 240, 224, 1252, 2196, 3200, 3200),
    *(3266, 3267, 3267, 2243, 3267, 3267, 3539, 2791, 2038, 2034, 2034, 994, 962, 961, 706, 131),
    *(131, 131),
]
"""The first second of "Good morning, how are you?" with the seed 1, on one thread of a CPU."""


@pytest.mark.slow
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


@pytest.mark.slow
def test_every_voice_speaks() -> None:
    tts = llasa.load()
    for voice in [None, *tts.voices()]:
        speech = tts("Hello, world.", voice=voice, seed=1)
        assert 0.3 < speech.seconds < 6
        assert speech.audio.level() > -40


def test_golden_codes() -> None:
    """New weights may change them; nothing else may."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        speech = llasa.load(device="cpu")("Good morning, how are you?", seed=1)
    finally:
        torch.set_num_threads(threads)
    assert speech.codes[: len(GOLDEN)].tolist() == GOLDEN


@needs_packages("moonshine_voice", "onnxruntime", "whisper_normalizer")
@pytest.mark.slow
def test_what_it_says_is_understood() -> None:
    """A recogniser gets less than 30 % of the words of everyday sentences wrong."""
    speeches = llasa.load()(SENTENCES, seed=1)
    clips = [speech.audio.mono().resample(RATE).samples for speech in speeches]
    words, wrong, total = EnglishWords(), 0, 0
    for sentence, heard in zip(SENTENCES, Moonshine().transcribe(clips), strict=True):
        wanted = words(sentence).split()
        wrong += errors(wanted, words(heard.text).split())
        total += len(wanted)
    assert wrong / total < 0.3


def test_it_has_a_card_and_is_small() -> None:
    found = find_model()
    assert "licence" in found.card().lower()
    assert found.root is not None
    size = sum(path.stat().st_size for path in found.root.rglob("*") if path.is_file())
    assert size <= 45e6

"""The parts of the nano recipe that need no package beyond ours."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from llasa.codec.config import CodecConfig
from llasa.training.codec import CodecTraining
from llasa.training.config import load_settings
from llasa.training.lm import LMTraining

RECIPES = Path(__file__).parents[2] / "recipes"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, RECIPES / "nano" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ("a treble row of red beads", "A treble row of red beads."),
        ("  “Who's there?”  ", "Who's there?"),
        ("spaced , out ; words", "Spaced, out; words."),
        ("in 1984 it rained", None),
        ("the NATO treaty", None),
        ("see fig.a for more", None),
        ("word " * 31, None),
        ("", None),
    ],
)
def test_sentences_are_cleaned_or_dropped(raw: str, wanted: str | None) -> None:
    assert script("texts").clean(raw) == wanted


def test_trim_keeps_a_margin_around_the_speech() -> None:
    audio = np.zeros(16_000, np.float32)
    audio[6000:10_000] = 0.5
    trimmed = script("speech").trim(audio)
    assert len(trimmed) == 4000 + 2 * 960 - 1
    assert np.abs(trimmed).max() == 0.5


@pytest.mark.parametrize("recipe", ["nano", "quickstart"])
def test_settings_of_the_recipes_are_valid(recipe: str) -> None:
    codec = load_settings(CodecTraining, RECIPES / recipe / "codec.yaml", [])
    CodecConfig.from_dict(codec.codec)
    load_settings(LMTraining, RECIPES / recipe / "lm.yaml", [])


def test_nano_speaks_fifty_tokens_a_second_from_4096_codes() -> None:
    settings = load_settings(CodecTraining, RECIPES / "nano" / "codec.yaml", [])
    config = CodecConfig.from_dict(settings.codec)
    assert (config.frame_rate, config.codebook_size) == (50, 4096)

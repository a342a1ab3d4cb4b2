"""A model that names its phones: nobody hears them, and nothing else changes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from llasa.base.errors import LlasaError
from llasa.lm.engine import generate
from llasa.models.folder import ModelConfig
from llasa.search.result import SearchResult
from llasa.search.strategies import beam, best_of_n
from llasa.tts.llasa import Llasa
from tests.search.tools import Judge, loudness
from tests.tiny_model import write_tiny_model

from .tools import spoken_phones

pytestmark = pytest.mark.usefixtures("own_voices")

TEXT = "The lazy dog speaks."
PHONES = [chr(ord("a") + number) for number in range(20)]


@pytest.fixture(scope="module")
def tts(tmp_path_factory: pytest.TempPathFactory) -> Llasa:
    folder = tmp_path_factory.mktemp("model")
    settings = ModelConfig("named", cloning=False)
    return Llasa.load(write_tiny_model(folder, settings, phones=PHONES), device="cpu")


def test_voice_prompts_have_no_phones(tmp_path: Path) -> None:
    with pytest.raises(LlasaError, match="with phone tokens cannot continue a voice prompt"):
        write_tiny_model(tmp_path, phones=PHONES)


def test_phones_are_said_and_not_heard(tts: Llasa) -> None:
    request = tts.request(TEXT, voice="random", seed=3)
    task = tts.task(request, 0)
    (generation,) = generate(tts.engine, [task.prompt], [task.params])
    named = spoken_phones(tts.vocabulary, generation.tokens)
    assert len(named) > 3
    speech = tts(TEXT, voice="random", seed=3)
    assert len(speech.codes) == len(generation.tokens) - len(named)
    assert named[-1][1] == len(speech.codes)
    assert len(speech.audio.samples) == 320 * len(speech.codes)


def test_a_stream_is_what_a_call_gives(tts: Llasa) -> None:
    speech = tts(TEXT, voice="random", seed=3)
    chunks = list(tts.stream(TEXT, voice="random", seed=3))
    assert np.concatenate([chunk.codes for chunk in chunks]).tolist() == speech.codes.tolist()
    assert sum(len(chunk.samples) for chunk in chunks) == len(speech.audio.samples)


@pytest.mark.parametrize("longest", [0.3, 1.0])
def test_speech_is_cut_at_its_seconds(tts: Llasa, longest: float) -> None:
    whole = tts(TEXT, voice="random", seed=3)
    speech = tts(TEXT, voice="random", seed=3, max_seconds=longest)
    assert speech.seconds == min(longest, whole.seconds)
    streamed = tts.stream(TEXT, voice="random", seed=3, max_seconds=longest)
    assert sum(len(chunk.samples) for chunk in streamed) == len(speech.audio.samples)


@pytest.mark.parametrize(
    "search", [partial(best_of_n, n=3), partial(beam, beams=2, expand=2, stride=10)]
)
def test_searches_hear_codes_only(tts: Llasa, search: partial[SearchResult]) -> None:
    speech = tts(TEXT, voice="random", seed=3, search=partial(search, verify=[Judge(loudness)]))
    (result,) = speech.search
    assert result.candidates[0].codes.tolist() == speech.codes.tolist()
    assert all(take.codes.max() < 64 for take in result.candidates)

"""Names of other servers."""

from __future__ import annotations

import numpy as np
import pytest

from llasa.base.names import weighted_names
from llasa.models.find import find_model, shipped_models
from llasa.models.voices import VoiceBook
from llasa.serving.other_names import (
    VOICES,
    is_reserved,
    language_of,
    means_served,
    stand_in,
    without_prefix,
)

WOMEN = {"heart", "sarah", "sky", "nicole", "emma"}


def test_models() -> None:
    for name in (
        *("", "tts-1", "tts-1-hd", "tts-1-1106", "tts-1-hd-1106", "gpt-4o-mini-tts", "kokoro"),
        *("gpt-4o-mini-tts-2025-03-20", "gpt-4o-mini-tts-2025-12-15"),
    ):
        assert means_served(name), name
    for name in ("tts-2", "tts-1-", "tts-1-hd-", "gpt-4o", "gpt-4o-mini-tts-latest", "TTS-1", "x"):
        assert not means_served(name), name


@pytest.mark.skipif(not shipped_models(), reason="the default model is not part of this checkout")
def test_openais_voices_are_all_different(monkeypatch: pytest.MonkeyPatch) -> None:
    book = VoiceBook(find_model("nano"))
    own = book.names()
    meant = [stand_in(voice, own, "heart") for voice in VOICES]
    assert len(set(meant)) == len(VOICES) == 13
    values = [book.get(voice).speaker_embedding.values for voice in meant]
    assert len({tuple(np.round(one, 3)) for one in values}) == 13
    men = {"ash", "ballad", "cedar", "echo", "fable", "onyx", "verse"}
    for voice, near in VOICES.items():
        named = {name for name, _ in weighted_names(near, "voice name")}
        assert named.isdisjoint(WOMEN) if voice in men else named <= WOMEN, voice


def test_other_models_take_turns() -> None:
    own = ["ann", "bea", "cem"]
    meant = [stand_in(voice, own, "bea") for voice in VOICES]
    assert meant[:4] == ["bea", "ann", "cem", "bea"]
    assert stand_in("alloy", [], None) is None
    assert stand_in("default", own, "bea") is None
    assert stand_in("alloy", ["heart"], "heart") == "heart"
    assert is_reserved("alloy")
    assert not is_reserved("heart")


def test_kokoros_names() -> None:
    assert without_prefix("af_heart") == "heart"
    assert without_prefix("bm_george") == "george"
    assert without_prefix("heart") == "heart"
    assert without_prefix("af_") == "af_"
    assert [language_of(code) for code in ("a", "b", "e", "z", "de")] == [
        *("en", "en", "es", "zh", "de")
    ]

"""Recordings in place of voices, and their words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from llasa.audio.audio import Audio
from llasa.base.errors import LlasaError
from llasa.models.folder import ModelConfig
from llasa.models.voice import Voice
from llasa.models.voices import recording_file
from llasa.tts.llasa import Llasa
from tests.tiny_model import CODEC, tone, write_tiny_model

pytestmark = pytest.mark.usefixtures("own_voices")
TEXT = "The lazy dog speaks."


@pytest.fixture(scope="module")
def tts(tiny: Path) -> Llasa:
    return Llasa.load(tiny, device="cpu")


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Languages in which a recogniser was asked; it hears the same words each time."""
    languages: list[str] = []

    def transcribe(audio: Audio, language: str) -> str:
        languages.append(language)
        return "A fox jumps over the dog."

    monkeypatch.setattr("llasa.tts.recordings.transcribe", transcribe)
    return languages


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """No recogniser is installed."""

    def transcribe(audio: Audio, language: str) -> str:
        raise LlasaError("The package onnxruntime is not installed: run pip install X.")

    monkeypatch.setattr("llasa.tts.recordings.transcribe", transcribe)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "me.wav"
    tone(1.5).write(path)
    return path


def test_a_recording_is_cloned_once(tts: Llasa, recording: Path, heard: list[str]) -> None:
    voice = tts.voice(str(recording))
    assert voice is not None
    assert (voice.name, voice.transcript) == ("me", "A fox jumps over the dog.")
    by_hand = tts.clone(recording, "A fox jumps over the dog.")
    np.testing.assert_array_equal(voice.codes, by_hand.codes)
    one, two = tts([TEXT, TEXT], voice=[recording, str(recording)], seed=1)
    np.testing.assert_array_equal(one.codes, two.codes)
    np.testing.assert_array_equal(one.codes, tts(TEXT, voice=by_hand, seed=1).codes)
    assert one.voice == "me"
    assert heard == ["en"]


def test_a_recording_that_changed_is_cloned_again(
    tts: Llasa, recording: Path, heard: list[str]
) -> None:
    before = tts.voice(recording)
    tone(2.0).write(recording)
    after = tts.voice(recording)
    assert before is not None
    assert after is not None
    assert len(after.codes) > len(before.codes)


def test_words_beside_the_recording(tts: Llasa, recording: Path, deaf: None) -> None:
    recording.with_suffix(".txt").write_text("\ufeffThe dog jumps.\n", encoding="utf-8")
    assert tts.clone(recording).transcript == "The dog jumps."
    recording.with_suffix(".txt").write_bytes(b"\xff\xfe")
    with pytest.raises(LlasaError, match=r"me.txt is not UTF-8 text"):
        tts.clone(recording)


def test_no_words_and_nobody_to_hear_them(tts: Llasa, recording: Path, deaf: None) -> None:
    tone(1.7).write(recording)  # one that was not heard before
    with pytest.raises(LlasaError, match=r"words of \S+me.wav are not given.* X\. Or write"):
        tts(TEXT, voice=recording)
    with pytest.raises(LlasaError, match="Or write them in transcript"):
        tts.clone(tone(1.5))


def test_a_codec_that_clones_needs_no_words(tmp_path: Path, recording: Path, deaf: None) -> None:
    config = replace(CODEC, speaker_size=8)
    model = write_tiny_model(tmp_path, ModelConfig("solo", cloning=False), config=config)
    tts = Llasa.load(model, device="cpu")
    voice = tts.clone(recording)
    assert (len(voice.codes), voice.transcript) == (0, "")
    with_words = tts.clone(recording, "A fox jumps over the dog.")
    one, two = (tts(TEXT, voice=v, seed=1) for v in (voice, with_words))
    np.testing.assert_array_equal(one.audio.samples, two.audio.samples)
    voice.save(tmp_path / "me.safetensors")
    again = tts(TEXT, voice=tmp_path / "me.safetensors", seed=1)
    np.testing.assert_array_equal(again.audio.samples, one.audio.samples)


def test_bad_recordings_are_refused_before_they_are_heard(
    tts: Llasa, tmp_path: Path, heard: list[str]
) -> None:
    tone(40.0).write(tmp_path / "long.wav")
    with pytest.raises(LlasaError, match="more than 30 s"):
        tts(TEXT, voice=tmp_path / "long.wav")
    with pytest.raises(LlasaError, match=r"none.wav does not exist"):
        tts(TEXT, voice="none.wav")
    assert heard == []


@pytest.mark.parametrize(
    ("stem", "name"), [("my voice (1)", "clone"), ("random", "clone"), ("anna.2", "anna.2")]
)
def test_names(tts: Llasa, tmp_path: Path, heard: Sequence[str], stem: str, name: str) -> None:
    path = tmp_path / f"{stem}.flac"
    tone(1.5).write(path)
    assert tts.clone(path).name == name
    assert tts.clone(path, name="other").name == "other"


def test_what_is_a_recording() -> None:
    assert recording_file("me.M4A") == Path("me.M4A")
    voice = Voice("kore", speaker="kore")
    for other in ("heart", "me.safetensors", None, voice, "random"):
        assert recording_file(other) is None


def test_how_voices_look(tts: Llasa, recording: Path, tmp_path: Path) -> None:
    voice = tts.clone(recording, "The <fox> jumps.")
    assert repr(voice) == "Voice('me', 1.5 s, 'The <fox> jumps.')"
    assert "<audio" in voice._repr_html_()
    assert "<fox>" not in voice._repr_html_()
    voice.save(tmp_path / "me.safetensors")
    kept = Voice.load(tmp_path / "me.safetensors")
    assert "<audio" not in kept._repr_html_()
    tone(1.0).write(tmp_path / "me.opus")
    assert "<audio" in Voice.load(tmp_path / "me.safetensors")._repr_html_()
    speech = tts(TEXT, voice=voice, seed=3)
    assert repr(speech) == f"Speech({TEXT!r}, {speech.seconds:.1f} s, me, seed 3)"
    assert TEXT in speech._repr_html_()
    np.testing.assert_array_equal(np.asarray(speech), speech.audio.samples)
    assert repr(tts) == "Llasa('tiny', 16 kHz, 1 voice)"
    assert repr(tts.codec) == "Codec(16 kHz, 64 codes, cpu)"

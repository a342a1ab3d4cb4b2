"""Voices: made from recordings, saved, found, and refused with a reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from llasa.audio.audio import Audio
from llasa.base.errors import LlasaError
from llasa.codec.codec import Codec
from llasa.codec.speaker import SpeakerEmbedding
from llasa.models.voice import Voice, user_folder, voice_files
from llasa.models.voices import find_voice
from tests.tiny_model import tiny_codec, tiny_voice, tone

WORDS = "The quick brown fox jumps."


@pytest.fixture(scope="module")
def codec() -> Codec:
    return tiny_codec()


def padded(audio: Audio, seconds: float = 0.5) -> Audio:
    silence = np.zeros(round(seconds * audio.rate), dtype=np.float32)
    return Audio(np.concatenate([silence, audio.samples, silence]), audio.rate)


@pytest.mark.parametrize(
    ("tensors", "about"),
    [
        ({"timbre": np.full(8, np.nan, np.float32)}, {}),
        ({"timbre": np.full(8, 3e38, np.float32)}, {}),
        ({"timbre": np.ones((2, 4), np.float32)}, {}),
        ({"timbre": np.ones(8, np.int32)}, {}),
        ({"codes": np.zeros((2, 5), np.int32)}, {}),
        ({"codes": np.array(3, np.int32)}, {}),
        ({"codes": np.array([0.5, 2.0])}, {}),
        ({"codes": np.array([-1, 2])}, {}),
        ({}, {"frame_rate": "0"}),
        ({}, {"frame_rate": "nan"}),
        ({}, {"frame_rate": "-50"}),
        ({}, {"name": "random"}),
    ],
)
def test_damaged_parts(
    codec: Codec, tmp_path: Path, tensors: dict[str, NDArray[Any]], about: dict[str, str]
) -> None:
    path = tmp_path / "ann.safetensors"
    replace(
        tiny_voice(codec), speaker_embedding=SpeakerEmbedding(np.ones(8, np.float32), "abc")
    ).save(path)
    with safe_open(path, framework="numpy") as file:
        words = file.metadata()
    save_file({**load_file(path), **tensors}, path, metadata={**words, **about})
    with pytest.raises(LlasaError, match=r"ann\.safetensors is damaged"):
        Voice.load(path)


def test_codes_are_those_of_the_trimmed_recording(codec: Codec, tmp_path: Path) -> None:
    recording = padded(tone(2.0))
    recording.write(tmp_path / "a.wav")
    voice = Voice.from_audio(tmp_path / "a.wav", f" {WORDS}\n", codec, "ann")
    assert (voice.name, voice.transcript, voice.codec) == ("ann", WORDS, codec.id)
    assert 2.0 < voice.seconds < 2.2  # 60 ms stay at each end, and half a second is cut
    exact = Voice.from_audio(tone(2.0), WORDS, codec)
    np.testing.assert_array_equal(exact.codes, codec.encode([tone(2.0).samples])[0])


@pytest.mark.parametrize(
    ("suffix", "rate", "channels", "subtype"),
    [("wav", 96_000, 2, "PCM_U8"), ("flac", 44_100, 1, "PCM_24"), ("mp3", 24_000, 2, None)],
)
def test_any_format(
    codec: Codec, tmp_path: Path, suffix: str, rate: int, channels: int, subtype: str | None
) -> None:
    sound, path = tone(1.5, rate, channels), tmp_path / f"a.{suffix}"
    soundfile.write(path, sound.samples, rate, subtype=subtype)
    voice = Voice.from_audio(path, WORDS, codec)
    assert abs(voice.seconds - 1.5) < 0.1
    assert len(set(voice.codes.tolist())) > 1


def test_saved_and_loaded(codec: Codec, tmp_path: Path) -> None:
    path = tmp_path / "ann.safetensors"
    embedding = SpeakerEmbedding(np.linspace(-1, 1, 8, dtype=np.float32), "abc")
    voices = (
        tiny_voice(codec),
        replace(tiny_voice(codec), speaker_embedding=embedding),
        Voice("bob", speaker="Bob"),
        Voice("cid", speaker="Cid", gender="male"),
    )
    for voice in voices:
        voice.save(path)
        again = Voice.load(path)
        assert (again.speaker_embedding is None) == (voice.speaker_embedding is None)
        if voice.speaker_embedding is not None and again.speaker_embedding is not None:
            np.testing.assert_array_equal(
                again.speaker_embedding.values, voice.speaker_embedding.values
            )
            assert again.speaker_embedding.id == "abc"
        np.testing.assert_array_equal(again.codes, voice.codes)
        for name in ("name", "transcript", "codec", "frame_rate", "speaker", "gender"):
            assert getattr(again, name) == getattr(voice, name)
    assert [file.name for file in tmp_path.iterdir()] == ["ann.safetensors"]


@pytest.mark.parametrize(
    ("audio", "reason"),
    [
        (tone(0.8), "0.80 s of sound, less than 1 s.*3 to 15 seconds"),
        (padded(tone(0.5), 2.0), "less than 1 s"),
        (tone(31.0), "31.0 s of sound, more than 30 s: cut it"),
        (Audio(np.zeros(32_000, dtype=np.float32), 16_000), "is silent: give"),
        (Audio(tone(2.0).samples * np.float32(1e-4), 16_000), "almost silent"),
        (Audio(np.full(32_000, np.nan, dtype=np.float32), 16_000), "not numbers"),
    ],
)
def test_unusable_recordings(codec: Codec, audio: Audio, reason: str) -> None:
    with pytest.raises(LlasaError, match=reason):
        Voice.from_audio(audio, WORDS, codec)


@pytest.mark.parametrize("data", [b"", b"RIFF\x00\x00", b"no audio at all" * 100])
def test_damaged_recordings(codec: Codec, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    with pytest.raises(LlasaError, match=r"a\.wav"):
        Voice.from_audio(path, WORDS, codec)


@pytest.mark.parametrize(
    ("transcript", "reason"),
    [
        ("", "transcript of The recording cannot be used. The text is empty"),
        (" \n", "is empty"),
        ("word " * 100, "has 499 characters but The recording 2.0 s"),
    ],
)
def test_unusable_transcripts(codec: Codec, transcript: str, reason: str) -> None:
    with pytest.raises(LlasaError, match=reason):
        Voice.from_audio(tone(2.0), transcript, codec)


@pytest.mark.parametrize("name", ["", "../x", "a b", "x" * 65, ".hidden", "..", "a.", "a/b"])
def test_names(codec: Codec, name: str) -> None:
    with pytest.raises(LlasaError, match="not a valid voice name"):
        Voice.from_audio(tone(2.0), WORDS, codec, name)


def test_dots_in_names() -> None:
    assert Voice("nano-0.2", speaker="x").name == "nano-0.2"
    with pytest.raises(LlasaError, match=r"a\.safetensors: that is the name of a file"):
        Voice("a.safetensors", speaker="x")


def test_a_voice_needs_its_parts(codec: Codec) -> None:
    with pytest.raises(LlasaError, match="neither a recording nor a speaker"):
        Voice("ann")
    with pytest.raises(LlasaError, match="lacks its transcript"):
        Voice("ann", codes=tiny_voice(codec).codes)
    with pytest.raises(LlasaError, match="lacks its codes"):
        Voice("ann", transcript=WORDS)


def test_damaged_and_foreign_files(codec: Codec, tmp_path: Path) -> None:
    path = tmp_path / "ann.safetensors"
    with pytest.raises(LlasaError, match="does not exist"):
        Voice.load(path)
    with pytest.raises(LlasaError, match=r"does not end in \.safetensors"):
        Voice.load(tmp_path / "ann.wav")
    save_file({"codes": np.zeros(3, dtype=np.int32)}, path)
    with pytest.raises(LlasaError, match="is not a voice file"):
        Voice.load(path)
    about = {"llasa_voice": "1", "name": "ann"}
    save_file(load_file(path), path, metadata=about)
    with pytest.raises(LlasaError, match="is damaged"):
        Voice.load(path)
    tiny_voice(codec).save(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(LlasaError, match="is damaged"):
        Voice.load(path)


def test_unwritable_place(codec: Codec, tmp_path: Path) -> None:
    with pytest.raises(LlasaError, match=r"the folder .* does not exist"):
        tiny_voice(codec).save(tmp_path / "none" / "ann.safetensors")


def test_found_by_name(codec: Codec, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, names in ((first, ["ann"]), (second, ["ann", "bob"])):
        folder.mkdir()
        for name in names:
            tiny_voice(codec, "whatever").save(folder / f"{name}.safetensors")
    (second / ".half.safetensors").write_bytes(b"")
    files = voice_files(first, second, tmp_path / "none")
    assert files == {"ann": first / "ann.safetensors", "bob": second / "bob.safetensors"}
    assert find_voice("bob", files).name == "bob"
    with pytest.raises(LlasaError, match=r"'Bop' is unknown: known are ann, bob\. .*mean bob"):
        find_voice("Bop", files)
    with pytest.raises(LlasaError, match="no voice has been added"):
        find_voice("ann", {})


def test_folder_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LLASA_VOICES", str(tmp_path))
    assert user_folder() == tmp_path
    monkeypatch.delenv("LLASA_VOICES")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert user_folder() == tmp_path / "llasa" / "voices"

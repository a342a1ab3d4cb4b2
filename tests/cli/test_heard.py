"""What people try first: a bare text, ``--play``, a recording as voice, formats, plain lists."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from llasa.audio.audio import read_audio, to_int16
from llasa.base.errors import LlasaError
from llasa.models.find import shipped_models
from llasa.models.voice import Voice
from tests.tiny_model import tone

from .conftest import Run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the player is a shell script")


LIVE = "-q -t raw -f S16_LE -c 1 -r 16000 -"
PLAYER = """#!/bin/sh
if [ "$*" = "{live}" ]; then exec /bin/cat > {heard}; fi
echo "$2 was not played while it was made" >&2; exit 1
"""


@pytest.fixture
def ear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file to which a player on PATH copies what it plays while that is made."""
    folder, heard = tmp_path / "bin", tmp_path / "heard.raw"
    folder.mkdir()
    (folder / "aplay").write_text(PLAYER.format(live=LIVE, heard=heard))
    (folder / "aplay").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    return heard


def same(file: str, heard: Path) -> bool:
    """Whether a file holds what was heard, but for rounding."""
    saved, played = to_int16(read_audio(file).samples), np.fromfile(heard, np.int16)
    return len(saved) == len(played) and bool(np.abs(saved - played).max() <= 1)


def test_play(run: Run, tiny: Path, ear: Path, tmp_path: Path) -> None:
    result = run("say", "A fox. Two dogs.", "--model", tiny, "--seed", 1, "--play")
    assert result.code == 0, result.err
    assert result.err.startswith("played: ")
    assert not (tmp_path / "llasa.wav").exists()
    flags = ["--model", tiny, "--seed", 1, "-o", "a.wav", "--json"]
    for more in ([], ["--best-of", 2, "--verify", "length"]):
        result = run("say", "A fox. Two dogs.", *flags, "--play", *more)
        assert same("a.wav", ear)
        assert ("search" in json.loads(result.out)) == bool(more)


def test_play_a_clone(run: Run, tiny: Path, ear: Path, recording: Path) -> None:
    words = ["--transcript", "The dog.", "--model", tiny, "--seed", 1]
    assert run("clone", recording, "A fox.", *words, "-o", "a.wav", "--play").code == 0
    assert same("a.wav", ear)


def test_play_a_long_file(run: Run, tiny: Path, ear: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("The fox jumps over the dog. " * 80)
    result = run("say", "a.txt", "--model", tiny, "--seed", 1, "--play", "--temperature", 0.01)
    assert result.code == 0, result.err
    assert same("llasa.wav", ear)


def test_what_no_player_takes_while_it_is_made_is_played_whole(
    run: Run, tiny: Path, ear: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("The fox jumps over the dog. " * 80)
    script = f'#!/bin/sh\n[ "$2" = -t ] && exit 1\n/bin/cat "$2" > {ear}\n'
    (tmp_path / "bin" / "aplay").write_text(script)
    for text in ("A fox.", "a.txt"):
        flags = ["--model", tiny, "--seed", 1, "-o", "a.wav", "--temperature", 0.01]
        assert run("say", text, *flags, "--play").code == 0
        np.testing.assert_array_equal(read_audio("a.wav").samples, read_audio(ear).samples)


def test_what_was_heard_is_not_played_again(
    run: Run, tiny: Path, ear: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("The fox jumps over the dog. " * 80)
    script = f'#!/bin/sh\n[ "$2" = -t ] || exec /bin/cat "$2" > {ear}\n/bin/cat > /dev/null; exit 1'
    (tmp_path / "bin" / "aplay").write_text(script)
    say = ["--model", tiny, "--seed", 1, "--temperature", 0.01, "--play"]
    for argv in (["a.txt"], ["The fox jumps over the dog. " * 20, "-o", "a.wav"]):
        result = run("say", *argv, *say)
        assert result.code == 2
        assert "Playing stopped after about" in result.err
        assert read_audio(argv[-1] if "-o" in argv else "llasa.wav").duration > 3
    assert not ear.exists()


def test_play_needs_a_player(run: Run, tiny: Path, ear: Path, tmp_path: Path) -> None:
    (tmp_path / "bin" / "aplay").unlink()
    error = run("say", "A fox.", "--model", "none", "--play").error
    assert "nothing to play sound with" in error  # before any work
    for more in ("--stream", ["--batch", "a.txt", "-o", "out"]):
        flags = [more] if isinstance(more, str) else more
        text = ["A fox."] if more == "--stream" else []
        assert "--play" in run("say", *text, *flags, "--model", tiny, "--play").error


@pytest.mark.skipif(not shipped_models(), reason="the default model is not here")
def test_a_bare_text(run: Run, ear: Path, tmp_path: Path) -> None:
    result = run("Hello there.", "--seed", 1)
    assert result.err.startswith("llasa.wav: "), result.err
    assert not ear.exists()  # nobody sits before it


def test_a_bare_text_on_a_terminal(
    run: Run, tiny: Path, ear: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    result = run("Hi", "--model", tiny, "--seed", 1)
    assert result.err.startswith("played: "), result.err
    assert ear.exists()
    assert not (tmp_path / "llasa.wav").exists()
    (tmp_path / "bin" / "aplay").write_text("#!/bin/sh\necho no card >&2; exit 1\n")
    result = run("Hi", "--model", tiny, "--seed", 1)
    assert result.code == 0
    assert "no card" in result.err
    assert result.err.endswith("The speech is in llasa.wav.\n")
    assert read_audio("llasa.wav").duration > 0
    (tmp_path / "bin" / "aplay").unlink()
    assert run("Hi", "--model", tiny, "--seed", 1).err.startswith("llasa.wav: ")


def test_misspelled_commands_are_not_spoken(run: Run) -> None:
    assert run("voice").error.endswith("Did you mean voices?")
    assert run("serv", "--port", 0).error.endswith("Did you mean serve?")


def test_speed_and_pause(run: Run, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("The fox jumps over the dog. " * 80)
    (tmp_path / "b.txt").write_text("A fox.\n")

    def seconds(*argv: object) -> float:
        result = run("say", *argv, "--model", tiny, "--seed", 1, "--json", "--temperature", 0.01)
        assert result.code == 0, result.err
        return float(json.loads(result.out)["seconds"])

    for text in (["A fox. Two dogs."], ["a.txt"], ["--batch", "b.txt", "-o", "out"]):
        where = text if "-o" in text else [*text, "-o", "a.wav"]
        fast = seconds(*where, "--speed", 2)
        assert fast > 0
        again = [*where[:-1], "slow.wav" if where[-1] == "a.wav" else "slow"]
        assert fast == pytest.approx(seconds(*again) / 2, rel=0.02)
    assert "speed is 9.0; give a number from 0.25 to 4" in run("say", "A fox.", "--speed", 9).error
    assert "pause is -1.0" in run("say", "A.", "--model", tiny, "--pause", -1).error
    first = run("clone", "x.wav", "A fox.", "--speed", 0).error
    assert "speed is 0.0" in first


@pytest.mark.parametrize("name", ["missing.txt", "deep/in/notes.md", "A.TXT"])
def test_a_missing_file_is_not_spoken(run: Run, tiny: Path, name: str) -> None:
    assert f"{name} does not exist: give a text file" in run("say", name, "--model", tiny).error


@pytest.mark.parametrize("text", ["Read the file notes.txt", "https://a.b/c.txt"])
def test_what_only_ends_like_a_file_is_spoken(run: Run, tiny: Path, text: str) -> None:
    flags = ["--model", tiny, "--json", "--max-seconds", 0.2]
    assert json.loads(run("say", text, *flags).out)["text"] == text


@pytest.mark.parametrize("name", ["flac", "mp3", "m4a"])
def test_any_format_on_stdout(run: Run, tiny: Path, name: str) -> None:
    if name == "m4a":
        pytest.importorskip("av", reason="needs the extra av")
    say = ["say", "A fox.", "--model", tiny, "--seed", 1]
    sound = read_audio(run(*say, "-o", "-", "--format", name).out)
    wave = read_audio(run(*say, "-o", "-").out)
    assert sound.duration == pytest.approx(wave.duration, abs=0.15)
    run(*say, "-o", f"a.{name}")
    np.testing.assert_array_equal(read_audio(f"a.{name}").samples, sound.samples)
    assert "--format is for -o -" in run(*say, "--format", name).error


def test_a_plain_list(run: Run, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\ufeffA fox.\r\n\n  Two {dogs}.  \n", encoding="utf-8")
    batch = ["say", "--batch", "a.txt", "-o", "out", "--model", tiny, "--max-seconds", 0.2]
    assert run(*batch, "--json").code == 0
    rows = [json.loads(row) for row in Path("out/manifest.jsonl").read_text().splitlines()]
    assert [(row["id"], row["text"]) for row in rows] == [
        ("00001", "A fox."),
        ("00003", "Two {dogs}."),
    ]
    (tmp_path / "a.txt").write_text("\n\n")
    assert "a.txt has no lines" in run(*batch).error
    (tmp_path / "a.txt").write_text("A fox.\n😀\n")
    assert "a.txt, line 2: " in run(*batch).error


def test_a_recording_as_voice(
    run: Run, tiny: Path, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deaf(audio: object, language: str) -> str:
        raise LlasaError("The package onnxruntime is not installed.")

    say = ["say", "A fox.", "--model", tiny, "--seed", 1, "--max-seconds", 0.2, "--json"]
    monkeypatch.setattr("llasa.tts.recordings.transcribe", lambda audio, language: "The dog.")
    heard = json.loads(run(*say, "--voice", recording).out)
    assert heard["voice"] == "recording"
    given = json.loads(run(*say, "--voice", recording, "--transcript", "The dog.").out)
    assert given["tokens"] == heard["tokens"]
    monkeypatch.setattr("llasa.tts.recordings.transcribe", deaf)
    assert "there is no recogniser to hear them" in run(*say, "--voice", recording).error
    assert "no recogniser" in run("clone", recording, "Hi.", "--model", tiny).error
    assert run(*say, "--voice", recording, "--transcript", "The dog.").code == 0
    assert "--transcript belongs to a recording" in run(*say, "--transcript", "The dog.").error
    assert "none.wav does not exist" in run(*say, "--voice", "none.wav").error


def test_a_recording_as_voice_of_many_texts(run: Run, tiny: Path, recording: Path) -> None:
    recording.with_suffix(".txt").write_text("The dog.")
    Path("a.txt").write_text("A fox.\n")
    batch = ["say", "--batch", "a.txt", "-o", "out", "--model", tiny, "--voice", recording]
    batch += ["--max-seconds", 0.2, "--json"]

    def made() -> int:
        return int(json.loads(run(*batch).out)["files"])

    assert (made(), made()) == (1, 0)
    recording.with_suffix(".txt").write_text("The fox.")
    assert made() == 1
    tone(2.0).write(recording)
    assert (made(), made()) == (1, 0)


def test_a_voice_with_words_that_were_heard(
    run: Run, tiny: Path, recording: Path, own_voices: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llasa.tts.recordings.transcribe", lambda audio, language: "The dog.")
    assert run("voices", "add", "carl", recording, "--model", tiny).code == 0
    assert Voice.load(own_voices / "carl.safetensors").transcript == "The dog."

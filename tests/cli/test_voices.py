"""``llasa voices``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from llasa.models.folder import ModelConfig
from llasa.models.voice import Voice
from tests.tiny_model import CODEC, tiny_codec, tiny_voice, tone, write_tiny_model

from .conftest import Run


def test_add_list_show_remove(run: Run, tiny: Path, recording: Path, own_voices: Path) -> None:
    model = ["--model", tiny]
    assert run("voices", *model).out == b"ann (default)  1.5 s  model  The lazy dog jumps.\n"
    words = ["--transcript", "The fox jumps."]
    added = run("voices", "add", "carl", recording, *words, *model)
    path = own_voices / "carl.safetensors"
    assert (added.out, added.err) == (b"", f"Voice carl (1.5 s) is kept in {path}.\n")
    rows = json.loads(run("voices", "list", "--json", *model).out)
    assert [(row["name"], row["from"]) for row in rows] == [("carl", "yours"), ("ann", "model")]
    assert [row["default"] for row in rows] == [False, True]
    assert "transcript: The fox jumps.\n" in run("voices", "show", "carl", *model).out.decode()
    about = json.loads(run("voices", "show", "carl", "--json", *model).out)
    assert about["codec"] == Voice.load(path).codec
    assert run("say", "Hi", "--voice", "carl", *model).code == 0
    removed = run("voices", "remove", "carl")
    assert (removed.code, removed.out, removed.err) == (0, b"", "Voice carl is removed.\n")
    assert not path.exists()


def test_a_voice_of_the_same_name_as_one_of_the_model(
    run: Run, tiny: Path, recording: Path
) -> None:
    model = ["--model", tiny]
    assert "came with" not in run("voices", *model).err
    said = f"Your voice ann is used in place of the one that came with {tiny}."
    added = run("voices", "add", "ann", recording, "--transcript", "The fox jumps.", *model)
    assert added.err.splitlines()[1:] == [f"llasa: warning: {said}"]
    listed = run("voices", *model)
    assert listed.out == b"ann (default)  1.5 s  yours  The fox jumps.\n"
    assert listed.err.splitlines() == [said]


def test_no_voices(run: Run, tiny: Path) -> None:
    parts = tiny.parent / "parts"
    result = run("voices", "--model", parts / "lm", "--codec", parts / "codec")
    assert (result.code, result.out) == (0, b"")
    assert result.err.startswith("No voices yet")


def test_voices_of_another_codec_are_marked(run: Run, tiny: Path, own_voices: Path) -> None:
    own_voices.mkdir()
    tiny_voice(tiny_codec(seed=1), "eve").save(own_voices / "eve.safetensors")
    result = run("voices", "--model", tiny)
    assert [line.split("  ")[0] for line in result.out.decode().splitlines()] == [
        "eve (unusable)",
        "ann (default)",
    ]
    assert "cannot speak with the unusable ones" in result.err
    shown = run("voices", "show", "eve", "--model", tiny).out.decode()
    assert "problem: Voice eve was made with another codec" in shown
    rows = json.loads(run("voices", "--json", "--model", tiny).out)
    assert [row["problem"] is None for row in rows] == [False, True]


def test_a_damaged_file_is_listed_and_removed(run: Run, tiny: Path, own_voices: Path) -> None:
    own_voices.mkdir()
    for suffix in ("safetensors", "opus"):
        (own_voices / f"eve.{suffix}").write_bytes(b"nothing")
    (own_voices / "folder.safetensors").mkdir()
    listed = run("voices", "--model", tiny).out.decode().splitlines()
    assert [line.split("  ")[0] for line in listed] == ["ann (default)", "eve (unusable)"]
    rows = json.loads(run("voices", "--json", "--model", tiny).out)
    assert rows[0].keys() == rows[1].keys()
    assert "is damaged" in rows[1]["problem"]
    assert "is damaged" in run("voices", "show", "eve", "--model", tiny).out.decode()
    assert run("say", "fox", "--model", tiny, "--voice", "ann").code == 0
    assert "Voice 'bob' is unknown" in run("say", "fox", "--model", tiny, "--voice", "bob").error
    assert run("voices", "remove", "eve").code == 0
    assert [path.name for path in own_voices.iterdir()] == ["folder.safetensors"]


def test_listing_the_models_voices_does_not_load_torch(tmp_path: Path) -> None:
    config = replace(CODEC, speaker_size=8)
    model = write_tiny_model(tmp_path, ModelConfig("told", cloning=False), config=config)
    code = (
        "import sys; from llasa.cli.main import main; "
        f"main(['voices', '--model', {str(model)!r}]); print('torch' in sys.modules)"
    )
    environment = {**os.environ, "LLASA_VOICES": str(tmp_path / "none")}
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    name, loaded = found.stdout.splitlines()
    assert name.startswith("ann  ")
    assert loaded == "False"


def test_a_model_that_does_not_clone(run: Run, tmp_path: Path, recording: Path) -> None:
    model = write_tiny_model(tmp_path, ModelConfig("solo", cloning=False))
    add = run("voices", "add", "me", recording, "--transcript", "The fox.", "--model", model)
    assert add.code == 0
    assert (
        "warning: Model solo was not trained to clone voices, so it cannot speak as me" in add.err
    )
    listed = run("voices", "--model", model).out.decode()
    assert listed.count("(unusable)") == 1
    weights = model / "lm" / "model.safetensors"
    weights.unlink()  # what follows is refused before they are read
    say = ["say", "Hello.", "--model", model, "--voice"]
    assert "not trained to clone" in run(*say, "me").error
    assert "not trained to clone" in run(*say, own_file(tmp_path)).error
    assert "'bob' is unknown: solo has only its own" in run(*say, "bob").error
    clone = ["clone", recording, "Hello.", "--transcript", "The fox.", "--model", model]
    assert "Model solo was not trained to clone voices" in run(*clone).error


def own_file(folder: Path) -> Path:
    path = folder / "mine.safetensors"
    tiny_voice(tiny_codec()).save(path)
    return path


def test_nothing_is_downloaded_to_list_voices(
    run: Run, own_voices: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_voices.mkdir()
    tiny_voice(tiny_codec(), "bob").save(own_voices / "bob.safetensors")
    monkeypatch.setattr("llasa.base.hub.download", None)
    result = run("voices", "--model", "owner/no-such-model")
    assert (result.code, result.out.split()[0]) == (0, b"bob")
    assert result.err.count("\n") == 1
    assert "owner/no-such-model has not been downloaded" in result.err


def test_refusals(run: Run, tiny: Path, own_voices: Path) -> None:
    model = ["--model", tiny]
    assert "invalid choice: 'lst'" in run("voices", "lst", *model).error
    assert "Name the voice" in run("voices", "show", *model).error
    assert "Did you mean ann?" in run("voices", "show", "an", *model).error
    assert "'ann' is unknown: no voice has been added" in run("voices", "remove", "ann").error
    assert "needs a recording: " in run("voices", "add", "bob", *model).error
    tone(0.5).write("short.wav")
    add = ["voices", "add", "bob", "short.wav", "--transcript", "The fox.", *model]
    assert "less than 1 s" in run(*add).error
    add[2:4] = ["b/b", "short.wav"]
    assert "not a valid voice name" in run(*add).error
    own_voices.mkdir(exist_ok=True)
    (own_voices / "bob.safetensors").write_bytes(b"\x00" * 50)
    assert "bob (unusable)" in run("voices", *model).out.decode()
    assert "bob.safetensors is damaged" in run("say", "fox", "--voice", "bob", *model).error

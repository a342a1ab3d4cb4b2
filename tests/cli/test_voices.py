"""``llasa voices``."""

from __future__ import annotations

import json
from pathlib import Path

from llasa.voice import Voice
from tiny_model import tone

from .conftest import Run


def test_add_list_show_remove(run: Run, tiny: Path, recording: Path, own_voices: Path) -> None:
    model = ["--model", tiny]
    assert run("voices", *model).out == b"ann (default)  1.5 s  model  The lazy dog jumps.\n"
    words = ["--transcript", "The fox jumps."]
    added = run("voices", "add", "carl", recording, *words, *model)
    path = own_voices / "carl.safetensors"
    assert added.out.decode() == f"Voice carl (1.5 s) is kept in {path}.\n"
    rows = json.loads(run("voices", "list", "--json", *model).out)
    assert [(row["name"], row["from"]) for row in rows] == [("carl", "yours"), ("ann", "model")]
    assert [row["default"] for row in rows] == [False, True]
    assert "transcript: The fox jumps.\n" in run("voices", "show", "carl", *model).out.decode()
    about = json.loads(run("voices", "show", "carl", "--json", *model).out)
    assert about["codec"] == Voice.load(path).codec
    assert run("say", "Hi", "--voice", "carl", *model).code == 0
    assert run("voices", "remove", "carl").code == 0
    assert not path.exists()


def test_no_voices(run: Run, tiny: Path) -> None:
    parts = tiny.parent / "parts"
    result = run("voices", "--model", parts / "lm", "--codec", parts / "codec")
    assert result.out.startswith(b"No voices yet")


def test_refusals(run: Run, tiny: Path, own_voices: Path) -> None:
    model = ["--model", tiny]
    assert "invalid choice: 'lst'" in run("voices", "lst", *model).error
    assert "Name the voice" in run("voices", "show", *model).error
    assert "Did you mean ann?" in run("voices", "show", "an", *model).error
    assert "'ann' is unknown: no voice has been added" in run("voices", "remove", "ann").error
    assert "needs a recording and its words" in run("voices", "add", "bob", *model).error
    tone(0.5).write("short.wav")
    add = ["voices", "add", "bob", "short.wav", "--transcript", "The fox.", *model]
    assert "less than 1 s" in run(*add).error
    add[2:4] = ["b/b", "short.wav"]
    assert "no valid voice name" in run(*add).error
    own_voices.mkdir()
    (own_voices / "bob.safetensors").write_bytes(b"\x00" * 50)
    assert "bob.safetensors is damaged" in run("voices", *model).error

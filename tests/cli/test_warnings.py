"""What goes wrong without an error is said on stderr by every command that speaks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llasa.models.folder import ModelConfig
from tests.tiny_model import write_tiny_model

from .conftest import Run

CUT = "did not end by itself and was cut off after"
GERMAN = "Guten Tag, mein Name ist Jürgen, und ich komme aus Köln am schönen Rhein, wo es regnet."


@pytest.fixture
def english(tmp_path: Path) -> Path:
    settings = ModelConfig("tiny", default_voice="ann", languages=("en",))
    return write_tiny_model(tmp_path / "english", settings)


@pytest.mark.slow
def test_speech_that_does_not_end(run: Run, endless: Path, tmp_path: Path) -> None:
    model = ["--model", endless, "--seed", 1]
    said = run("say", "A fox.", *model, "--json")
    assert said.code == 0
    assert said.err.count(f"llasa: warning: 'A fox.' {CUT} 2.9 s") == 1
    assert CUT in json.loads(said.out)["warnings"][0]
    assert run("say", "A fox.", *model, "--stream").err.count(CUT) == 1
    Path("lines.jsonl").write_text('{"text": "A fox.", "id": "a"}\n"A dog."\n')
    batch = run("say", "--batch", "lines.jsonl", "-o", "out", *model)
    assert batch.code == 0
    assert f"llasa: warning: a.wav: 'A fox.' {CUT}" in batch.err
    assert batch.err.count(CUT) == 2
    Path("long.txt").write_text("The fox jumps over the lazy dog.\n" * 65)
    long = run("say", "long.txt", "-o", "long.wav", *model)
    assert long.err.count(CUT) >= 10
    assert not any(Path().glob("*.resume"))


def test_languages(run: Run, english: Path) -> None:
    for text in (GERMAN, "Привет, как дела?"):
        refused = run("say", text, "--model", english)
        assert "Model tiny speaks English only, and " in refused.error
        assert not Path("llasa.wav").exists()
        assert "speaks English only" in run("say", text, "--model", english, "--stream").error
    forced = run("say", GERMAN, "--model", english, "--force")
    assert forced.code == 0
    assert "warning: Model tiny speaks English only, and the text is German" in forced.err
    piped = run("say", "-", "--stream", "--model", english, stdin=f"Hello. {GERMAN}".encode())
    assert piped.code == 0, "what was heard already is not refused"
    assert "the text is German: it was spoken all the same" in piped.err
    Path("lines.jsonl").write_text(json.dumps(GERMAN) + '\n"Hello."\n')
    batch = run("say", "--batch", "lines.jsonl", "-o", "out", "--model", english)
    assert batch.code == 2
    assert "1 of 2 lines could not be spoken; line 1: Model tiny speaks English only" in batch.err


def test_check_does_not_go_with_a_search(run: Run, tiny: Path) -> None:
    say = ["say", "Hello.", "--model", tiny]
    assert "--tries belongs to --check" in run(*say, "--tries", 2).error
    assert "tries is 0" in run(*say, "--check", "--tries", 0).error
    evaluated = run("eval", "search", "a.jsonl", "-o", "out", "--model", tiny, "--check")
    assert "--check is a search of its own" in evaluated.error
    assert "either --check or a search" in run(*say, "--check", "--best-of", 2).error

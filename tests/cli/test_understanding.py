"""``llasa eval understanding``: texts for others, a model and recordings, votes, refusals."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.tiny_model import tone

from .conftest import Run

LISTS = Path(__file__).parents[2] / "recipes" / "understanding"
ENGLISH = LISTS / "en.jsonl"
COMMAND = ("eval", "understanding")
swift = pytest.mark.skipif(find_spec("swift_f0") is None, reason="needs swift-f0")


def test_texts_are_a_batch_for_say(run: Run, tmp_path: Path) -> None:
    assert run(*COMMAND, ENGLISH, "--texts", "texts.jsonl", "--limit", 1).code == 0
    rows = [json.loads(line) for line in (tmp_path / "texts.jsonl").read_text().splitlines()]
    ids = [row["id"] for row in rows if "questions" in row["id"]]
    assert ids == ["en-questions-01", "en-questions-01.reference", "en-questions-01.again"]
    assert [row["seed"] for row in rows if row["id"] in ids] == [0, 0, 1]


@swift
def test_a_model_beside_recordings(
    run: Run, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = ("--category", "questions", "--limit", 2)
    folder = tmp_path / "other"
    folder.mkdir()
    for number in (1, 2):
        for take in ("", ".reference"):
            tone(1.0).write(folder / f"en-questions-{number:02d}{take}.wav")
    words = [*COMMAND, ENGLISH, *chosen, "--model", tiny, "--max-seconds", 1, "-o", "out"]
    words += ["--recordings", "other=other"]
    result = run(*words, "--json")
    assert result.code == 0, result.err
    summary = json.loads(result.out)
    assert [score["system"] for score in summary["scores"]] == ["tiny", "other"]
    (other,) = (score for score in summary["scores"] if score["system"] == "other")
    assert (other["score"]["value"], other["chance"]["value"]) == (0, 0)
    out = tmp_path / "out"
    assert "questions (en)" in (out / "report.md").read_text()
    assert "You fed the cat already?" in (out / "listen.html").read_text()
    before = (out / "rows.jsonl").read_bytes()
    assert run(*words).code == 0
    assert (out / "rows.jsonl").read_bytes() == before
    (tmp_path / "names.txt").write_text("fed = fedd")
    monkeypatch.setenv("LLASA_LEXICONS", str(tmp_path))
    assert "begun with other settings (user_lexicons: None" in run(*words).error
    monkeypatch.delenv("LLASA_LEXICONS")
    shutil.copy(folder / "en-questions-01.wav", folder / "more.wav")
    assert "was begun with other settings" in run(*words).error


def test_votes_alone(run: Run, tmp_path: Path) -> None:
    vote = {"item": "x", "system": "nano", "language": "zh", "category": "poetry", "vote": 2}
    (tmp_path / "ann.json").write_text(json.dumps({"listener": "Ann", "votes": [vote]}))
    result = run(*COMMAND, "--votes", "ann.json")
    assert result.code == 0
    assert "| poetry (zh) | 2.00 [2.00, 2.00] | 1 |" in result.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Name the list of items"),
        ([ENGLISH], "Give a folder for the report with -o."),
        ([ENGLISH, "-o", "out", "--no-model"], "--no-model leaves nothing to score"),
        ([ENGLISH, "-o", "out", "--recordings", "here"], "give NAME=FOLDER"),
        ([ENGLISH, "-o", "out", "--recordings", "nano=x"], "there is one already"),
        ([ENGLISH, "-o", "out", "--recordings", "Other=x", "other=y"], "there is one already"),
        ([ENGLISH, "-o", "out", "--recordings", "other=x"], "x has no recording"),
        ([ENGLISH, "-o", "out", "--category", "poetry"], "there are compound nouns"),
        ([ENGLISH, "-o", "out", "--limit", 0], "--limit cannot be 0: give 1 or more."),
    ],
)
def test_what_is_refused(run: Run, words: list[object], message: str) -> None:
    assert message in run(*COMMAND, *words).error

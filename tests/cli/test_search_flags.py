"""Search on the command line: flags, table, kept candidates, and flags that do not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llasa.audio.audio import read_audio
from llasa.cli.parser import Parser
from llasa.cli.say import say_command
from llasa.cli.search_flags import search_setting
from llasa.models.folder import ModelConfig
from tests.tiny_model import tone, write_tiny_model

from .conftest import Run

TEXT = "The lazy dog speaks."
JUDGES = ("--verify", "length,repetition")


def test_best_of_n_with_a_table(run: Run, tiny: Path) -> None:
    result = run("say", TEXT, "--model", tiny, "--seed", 3, "--best-of", 4, *JUDGES, "--scores")
    assert result.code == 0
    head, *rows, spent, report = result.err.splitlines()
    assert head.split() == ["total", "length", "repetition", "seconds", "end", "seed"]
    assert [row.split()[0] for row in rows] == ["1", "2", "3", "4"]
    assert sorted(row.split()[-1] for row in rows) == ["3", "4", "5", "6"]
    assert "tokens in" in spent
    assert "decoded in" in spent
    assert report.startswith("llasa.wav: ")
    assert f"{float(rows[0].split()[4]):.1f} s of audio" in report


def test_json_has_the_scores(run: Run, tiny: Path) -> None:
    result = run(
        *("say", TEXT, "--model", tiny, "--json", "--strategy", "beam", "--beams", 2),
        *("--expand", 2, "--stride", 20, *JUDGES, "--combine", "rank", "--weights", "2,1"),
    )
    (part,) = json.loads(result.out)["search"]
    assert part["verifiers"] == {"length": "rules", "repetition": "rules"}
    assert part["steps"] > 0
    best = part["candidates"][0]
    assert set(best["scores"]) == {"length", "repetition"}
    assert part["compute"]["verifiers"]["length"]["candidates"] > 0
    assert result.err == ""


@pytest.mark.slow
def test_candidates_are_kept(run: Run, tiny: Path) -> None:
    text = f"{TEXT} " * 8
    command = ("say", text, "--model", tiny, "--seed", 1, "--best-of", 2, *JUDGES)
    assert run(*command, "--keep-candidates", "takes", "--scores").code == 0
    parts = json.loads(Path("takes/scores.json").read_text())
    assert len(parts) > 1
    names = {take["audio"] for part in parts for take in part["candidates"]}
    assert {path.name for path in Path("takes").iterdir()} == {*names, "scores.json"}
    assert run(*command, "--screen", 1, "--keep-candidates", "one").code == 0
    assert not Path("one/1-02.wav").exists()
    best = read_audio("takes/1-01.wav").samples
    spoken = read_audio("llasa.wav").samples
    heard = len(best) - 800  # where parts join, sound fades
    np.testing.assert_array_equal(spoken[:heard], best[:heard])
    (Path("file")).touch()
    assert "cannot be used as a folder" in run(*command, "--keep-candidates", "file").err


def test_partial_strategy_and_reference(run: Run, tiny: Path) -> None:
    tone(1.0).write("clip.wav")
    result = run(
        *("say", TEXT, "--model", tiny, "--voice", "random", "--json", "--strategy", "partial"),
        *("--search-seconds", 0.4, "--stride", 10, "--beams", 2, "--expand", 2, "--best-of", 3),
        *("--process", "likelihood", *JUDGES, "--reference", "clip.wav", "--threshold=0.5,0.5"),
    )
    (part,) = json.loads(result.out)["search"]
    assert set(part["verifiers"]) == {"length", "repetition", "likelihood"}
    assert part["steps"] == 2


def test_verify_alone_scores_one_take(run: Run, tiny: Path) -> None:
    plain = json.loads(run("say", TEXT, "--model", tiny, "--seed", 3, "--json").out)
    scored = json.loads(run("say", TEXT, "--model", tiny, "--seed", 3, "--json", *JUDGES).out)
    assert scored["tokens"] == plain["tokens"]
    assert "search" not in plain
    assert len(scored["search"][0]["candidates"]) == 1


def test_clone_searches_too(run: Run, tiny: Path, recording: Path) -> None:
    result = run(
        *("clone", recording, TEXT, "--transcript", "A lazy dog.", "--model", tiny),
        *("--best-of", 2, *JUDGES, "--scores"),
    )
    assert result.code == 0
    assert "repetition" in result.err


def test_judges_listen_in_the_language_of_the_speech(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path, ModelConfig("german", languages=("de",)))
    parser = Parser()
    say_command(parser)
    for flags, language in [
        ([], "de"),
        (["--language", "de-AT"], "de"),
        (["--language", "fr"], "fr"),
    ]:
        args = parser.parse_args(["Hallo.", "--model", str(folder), *JUDGES, *flags])
        strategy: Any = search_setting(args)[0]
        assert strategy.keywords["language"] == language


@pytest.mark.slow
def test_batch_searches_line_by_line(run: Run, tiny: Path) -> None:
    Path("lines.jsonl").write_text('{"text": "A fox.", "seed": 1}\n"A dog."\n')
    command = ("say", "--batch", "lines.jsonl", "-o", "clips", "--model", tiny, *JUDGES)
    assert "2 files" in run(*command, "--best-of", 2).err
    rows = [json.loads(line) for line in Path("clips/manifest.jsonl").read_text().splitlines()]
    assert [len(row["search"][0]["candidates"]) for row in rows] == [2, 2]
    flags = {"strategy": "best-of", "best_of": 2, "verify": JUDGES[1]}
    assert rows[0]["request"]["search"] == flags
    assert "0 files, 2 were there" in run(*command, "--best-of", 2).err
    assert "2 files, 0 were there" in run(*command, "--best-of", 3).err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--best-of", 0, *JUDGES], "n is 0; give a whole number"),
        (["--best-of", 2, "--verify", "contend"], "Did you mean content"),
        (["--best-of", 2, "--beams", 3], "--beams belongs to --strategy beam or partial"),
        (
            ["--strategy", "sample", "--best-of", 3, "--verify", "content"],
            "--best-of belongs to --strategy best-of or beam or partial",
        ),
        (["--search-seconds", 1], "--search-seconds belongs to --strategy partial, not to sample"),
        (["--strategy", "bean"], "--strategy"),
        (["--best-of", 2, *JUDGES, "--weights", "1,x"], "'1,x' isn't a list of numbers"),
        (["--best-of", 2, *JUDGES, "--weights", "1"], "1 weights were given for 2 verifiers"),
        (["--best-of", 2, *JUDGES, "--threshold", "1"], "1 thresholds were given for 2"),
        (["--best-of", 2, "--verify", "length", "--lazy"], "Lazy judging needs"),
        (["--best-of", 2, *JUDGES, "--reference", "none.wav"], "none.wav"),
        (["--best-of", 2, *JUDGES, "--screen", 0], "screen is 0"),
        (["--combine", "rank"], "--combine chooses nothing alone"),
        (["--strategy", "sample"], "--strategy sample chooses nothing alone"),
        (["--scores"], "--scores needs a search"),
        (["--keep-candidates", "d"], "--keep-candidates needs a search"),
        (["--batch", "x", "-o", "d", "--scores"], "--scores"),
        (["--best-of", 2, "--verify", "style", "--voice", "random"], "this voice has none"),
    ],
)
def test_bad_flags(run: Run, tiny: Path, flags: list[object], words: str) -> None:
    assert (
        words in run("say", *([] if "--batch" in flags else [TEXT]), "--model", tiny, *flags).error
    )

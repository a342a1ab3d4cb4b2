"""Rows are kept, a run goes on where it stopped, and other settings are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llasa.audio.audio import Audio, read_audio
from llasa.base.errors import LlasaError
from llasa.base.files import only_writer
from llasa.evaluation.experiment import Experiment, as_file
from tests.tiny_model import tone

TASKS = [("a", "x"), ("a", "y:1"), ("b", "x")]


def do(id: str, system: str) -> tuple[dict[str, Any], Audio | None]:
    return {"text": id + system}, tone(0.5) if system == "y:1" else None


def test_an_interrupted_run_does_only_what_is_missing(tmp_path: Path) -> None:
    def fails(id: str, system: str) -> tuple[dict[str, Any], Audio | None]:
        if id == "b":
            raise KeyboardInterrupt
        return do(id, system)

    with pytest.raises(KeyboardInterrupt):
        Experiment(tmp_path / "o", {"seed": 1}, "llasa eval").work(TASKS, fails, "eval")
    done = []
    run = Experiment(tmp_path / "o", {"seed": 1}, "llasa eval --limit 9")
    rows = run.work(TASKS, lambda *task: (done.append(task), do(*task))[1], "eval")
    assert done == [("b", "x")]
    assert [row["text"] for row in rows] == ["ax", "ay:1", "bx"]
    assert rows[1]["audio"] == "audio/y-1/a.flac"
    assert read_audio(tmp_path / "o" / rows[1]["audio"]).duration == rows[1]["seconds"] == 0.5
    about = json.loads((tmp_path / "o" / "settings.json").read_text())
    assert about["commands"] == ["llasa eval", "llasa eval --limit 9"]
    assert about["settings"] == {"seed": 1}
    assert "torch" in about["machine"]


def test_a_row_cut_off_by_a_crash_is_done_again(tmp_path: Path) -> None:
    Experiment(tmp_path, {}, "c").work(TASKS, do, "eval")
    path = tmp_path / "rows.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    run = Experiment(tmp_path, {}, "c")
    assert len(run.rows) == 2
    run.work(TASKS, do, "eval")
    assert [json.loads(line)["text"] for line in path.read_text().splitlines()] == [
        "ax", "ay:1", "bx",
    ]  # fmt: skip


@pytest.mark.parametrize("settings", [{"seed": 2, "a": (1,)}, {"a": (1,)}, {"seed": 1, "a": (2,)}])
def test_other_settings_are_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    Experiment(tmp_path, {"seed": 3}, "c")  # nothing was done with them
    Experiment(tmp_path, {"seed": 1, "a": (1,)}, "c").work(TASKS, do, "eval")
    Experiment(tmp_path, {"seed": 1, "a": [1]}, "c")
    with pytest.raises(LlasaError, match=r"begun with other settings \((seed|a): .*, now .*\)"):
        Experiment(tmp_path, settings, "c")


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    with pytest.raises(LlasaError, match="cannot be used as a folder"):
        Experiment(tmp_path / "f", {}, "c")


def test_a_folder_that_another_run_writes_is_left_alone(tmp_path: Path) -> None:
    Experiment(tmp_path, {}, "first")
    before = (tmp_path / "settings.json").read_bytes()
    with only_writer(tmp_path), pytest.raises(LlasaError, match="Another process is writing"):
        Experiment(tmp_path, {}, "second")
    assert (tmp_path / "settings.json").read_bytes() == before


def test_sound_is_rounded_as_in_files(tmp_path: Path) -> None:
    sound = tone(0.5)
    rounded = as_file(sound)
    assert not np.array_equal(rounded.samples, sound.samples)
    sound.write(tmp_path / "a.wav")
    np.testing.assert_array_equal(rounded.samples, read_audio(tmp_path / "a.wav").samples)
    for other in (Audio(np.zeros(0, np.float32), 8_000), Audio(np.full(9, np.nan), 8_000)):
        assert as_file(other) is other

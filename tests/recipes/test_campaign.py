"""The campaign: stages one after another, stopped and gone on with, and what is noted of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from llasa.training.codec.settings import CodecTraining
from llasa.training.config import load_settings
from llasa.training.lm.settings import LMTraining
from tests.waiting import wait_for

RECIPE = Path(__file__).parents[2] / "recipes" / "nano"
Work = Callable[..., tuple[int, list[dict[str, Any]]]]


@pytest.fixture
def campaign(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, which finds others of its folder by name."""
    monkeypatch.syspath_prepend(RECIPE)
    return import_module("campaign")


@pytest.fixture
def work(campaign: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    """Runs lanes of stages, given as (name, command), and returns the status and all records."""
    monkeypatch.chdir(tmp_path)
    results = tmp_path / "results" / "campaign.jsonl"
    monkeypatch.setattr(campaign, "RESULTS", results)

    def run(*lanes: list[tuple[str, str]]) -> tuple[int, list[dict[str, Any]]]:
        status = campaign.work([[[campaign.Stage(*stage) for stage in lane] for lane in lanes]])
        lines = results.read_text().split("\n") if results.exists() else []
        return status, [json.loads(line) for line in lines if line]

    return run


def test_stages_run_once_and_in_order(work: Work, tmp_path: Path) -> None:
    stages = [("one", "echo 1 >> seen"), ("two", "echo 2 >> seen")]
    for _ in range(2):
        status, records = work(stages)
        assert status == 0
    assert (tmp_path / "seen").read_text() == "1\n2\n"
    assert [(row["stage"], row["state"]) for row in records] == [
        ("one", "finished"),
        ("two", "finished"),
    ]
    assert all(row["cpu_hours"] >= 0 and row["idle_hours"] >= 0 for row in records)


def test_a_stage_that_fails_ends_the_work(work: Work, tmp_path: Path) -> None:
    status, records = work([("one", "false"), ("two", "touch seen")])
    assert (status, [row["state"] for row in records]) == (1, ["failed"])
    assert not (tmp_path / "seen").exists()
    status, records = work([("one", "true"), ("two", "touch seen")])
    assert (status, [row["state"] for row in records]) == (0, ["failed", "finished", "finished"])


def test_lanes_run_side_by_side(work: Work) -> None:
    """Each waits for the other, and what they have is noted of each."""
    wait = "until [ -f {} ]; do sleep 0.05; done"
    status, records = work(
        [("one", "touch a; " + wait.format("b")), ("two", wait.format("c"))],
        [("three", wait.format("a") + "; touch b"), ("four", "touch c; echo $OMP_NUM_THREADS > n")],
    )
    assert status == 0
    assert sorted(row["stage"] for row in records) == ["four", "one", "three", "two"]
    assert Path("n").read_text().strip() == str(max(1, (os.cpu_count() or 1) // 2))


def test_a_lane_that_fails_stops_the_others(work: Work) -> None:
    status, records = work(
        [("one", "until [ -f a ]; do sleep 0.05; done; false")],
        [
            (
                "two",
                "trap 'touch saved; exit 3' TERM; touch a; for _ in {1..2400}; do sleep 0.05; done",
            )
        ],
    )
    assert status == 1
    assert [(row["stage"], row["state"]) for row in records] == [
        ("one", "failed"),
        ("two", "stopped"),
    ]
    assert Path("saved").exists()


def test_a_stop_is_passed_on_and_noted(tmp_path: Path) -> None:
    """The stage gets the signal, may save, and the next call goes on with it."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import campaign, pathlib, signal\n"
        "campaign.RESULTS = pathlib.Path('campaign.jsonl')\n"
        "signal.signal(signal.SIGTERM, campaign.note_stop)\n"
        "trap = \"trap 'touch saved; exit 3' TERM; touch ready; \"\n"
        "wait = trap + 'for _ in {1..2400}; do sleep 0.05; done'\n"
        "sys.exit(campaign.work([[[campaign.Stage('one', wait)]]]))\n"
    )
    command = [sys.executable, "-c", script, str(RECIPE)]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "one" in process.stdout.readline()
    wait_for(lambda: (tmp_path / "ready").exists() or process.poll() is not None)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(60) == 130
    assert (tmp_path / "saved").exists()
    row = json.loads((tmp_path / "campaign.jsonl").read_text())
    assert (row["stage"], row["state"]) == ("one", "stopped")
    assert not (tmp_path / "done" / "one").exists()


def test_what_a_training_stage_did(
    campaign: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stage = campaign.Stage("codec", "", "codec.yaml")
    folder = stage.run_folder()
    assert folder is not None
    assert campaign.progress(stage) == {}
    folder.mkdir(parents=True)
    (folder / "settings.yaml").write_text("data: {seconds: 2.0, batch: 9}")
    rows = [
        {"step": 100, "loss": 3.0, "mel": 1.0, "rate": 1e-3},
        {"step": 200, "loss": 2.0, "mel": 0.5, "rate": 1e-3},
        {"step": 200, "valid/stoi": 0.9},
    ]
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = campaign.progress(stage)
    assert found["steps"] == 200
    assert found["hours"] == 1.0
    assert found["losses"] == {"loss": 2.0, "mel": 0.5}
    assert found["valid"] == {"stoi": 0.9}


def test_what_is_kept_with_the_project_is_not_made_again(
    campaign: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(campaign, "RESULTS", tmp_path / "campaign.jsonl")
    stage = campaign.Stage("one", "echo made >> seen", made=tmp_path / "kept")
    assert campaign.work([[[stage]]]) == 0
    (tmp_path / "done" / "one").unlink()
    (tmp_path / "kept").mkdir()
    assert campaign.work([[[stage]]]) == 0
    assert (tmp_path / "seen").read_text() == "made\n"


def test_what_was_learnt_is_kept_once_there_is_a_checkpoint(
    campaign: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(campaign, "RESULTS", tmp_path / "campaign.jsonl")
    stage = campaign.Stage("one", "false", "lm.yaml", keep="touch kept")
    campaign.keep(stage)
    assert not (tmp_path / "kept").exists()
    (tmp_path / "runs" / "lm" / "step-00000001").mkdir(parents=True)
    assert campaign.work([[[stage]]]) == 1  # the stage fails, its last checkpoint is good
    assert (tmp_path / "kept").exists()


def test_settings_of_all_stages_are_valid(campaign: ModuleType) -> None:
    for stage in (stage for lanes in campaign.PHASES for lane in lanes for stage in lane):
        if stage.settings is not None:
            kind = LMTraining if " train lm " in stage.command else CodecTraining
            load_settings(kind, RECIPE / stage.settings, ["init=somewhere"])


def test_a_run_begins_where_the_kept_one_ended(
    campaign: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = import_module("stages")
    monkeypatch.setattr(stages, "KEPT", tmp_path)

    def said() -> str:
        line = f"echo {stages.begun('lm', 'lm')}"
        return subprocess.run(["bash", "-euc", line], capture_output=True, text=True).stdout.strip()

    assert said() == ""
    (tmp_path / "lm.step").write_text("120\n")
    assert said() == f"run.begin=120 init={tmp_path}/lm"


def test_a_lane_may_have_all_cores(campaign: ModuleType) -> None:
    assert campaign.chosen(None) == campaign.PHASES
    *before, (lane,) = campaign.chosen("check")
    assert tuple(before) == campaign.PHASES[: len(before)]
    assert "decoder" in [stage.name for stage in lane]
    assert "lm" not in [stage.name for stage in lane]
    with pytest.raises(SystemExit, match="no stage singing: give one of packages, text"):
        campaign.chosen("singing")

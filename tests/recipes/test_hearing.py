"""The recipe of hearing: commands that are learnt or tested, never both, and settings that load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from llasa.training.config import load_settings
from llasa.training.lm.settings import LMTraining

RECIPE = Path(__file__).parents[2] / "recipes" / "hearing"


def make(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(RECIPE / "commands.py"), "train.txt", "test.txt", *flags]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_no_command_is_learnt_and_tested(tmp_path: Path) -> None:
    assert make(tmp_path).returncode == 0
    learnt, tested = ((tmp_path / f"{n}.txt").read_text().split("\n") for n in ("train", "test"))
    assert (len(learnt), len(tested)) == (4001, 101)
    assert not set(learnt[:-1]) & set(tested[:-1])
    words = [set(" ".join(lines).lower().split()) for lines in (learnt, tested)]
    assert words[1] <= words[0]
    before = (tmp_path / "train.txt").read_text()
    make(tmp_path)
    assert (tmp_path / "train.txt").read_text() == before
    assert "there are 5376 commands" in make(tmp_path, "--learnt", "9999").stderr


def test_settings_load() -> None:
    settings = load_settings(LMTraining, RECIPE / "lm.yaml", [])
    assert settings.data.writes
    assert settings.data.hear == 0.9

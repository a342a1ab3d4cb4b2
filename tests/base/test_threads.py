"""How torch's threads wait, and how many there are, in processes that are ours."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from llasa.base import threads
from llasa.base.threads import choose_threads, cores, wait_passively


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    count = torch.get_num_threads()
    yield
    torch.set_num_threads(count)


def test_the_user_decides_how_threads_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    wait_passively()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


@pytest.mark.parametrize(
    ("text", "count"),
    [("max 100000", 8), ("250000 100000", 2), ("50000 100000", 1), ("junk", 8), (None, 8)],
)
def test_a_quota_bounds_the_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, count: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(threads, "_QUOTA", tmp_path / "cpu.max")
    if text is not None:
        (tmp_path / "cpu.max").write_text(text)
    assert cores() == count


@pytest.mark.parametrize(
    ("megabytes", "share", "named", "count"),
    [
        *((18, 1, None, 1), (150, 1, None, 2), (5000, 1, None, 4), (5000, 2, None, 2)),
        *((18, 2, None, 1), (18, 1, "3", 3), (5000, 2, "3", 1)),
    ],
)
def test_small_models_take_few_threads(
    monkeypatch: pytest.MonkeyPatch, megabytes: float, share: int, named: str | None, count: int
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if named is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", named)
    torch.set_num_threads(int(named or 6))
    monkeypatch.setattr(threads, "cores", lambda: 4)
    choose_threads(megabytes, share)
    assert torch.get_num_threads() == count


@pytest.mark.slow
def test_the_command_line_sets_it_before_torch_comes_in(tmp_path: Path) -> None:
    """OpenMP reads the environment once, as it is loaded."""
    look = (
        "import os, sys\n"
        "from llasa.cli import options\n"
        "def load(args, *_, **__):\n"
        "    print(os.environ.get('OMP_WAIT_POLICY'), 'torch' in sys.modules)\n"
        "    raise SystemExit\n"
        "options.load_model = load\n"
        "from llasa.cli.main import main\n"
        "main(['say', 'Hi.', '-o', 'hi.wav'])\n"
    )
    own = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", look], cwd=tmp_path, env=own, capture_output=True, text=True
    )
    assert done.stdout.split()[0] == "PASSIVE", done.stderr

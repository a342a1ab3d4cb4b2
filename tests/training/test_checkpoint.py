"""Checkpoints: complete or absent, rotated, and never at the cost of an older one."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from llasa.base.errors import LlasaError
from llasa.training.checkpoint import STATE, checkpoints, fitting, load_state, save_checkpoint


def write_text(folder: Path) -> None:
    (folder / "weights").write_text("w")


def save(
    run: Path, step: int, keep: int = 2, write: Callable[[Path], None] = write_text, size: int = 1
) -> Path:
    return save_checkpoint(run, step, {"step": step, "x": torch.zeros(size)}, write, keep)


def names(run: Path) -> list[str]:
    return sorted(path.name for path in run.iterdir())


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """No file can become larger than this."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_rotation_and_contents(tmp_path: Path) -> None:
    run = tmp_path / "deep" / "run"
    for step in (5, 10, 99_999_999, 100_000_000):
        save(run, step)
    assert checkpoints(run) == [
        (99_999_999, run / "step-99999999"),
        (100_000_000, run / "step-100000000"),
    ]
    newest = run / "step-100000000"
    assert names(newest) == [STATE, "weights"]
    assert load_state(newest)["step"] == 100_000_000
    assert names(run) == ["step-100000000", "step-99999999"]


def test_keep_all_and_save_again(tmp_path: Path) -> None:
    for step in (1, 2, 3, 3):
        save(tmp_path, step, keep=0)
    assert [step for step, _ in checkpoints(tmp_path)] == [1, 2, 3]


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), LlasaError("no"), OSError(28, "full")])
def test_an_interrupted_write_leaves_the_old_ones(tmp_path: Path, failure: BaseException) -> None:
    save(tmp_path, 1, keep=1)

    def fail(folder: Path) -> None:
        write_text(folder)
        raise failure

    with pytest.raises(LlasaError if isinstance(failure, OSError) else type(failure)):
        save(tmp_path, 2, keep=1, write=fail)
    assert names(tmp_path) == ["step-00000001"]
    assert load_state(tmp_path / "step-00000001")["step"] == 1


def test_full_disk(tmp_path: Path) -> None:
    save(tmp_path, 1)
    with (
        small_disk(100_000),
        pytest.raises(LlasaError, match=r"step-00000002 cannot be written: \S") as caught,
    ):
        save(tmp_path, 2, size=1_000_000)
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == ["step-00000001"]


def test_what_a_kill_left_is_ignored_and_removed(tmp_path: Path) -> None:
    left = tmp_path / ".llasa-01234567.tmp"
    left.mkdir()
    (left / "weights").write_text("half")
    (tmp_path / "step-best").mkdir()
    assert checkpoints(tmp_path) == []
    save(tmp_path, 8)
    assert names(tmp_path) == ["step-00000008", "step-best"]


def test_unwritable_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LlasaError, match="cannot be written: Not a directory"):
        save(tmp_path / "file" / "run", 1)


@pytest.mark.parametrize("damage", ["cut", "text", "absent", "pickle"])
def test_damaged_state(tmp_path: Path, damage: str) -> None:
    path = save(tmp_path, 3) / STATE
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    elif damage == "text":
        path.write_text("hello")
    elif damage == "absent":
        path.unlink()
    else:  # arbitrary code is never run
        torch.save({"x": Path("/")}, path)
    with pytest.raises(LlasaError, match=r"is damaged .*\. Delete it") as caught:
        load_state(path.parent)
    assert "\n" not in str(caught.value)


def test_state_of_another_shape(tmp_path: Path) -> None:
    with pytest.raises(LlasaError, match="does not fit these settings"), fitting(tmp_path):
        torch.nn.Linear(2, 3).load_state_dict(torch.nn.Linear(3, 3).state_dict())

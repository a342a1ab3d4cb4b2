"""Atomic, rotated checkpoint folders: ``step-00001000/`` appears only when it is complete."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from llasa.base.errors import LlasaError, first_line
from llasa.base.files import published_folder, remove_unfinished

STATE = "trainer.pt"
_NAME = re.compile(r"step-(\d{8,})")


def checkpoints(run: Path) -> list[tuple[int, Path]]:
    """Complete checkpoints of a run folder as (step, path), oldest first."""
    found = ((_NAME.fullmatch(p.name), p) for p in run.glob("step-*"))
    return sorted((int(match[1]), path) for match, path in found if match)


def save_checkpoint(
    run: Path, step: int, state: dict[str, Any], write_model: Callable[[Path], None], keep: int
) -> Path:
    """Write a checkpoint and delete all but the newest ``keep``.

    Whatever interrupts it (full disk, a kill) leaves the older checkpoints as they were.

    Args:
        run: folder of the run.
        step: number of finished steps.
        state: what the trainer needs to go on (optimizers, random states); tensors and numbers.
        write_model: writes weights and configuration into the folder it is given.
        keep: how many checkpoints stay, 0 for all.

    Raises:
        LlasaError: the folder cannot be written.
    """
    target = run / f"step-{step:08d}"
    remove_unfinished(run)
    try:
        with published_folder(target) as partial:
            write_model(partial)
            torch.save(state, partial / STATE)
    except RuntimeError as error:  # torch reports a full disk so
        raise LlasaError(f"{target} cannot be written: {first_line(error)}.") from error
    drop_old(run, keep)
    return target


def drop_old(run: Path, keep: int) -> None:
    """Delete all but the newest ``keep`` checkpoints, none where that is 0."""
    for _, old in checkpoints(run)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)


def load_state(checkpoint: Path, mapped: bool = False) -> dict[str, Any]:
    """The trainer state of a checkpoint folder; ``LlasaError`` where it is damaged.

    ``mapped`` reads tensors when they are used: for processes that each need some rows.
    """
    try:
        path = checkpoint / STATE
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        return dict(state)
    except Exception as error:  # torch raises many kinds for damaged files
        raise LlasaError(
            f"Checkpoint {checkpoint} is damaged ({first_line(error)}). Delete it to resume from "
            "an older one."
        ) from error


def restore(run: Path, model: nn.Module, optimizers: Sequence[Optimizer]) -> int:
    """Fill a model and its optimizers from the newest checkpoint of a run of one process.

    Its state holds both as ``model`` and ``optimizers``. Returns the steps done, 0 where there is
    no checkpoint. Raises `LlasaError` where it is damaged or of another shape.
    """
    found = checkpoints(run)
    if not found:
        return 0
    step, folder = found[-1]
    state = load_state(folder)
    with fitting(folder):
        model.load_state_dict(state["model"])
        for optimizer, values in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(values)
    return step


@contextmanager
def fitting(checkpoint: Path) -> Iterator[None]:
    """Turns what torch raises for a state of another shape into one sentence."""
    try:
        yield
    except (KeyError, IndexError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise LlasaError(
            f"Checkpoint {checkpoint} does not fit these settings ({reason}). Use the settings it "
            "was made with, or another run.out."
        ) from error

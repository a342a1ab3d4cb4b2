"""Atomic, rotated checkpoint folders: ``step-00001000/`` appears only when it is complete."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from llasa.errors import LlasaError

STATE = "trainer.pt"
_NAME = re.compile(r"step-(\d{8})")


def checkpoints(run: Path) -> list[tuple[int, Path]]:
    """Complete checkpoints of a run folder as (step, path), oldest first."""
    found = ((_NAME.fullmatch(p.name), p) for p in run.glob("step-*"))
    return sorted((int(match[1]), path) for match, path in found if match)


def save_checkpoint(
    run: Path, step: int, state: dict[str, Any], write_model: Callable[[Path], None], keep: int
) -> Path:
    """Write a checkpoint and delete all but the newest ``keep``.

    Args:
        run: folder of the run.
        step: number of finished steps.
        state: what the trainer needs to go on (optimizers, random states); tensors and numbers.
        write_model: writes weights and configuration into the folder it is given.
        keep: how many checkpoints stay.
    """
    run.mkdir(parents=True, exist_ok=True)
    target = run / f"step-{step:08d}"
    partial = run / f".writing-{target.name}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        write_model(partial)
        torch.save(state, partial / STATE)
        shutil.rmtree(target, ignore_errors=True)
        os.replace(partial, target)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise LlasaError(f"checkpoint {target} cannot be written: {error.strerror}") from error
    for _, old in checkpoints(run)[:-keep]:
        shutil.rmtree(old)
    return target


def load_state(checkpoint: Path) -> dict[str, Any]:
    """The trainer state of a checkpoint folder."""
    try:
        state = torch.load(checkpoint / STATE, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for damaged files
        raise LlasaError(
            f"checkpoint {checkpoint} is damaged ({error}); delete it to resume from an older one"
        ) from error
    return dict(state)

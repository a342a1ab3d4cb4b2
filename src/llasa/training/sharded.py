"""Checkpoints of several processes: each writes its own shard, any number of them reads it again.

A folder of `checkpoint.py`, with the folder `state` of torch.distributed.checkpoint in the place
of `trainer.pt`, and whole numbers as JSON in it. On several nodes it must lie where all of them see
it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError

from llasa.base.errors import LlasaError, first_line
from llasa.base.files import read_json, remove_unfinished, sync, temporary_name, write_json
from llasa.training.checkpoint import drop_old
from llasa.training.workers import Workers

STATE_FOLDER = "state"
NUMBERS = "numbers.json"
"""File of a state folder with the whole numbers of the state."""
T = TypeVar("T")
_FOREIGN = ("size mismatch", "missing key")
"""What torch says of a checkpoint that is whole, but of another model."""


class ShardedCheckpoints:
    """Writes the checkpoints of a run, at once or while the next steps run.

    All processes call each method together. A checkpoint counts from `finish` on.
    """

    def __init__(self, run: Path, keep: int, workers: Workers, asynchronous: bool) -> None:
        self._run, self._keep, self._workers = run, keep, workers
        self._asynchronous = asynchronous
        self._group: Any = None
        """Of its own, so that what is written and what is trained do not mix up messages."""
        self._pending: tuple[Path, Path, Future[Any] | None] | None = None

    def save(self, step: int, state: dict[str, Any], write_model: Callable[[Path], None]) -> None:
        """Write what each process holds of `state`, and the model by `write_model(folder)`.

        Raises `LlasaError` in all processes where one of them cannot write a file.
        """
        from torch.distributed.checkpoint.state_dict_saver import save

        self.finish()
        target = self._run / f"step-{step:08d}"
        partial = temporary_name(self._run, target.name)
        where = partial / STATE_FOLDER
        numbers = _numbers(state)
        rest = {name: value for name, value in state.items() if name not in numbers}

        def begin() -> None:
            if self._workers.rank == 0:
                self._run.mkdir(parents=True, exist_ok=True)
                remove_unfinished(self._run)
                where.mkdir(parents=True)
                write_json(where / NUMBERS, numbers)

        self._together(target, begin)
        self._together(target, lambda: write_model(partial))
        if self._asynchronous:
            future = self._together(target, lambda: self._written_later(rest, where))
            self._pending = (target, partial, future)
        else:
            self._together(target, lambda: save(rest, checkpoint_id=where))
            self._pending = (target, partial, None)
            self.finish()

    def _together(self, target: Path, act: Callable[[], T]) -> T:
        """Act in every process; where one fails, none is left waiting for it.

        What acts must itself do the same exchanges in all processes, whatever fails.
        """
        from torch.distributed.checkpoint.api import CheckpointException

        problem: BaseException | None = None
        try:
            done = act()
        except (OSError, RuntimeError, LlasaError, SafetensorError, CheckpointException) as error:
            problem = error
        if self._workers.any(problem is not None):
            if isinstance(problem, LlasaError):
                raise problem
            raise _unwritten(target, problem or LlasaError("another process failed")) from problem
        return done

    def _written_later(self, state: dict[str, Any], where: Path) -> Future[Any]:
        from torch.distributed.checkpoint.state_dict_saver import async_save

        if self._group is None:
            self._group = self._workers.background()
        made = async_save(state, checkpoint_id=where, process_group=self._group)
        assert isinstance(made, Future)
        return made

    def poll(self) -> None:
        """Let a checkpoint count as soon as every process has written its part."""
        if self._pending is not None:
            _, _, future = self._pending
            if not self._workers.any(future is not None and not future.done()):
                self.finish()

    def finish(self) -> None:
        """Wait for what is still being written, and let it count."""
        if self._pending is None:
            return
        target, partial, future = self._pending
        self._pending = None
        if future is not None:
            self._together(target, future.result)

        def publish() -> None:
            if self._workers.rank == 0:
                for path in (*partial.rglob("*"), partial):
                    sync(path)
                shutil.rmtree(target, ignore_errors=True)
                os.replace(partial, target)
                sync(self._run)
                drop_old(self._run, self._keep)

        self._together(target, publish)


def is_sharded(checkpoint: Path) -> bool:
    """Whether a checkpoint has one shard a process."""
    return (checkpoint / STATE_FOLDER).is_dir()


def load_sharded(checkpoint: Path, state: dict[str, Any]) -> None:
    """Read the parts of a checkpoint that this process holds into `state`, in place.

    No code that a file brings along is run. Raises `LlasaError` for a checkpoint that is damaged,
    or of other shapes or names.
    """
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.state_dict_loader import load

    from llasa.training.safe_reading import Planner, Reader

    folder = checkpoint / STATE_FOLDER
    try:
        numbers: dict[str, int] = {}
        if (folder / NUMBERS).exists():  # older ones hold them like all the rest
            found = read_json(folder / NUMBERS)
            numbers = {name: int(found[name]) for name in _numbers(state)}
        rest = {name: value for name, value in state.items() if name not in numbers}
        alone = not torch.distributed.is_initialized()
        load(rest, storage_reader=Reader(folder), planner=Planner(), no_dist=alone)
        state.update({**rest, **numbers})
    except CheckpointException as error:
        reasons = [" ".join(str(each).split())[:200] for each in _causes(error)]
        if any(sign in each.lower() for each in reasons for sign in _FOREIGN):
            raise LlasaError(
                f"Checkpoint {checkpoint} does not fit these settings ({reasons[0]}). Use the "
                "settings it was made with, or another run.out."
            ) from error
        raise _damaged(checkpoint, reasons[0]) from error
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, EOFError) as error:
        raise _damaged(checkpoint, first_line(error)) from error


def _numbers(state: Mapping[str, Any]) -> dict[str, int]:
    """The entries that are neither tensors nor trees of them."""
    return {
        k: value for k, value in state.items() if not isinstance(value, (Mapping, torch.Tensor))
    }


def _causes(error: Any) -> list[BaseException]:
    failures = getattr(error, "failures", {})
    return [each[0] if isinstance(each, tuple) else each for each in failures.values()] or [error]


def _damaged(checkpoint: Path, reason: str) -> LlasaError:
    return LlasaError(
        f"Checkpoint {checkpoint} is damaged ({reason}). Delete it to resume from an older one."
    )


def _unwritten(target: Path, error: BaseException) -> LlasaError:
    why = getattr(error, "strerror", None) or first_line(error)
    return LlasaError(f"Checkpoint {target} cannot be written: {why}.")

"""Logs of a run: JSON lines, TensorBoard, audible samples, a progress bar; stop on divergence."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from llasa.audio.audio import Audio
from llasa.base import jsonl
from llasa.base.errors import LlasaError
from llasa.base.files import read_bytes, write_atomic
from llasa.base.names import plain
from llasa.base.progress import progress
from llasa.base.rows import Rows
from llasa.training.settings import RunSettings
from llasa.training.workers import Workers

LOG_FILE, SKIPPED_FILE = "log.jsonl", "skipped.jsonl"
Values = dict[str, Tensor | float]


class Log:
    """JSON lines always, TensorBoard files where tensorboard is installed, and a progress bar.

    Values are means over ``log_every`` steps and over all workers; the first worker writes them. A
    run that is resumed at step ``start`` forgets the records after it, and its first new record is
    the mean of the steps since. Divergence is detected by comparison with the loss of the first
    step since the start or restart.
    """

    def __init__(self, settings: RunSettings, start: int, workers: Workers) -> None:
        self.settings, self.workers = settings, workers
        self.main = workers.rank == 0
        self._sums: Values = {}
        self._counts: dict[str, int] = {}
        self._steps = 0
        self._began = time.monotonic()
        self._first_loss: float | None = None
        self._lost = 0
        if not self.main:
            return
        folder = Path(settings.out)
        _forget_after(folder / LOG_FILE, start)
        self._skipped = Rows(folder / SKIPPED_FILE, lambda row: str(row["audio"]))
        self._file = (folder / LOG_FILE).open("ab")
        self._bar = progress(
            total=settings.steps, initial=start, unit="step", desc="train", dynamic_ncols=True
        )
        self._board: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=start + 1)  # type: ignore[no-untyped-call]

    def step(self, step: int, values: Values) -> None:
        """Collect one step (1-based count of finished steps); writes every ``log_every``.

        Raises:
            LlasaError: a value is not finite, or the loss has grown out of all proportion.
        """
        for name, value in values.items():
            detached = value.detach() if isinstance(value, Tensor) else value
            self._sums[name] = self._sums.get(name, 0.0) + detached
            self._counts[name] = self._counts.get(name, 0) + 1
        self._steps += 1
        if self._first_loss is None:
            self.check(step)  # at once: a later loss may already be one of a run that diverges
        if self.main:
            self._bar.update(1)
        if step % self.settings.log_every and step != self.settings.steps:
            return
        means = self.check(step)
        seconds = (time.monotonic() - self._began) / self._steps
        self._sums, self._counts, self._steps = {}, {}, 0
        self._began = time.monotonic()
        if self.main:
            self._bar.set_postfix({k: f"{v:.4g}" for k, v in list(means.items())[:4]})
        speed = {"seconds_per_step": seconds}
        if "tokens" in means:
            speed["tokens_per_second"] = means["tokens"] / seconds
        self.write(step, means | speed)

    def lost(self, lost: Mapping[str, str]) -> None:
        """Report data that cannot be used: on stderr, in ``skipped.jsonl``, and its count in every
        record of the first worker.
        """
        for name, reason in list(lost.items())[self._lost :]:
            tqdm.write(plain(f"llasa: {name} is left out: {reason.rstrip('.')}."), file=sys.stderr)
            if self.main and name not in self._skipped:
                self._skipped.add({"audio": name, "reason": reason})
        self._lost = len(lost)

    def check(self, step: int) -> dict[str, float]:
        """Means of what was collected since the last record; raises as ``step`` does."""
        if not self._sums:
            return {}
        pairs = [(float(total), self._counts[name]) for name, total in self._sums.items()]
        table = self.workers.sum(torch.tensor(pairs, dtype=torch.float64))
        means = dict(zip(self._sums, (table[:, 0] / table[:, 1]).tolist(), strict=True))
        for name, mean in means.items():
            if not math.isfinite(mean):
                raise LlasaError(_diverged(f"{name} is {mean}", step))
        if (loss := means.get("loss")) is not None:
            self._first_loss = loss if self._first_loss is None else self._first_loss
            if loss > 10 * abs(self._first_loss) + 10:
                grown = f"the loss is {loss:.4g} and began at {self._first_loss:.4g}"
                raise LlasaError(_diverged(grown, step))
        return means

    @contextmanager
    def untimed(self) -> Iterator[None]:
        """Exclude the time of the block from the training speed."""
        began = time.monotonic()
        yield
        self._began += time.monotonic() - began

    def write(self, step: int, values: dict[str, float]) -> None:
        """Write one record at once, for evaluations."""
        if not self.main:
            return
        record = {"step": step, **{name: _short(value) for name, value in values.items()}}
        if self._lost:
            record["skipped"] = self._lost
        self._file.write(jsonl.render(record))
        self._file.flush()
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def audio(self, step: int, name: str, samples: NDArray[np.float32], rate: int) -> None:
        """An audible sample: a FLAC file under ``samples/`` and, if there, in TensorBoard."""
        if not self.main:
            return
        folder = Path(self.settings.out) / "samples"
        folder.mkdir(exist_ok=True)
        samples = samples.clip(-1, 1)
        Audio(samples, rate).write(folder / f"{step:08d}-{name}.flac")
        if self._board is not None:
            self._board.add_audio(name, samples[None], step, rate)

    def close(self) -> None:
        """Flush and close all files."""
        if self.main:
            self._bar.close()
            self._file.close()
            if self._board is not None:
                self._board.close()


def _diverged(what: str, step: int) -> str:
    return (
        f"Training diverged: {what} near step {step}. No checkpoint was written since; resume from "
        "the last one with a lower optimizer.rate."
    )


def _forget_after(path: Path, step: int) -> None:
    """Drop records after ``step``, and a line that a kill cut off."""
    if not path.exists():
        return
    kept = []
    for _, row in jsonl.read(read_bytes(path), str(path), skip=lambda number, reason: None):
        try:
            if row["step"] <= step:
                kept.append(jsonl.render(row))
        except (KeyError, TypeError):
            continue
    write_atomic(path, b"".join(kept))


def _short(value: float) -> float:
    return float(f"{value:.6g}")

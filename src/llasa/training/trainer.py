"""What every trainer shares: settings of a run, its processes, and the loop over steps."""

from __future__ import annotations

import os
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
import yaml
from torch import Tensor, nn

from llasa.base.errors import LlasaError
from llasa.base.files import make_folder, only_writer, write_atomic
from llasa.training.config import as_dict
from llasa.training.log import Log, Values

SETTINGS_FILE = "settings.yaml"
B = TypeVar("B")
"""What one step learns from."""


@dataclass
class RunSettings:
    """Where a run lives and how often it logs, evaluates and saves (in steps).

    ``keep`` is the number of checkpoints that stay, 0 for all.
    """

    out: str = "runs/default"
    steps: int = 1000
    seed: int = 1024
    log_every: int = 10
    eval_every: int = 500
    save_every: int = 500
    keep: int = 2
    device: str = "auto"
    bf16: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "log_every", "eval_every", "save_every"):
            if getattr(self, name) < 1:
                raise LlasaError(f"run.{name} must be 1 or more, not {getattr(self, name)}")
        if self.keep < 0 or self.seed < 0:
            raise LlasaError("run.keep and run.seed must be 0 or more")


class Workers:
    """The processes of one ``torchrun``; a single process without it."""

    def __init__(self) -> None:
        self.rank = int(os.environ.get("RANK", 0))
        self.world = int(os.environ.get("WORLD_SIZE", 1))
        self.local_rank = int(os.environ.get("LOCAL_RANK", 0))
        if self.world > 1 and not torch.distributed.is_initialized():
            gpu = torch.cuda.is_available()
            torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo")

    def device(self, wanted: str) -> torch.device:
        """``auto`` takes this worker's GPU if there is one."""
        if wanted == "auto":
            wanted = "cuda" if torch.cuda.is_available() else "cpu"
        if wanted == "cuda":
            wanted = f"cuda:{self.local_rank}"
        try:
            device = torch.device(wanted)
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).partition("\n")[0]
            raise LlasaError(f"run.device {wanted} cannot be used: {reason}") from error
        if device.type == "cuda":
            torch.cuda.set_device(device)
        return device

    def sum(self, values: Tensor) -> Tensor:
        """Sum of a CPU tensor over all processes."""
        if self.world > 1:
            torch.distributed.all_reduce(values)
        return values

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Give all processes the tensors of the first."""
        if self.world > 1:
            for tensor in tensors:
                torch.distributed.broadcast(tensor.detach(), 0)

    def mean_gradients(self, parameters: list[nn.Parameter]) -> None:
        """Average gradients over all processes, in one flat message."""
        if self.world == 1:
            return
        grads = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([g.flatten() for g in grads])
        torch.distributed.all_reduce(flat)
        flat /= self.world
        offset = 0
        for grad in grads:
            grad.copy_(flat[offset : offset + grad.numel()].view_as(grad))
            offset += grad.numel()

    def barrier(self) -> None:
        """Wait until all processes are here."""
        if self.world > 1:
            torch.distributed.barrier()

    def close(self) -> None:
        """Leave the process group."""
        if self.world > 1 and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


class Trainer(ABC, Generic[B]):
    """A model on its way through a run; subclasses say what a step is."""

    settings: Any
    """A dataclass tree whose ``run`` is a ``RunSettings``."""
    workers: Workers
    finished: int
    """Steps done, those before a restart included."""

    @property
    def lost(self) -> Mapping[str, str]:
        """What of the data could not be used so far, each with the reason."""
        return {}

    @abstractmethod
    def _batch(self, step: int) -> B:
        """What this worker learns from at a step: on the CPU, a pure function of its number."""

    @abstractmethod
    def _step(self, batch: B) -> Values:
        """One update; returns the losses to log."""

    @abstractmethod
    def _evaluate(self, log: Log) -> None:
        """Score held-out data."""

    @abstractmethod
    def _save(self) -> None:
        """Write a checkpoint."""

    def train(self) -> None:
        """Run to ``run.steps``. Ctrl-C or SIGTERM ends the step, saves and interrupts.

        Raises:
            LlasaError: training diverged, or a file cannot be written.
            KeyboardInterrupt: after saving.
        """
        run: RunSettings = self.settings.run
        with ExitStack() as stack:
            if self.workers.rank == 0:
                stack.enter_context(only_writer(make_folder(Path(run.out))))
                self._write_settings(Path(run.out))
            self._train(run)

    def _train(self, run: RunSettings) -> None:
        log = Log(run, self.finished, self.workers)
        batches = prefetched(self._batch, range(self.finished, run.steps))
        try:
            with stop_wish() as wished, closing(batches):
                for batch in batches:
                    losses = self._step(batch)
                    self.finished += 1
                    log.lost(self.lost)
                    log.step(self.finished, losses)
                    stop = bool(self.workers.sum(torch.tensor(int(wished()))))
                    evaluate = self._due(run.eval_every) and not stop
                    save = self._due(run.save_every) or stop
                    with log.untimed():
                        if evaluate or save:
                            log.check(self.finished)  # no broken checkpoint replaces a good one
                        if save:  # before the evaluation, which may fail for its own reasons
                            self._save()
                        if evaluate:
                            self._evaluate(log)
                    if stop:
                        raise KeyboardInterrupt
        finally:
            log.close()
            self.workers.close()

    def _due(self, every: int) -> bool:
        return self.finished % every == 0 or self.finished == self.settings.run.steps

    def _write_settings(self, folder: Path) -> None:
        text = yaml.safe_dump(as_dict(self.settings), sort_keys=False)
        write_atomic(folder / SETTINGS_FILE, text.encode())


def prefetched(build: Callable[[int], B], steps: Iterable[int]) -> Generator[B, None, None]:
    """``build(step)`` of each step, made in one background thread during the step before.

    What goes wrong in ``build`` is raised at its own step. Closing waits for the thread to end.
    """
    with ThreadPoolExecutor(1, "batches") as pool:
        builds = (pool.submit(build, step) for step in steps)
        coming = next(builds, None)
        while coming is not None:
            batch = coming.result()
            coming = next(builds, None)
            yield batch


@contextmanager
def stop_wish() -> Iterator[Callable[[], bool]]:
    """Inside, a first Ctrl-C or SIGTERM is only noted, so that no step is cut in half.

    Yields a function that says whether one came; a second one interrupts at once.
    """
    came: list[int] = []

    def note(number: int, _: Any) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)

    main = threading.current_thread() is threading.main_thread()
    signals = (signal.SIGINT, signal.SIGTERM) if main else ()
    before = {number: signal.signal(number, note) for number in signals}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)

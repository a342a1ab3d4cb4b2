"""The loop over steps that every trainer shares."""

from __future__ import annotations

import signal
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
import yaml
from tqdm import tqdm

from llasa.base.devices import multiplies_bfloat16
from llasa.base.files import make_folder, only_writer, write_atomic
from llasa.training.checkpoint import save_checkpoint
from llasa.training.config import as_dict
from llasa.training.log import Log, Values
from llasa.training.schedules import multiplier
from llasa.training.workers import Workers

SETTINGS_FILE = "settings.yaml"
B = TypeVar("B")
"""What one step learns from."""


class Trainer(ABC, Generic[B]):
    """The training loop; subclasses define a step.

    ``batches``, ``step``, ``evaluate`` and ``save`` are also hooks for recipes, which may override
    them. A step may change ``settings.run``; the run ends after the current ``run.steps``.
    """

    settings: Any
    """A dataclass tree whose ``run`` is a ``RunSettings``."""
    workers: Workers
    device: torch.device
    finished: int
    """Steps done, those before a restart and before ``run.begin`` included."""

    @property
    def lost(self) -> Mapping[str, str]:
        """Data that could not be used so far, each with the reason."""
        return {}

    @abstractmethod
    def batch(self, step: int) -> B:
        """This worker's batch for a step, on the CPU, as a pure function of the step's number."""

    def batches(self) -> Generator[B, None, None]:
        """The batches of all steps that are left."""
        return prefetched(self.batch, range(self.finished, self.settings.run.steps))

    @abstractmethod
    def step(self, batch: B) -> Values:
        """One update; returns the losses to log."""

    @abstractmethod
    def evaluate(self, log: Log) -> None:
        """Score held-out data."""

    @abstractmethod
    def save(self) -> None:
        """Write a checkpoint."""

    def settle(self) -> None:
        """Wait for what is still being written."""

    def write_checkpoint(self, state: dict[str, Any], write_model: Callable[[Path], None]) -> None:
        """Write a checkpoint of the current step; see `save_checkpoint`."""
        run = self.settings.run
        save_checkpoint(Path(run.out), self.finished, state, write_model, run.keep)

    def train(self) -> None:
        """Run to ``run.steps``. Ctrl-C or SIGTERM ends the step, saves and interrupts.

        Raises:
            LlasaError: training diverged, or a file cannot be written.
            KeyboardInterrupt: after saving.
        """
        run = self.settings.run
        with ExitStack() as stack:
            if self.workers.rank == 0:
                folder = make_folder(Path(run.out))
                stack.enter_context(only_writer(folder))
                text = yaml.safe_dump(as_dict(self.settings), sort_keys=False)
                write_atomic(folder / SETTINGS_FILE, text.encode())
            stack.callback(self.workers.close)
            log = stack.enter_context(closing(Log(run, self.finished, self.workers)))
            batches = stack.enter_context(closing(self.batches()))
            stop_requested = stack.enter_context(stop_requests())
            for batch in batches:
                losses = self.step(batch)
                self.finished += 1
                log.lost(self.lost)
                log.step(self.finished, losses)
                stop = self.workers.any(stop_requested())
                with log.untimed():
                    self._save_and_evaluate(log, stop)
                if stop:
                    self.settle()
                    raise KeyboardInterrupt
                if self.finished >= run.steps:
                    break
            self.settle()

    def _save_and_evaluate(self, log: Log, stop: bool) -> None:
        """What is due after this step."""
        run = self.settings.run
        evaluate = self._due(run.eval_every) and not stop
        save = self._due(run.save_every) or stop
        if evaluate or save:
            log.check(self.finished)  # no broken checkpoint replaces a good one
        if save:  # before the evaluation, which may fail for its own reasons
            self.save()
        if evaluate:
            self.evaluate(log)

    def _due(self, every: int) -> bool:
        return self.finished % every == 0 or self.finished >= self.settings.run.steps

    def set_rate(
        self, optimizers: Iterable[torch.optim.Optimizer], peak: float | None = None
    ) -> float:
        """Set the optimizers to the learning rate of this step; returns it. `peak` is that of the
        schedule, if it is not ``optimizer.rate``.
        """
        settings = self.settings
        run = settings.run
        share = multiplier(settings.schedule, self.finished, run.steps, run.begin)
        rate: float = (settings.optimizer.rate if peak is None else peak) * share
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        return rate

    @cached_property
    def bf16(self) -> bool:
        """Whether steps round factors to bfloat16: where ``run.bf16`` asks for it, and the devices
        of all workers have instructions for it. The first worker says where they do not.
        """
        if not self.settings.run.bf16:
            return False
        emulated = self.workers.any(not multiplies_bfloat16(self.device))
        if emulated and self.workers.rank == 0:
            tqdm.write(
                "llasa: run.bf16 is left out: this CPU would emulate bfloat16, much slower than "
                "float32, in which the run goes on.",
                file=sys.stderr,
            )
        return not emulated

    def precision(self) -> torch.autocast:
        """bfloat16 inside, where `bf16` says so."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)


def prefetched(build: Callable[[int], B], steps: Iterable[int]) -> Generator[B, None, None]:
    """``build(step)`` of each step, made in one background thread during the step before.

    An error in ``build`` is raised at its own step. Closing waits for the thread to end.
    """
    with ThreadPoolExecutor(1, "batches") as pool:
        builds = (pool.submit(build, step) for step in steps)
        coming = next(builds, None)
        while coming is not None:
            batch = coming.result()
            coming = next(builds, None)
            yield batch


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Defer a first Ctrl-C or SIGTERM inside the block, so that no step is cut in half.

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

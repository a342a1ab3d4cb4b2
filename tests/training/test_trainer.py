"""The loop over steps: batches made ahead, signals, devices."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from llasa.base.errors import LlasaError
from llasa.training.log import Log, Values
from llasa.training.settings import RunSettings
from llasa.training.trainer import Trainer, prefetched, stop_requests
from llasa.training.workers import Workers

from .tools import batch_threads


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    yield
    assert batch_threads() == []


def test_the_next_batch_is_made_during_a_step() -> None:
    made = [threading.Event() for _ in range(4)]

    def build(step: int) -> int:
        made[step].set()
        return step * 10

    batches = prefetched(build, range(1, 4))
    for step in range(1, 4):
        assert next(batches) == step * 10
        assert all(event.wait(timeout=60) for event in made[1 : step + 2])
        assert not any(event.is_set() for event in made[step + 2 :])  # one ahead, not more
    assert list(batches) == []
    assert list(prefetched(build, range(0))) == []


def test_closing_waits_for_the_batch_in_the_making() -> None:
    going_on, done = threading.Event(), []

    def build(step: int) -> int:
        if step:
            going_on.wait(timeout=60)
        done.append(step)
        return step

    batches = prefetched(build, range(9))
    assert next(batches) == 0
    assert len(batch_threads()) == 1
    going_on.set()
    batches.close()
    assert done == [0, 1]


@dataclass
class Settings:
    run: RunSettings = field(default_factory=RunSettings)


class Counting(Trainer[int]):
    """Learns numbers; the batch of one step, or the step itself, fails."""

    def __init__(
        self, out: Path, bad_batch: int = -1, bad_step: int = -1, bf16: bool = False
    ) -> None:
        self.settings = Settings(RunSettings(str(out), steps=6, save_every=2, bf16=bf16))
        self.workers, self.finished = Workers(), 0
        self.device = self.workers.device("cpu")
        self.bad_batch, self.bad_step = bad_batch, bad_step
        self.saved: list[int] = []

    def batch(self, step: int) -> int:
        if step == self.bad_batch:
            raise LlasaError("the clip is damaged")
        return step

    def step(self, batch: int) -> Values:
        assert batch == self.finished
        if batch == self.bad_step:
            raise KeyboardInterrupt
        return {"loss": 1.0}

    def evaluate(self, log: Log) -> None:
        pass

    def save(self) -> None:
        self.saved.append(self.finished)


def test_an_error_is_raised_at_its_own_step(tmp_path: Path) -> None:
    trainer = Counting(tmp_path, bad_batch=4)
    with pytest.raises(LlasaError, match="the clip is damaged"):
        trainer.train()
    assert (trainer.finished, trainer.saved) == (4, [2, 4])


def test_an_interrupted_step_ends_the_run(tmp_path: Path) -> None:
    trainer = Counting(tmp_path, bad_step=3)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert (trainer.finished, trainer.saved) == (3, [2])


def test_a_finished_run_stays(tmp_path: Path) -> None:
    trainer = Counting(tmp_path)
    trainer.train()
    trainer.train()
    assert (trainer.finished, trainer.saved) == (6, [2, 4, 6])


def test_signals_are_requests_once() -> None:
    before = signal.getsignal(signal.SIGINT)
    with stop_requests() as requested:
        assert not requested()
        os.kill(os.getpid(), signal.SIGTERM)
        assert requested()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_unusable_device() -> None:
    for name in ("vacuum", "cuda:99"):
        with pytest.raises(LlasaError, match=f"run.device {name} cannot be used"):
            Workers().device(name)


@pytest.mark.parametrize("able", [True, False])
@pytest.mark.parametrize("wanted", [True, False])
def test_bfloat16_is_used_where_the_cpu_multiplies_it(
    wanted: bool,
    able: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": able})
    trainer = Counting(tmp_path, bf16=wanted)
    with trainer.precision():
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert (product.dtype == torch.bfloat16) == (wanted and able)
    with trainer.precision():  # what it says, it says once
        pass
    assert capsys.readouterr().err.count("run.bf16 is left out") == (wanted and not able)

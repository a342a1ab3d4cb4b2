"""Logs: means, speed, samples, records that a resumed run forgets, and the stop on divergence."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from llasa.base.errors import LlasaError
from llasa.training.log import LOG_FILE, Log
from llasa.training.settings import RunSettings
from llasa.training.workers import Workers

from .tools import RATE, records


def open_log(out: Path, start: int = 0, log_every: int = 2) -> Log:
    settings = RunSettings(out=str(out), steps=100, log_every=log_every)
    out.mkdir(exist_ok=True)
    return Log(settings, start, Workers())


def test_means_over_the_steps_that_have_a_value(tmp_path: Path) -> None:
    log = open_log(tmp_path, log_every=3)
    log.step(1, {"loss": torch.tensor(1.0, requires_grad=True), "tokens": 10.0})
    log.step(2, {"loss": 2.0, "tokens": 20.0, "late": 5.0})
    assert records(tmp_path) == []
    log.step(3, {"loss": 6.0, "tokens": 30.0, "late": 7.0})
    log.write(3, {"valid/loss": 1.23456789})
    log.close()
    first, second = records(tmp_path)
    speed = first.pop("tokens_per_second"), first.pop("seconds_per_step")
    assert speed[0] * speed[1] == pytest.approx(20, rel=1e-4)
    assert first == {"step": 3, "loss": 3.0, "tokens": 20.0, "late": 6.0}
    assert second == {"step": 3, "valid/loss": 1.23457}


def test_untimed_work_is_no_training_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 10.0, 60.0, 62.0, 62.0])
    monkeypatch.setattr("llasa.training.log.time", SimpleNamespace(monotonic=lambda: next(clock)))
    log = open_log(tmp_path, log_every=1)
    with log.untimed():
        pass
    log.step(1, {"loss": 1.0})
    log.close()
    assert records(tmp_path)[0]["seconds_per_step"] == 12.0


def test_last_step_is_written(tmp_path: Path) -> None:
    log = open_log(tmp_path, start=99, log_every=50)
    log.step(100, {"loss": 1.0})
    log.close()
    assert [record["step"] for record in records(tmp_path)] == [100]


def test_resumed_run_forgets_what_came_after(tmp_path: Path) -> None:
    lines = [json.dumps({"step": step, "loss": 1.0}) for step in (2, 4, 6)]
    (tmp_path / LOG_FILE).write_text("\n".join([*lines, '{"step": 8, "lo']))
    log = open_log(tmp_path, start=4)
    log.step(5, {"loss": 3.0})
    log.step(6, {"loss": 5.0})
    log.close()
    assert [(r["step"], r["loss"]) for r in records(tmp_path)] == [(2, 1.0), (4, 1.0), (6, 4.0)]


@pytest.mark.parametrize("value", [math.nan, math.inf, torch.tensor(math.nan)])
def test_not_a_number_stops_within_log_every(tmp_path: Path, value: float) -> None:
    log = open_log(tmp_path, log_every=3)
    log.step(1, {"loss": 1.0, "mel": 1.0})
    log.step(2, {"loss": 1.0, "mel": value})
    with pytest.raises(LlasaError, match=r"diverged: mel is (nan|inf) near step 2\. .* lower"):
        log.check(2)
    with pytest.raises(LlasaError, match="diverged: mel is"):
        log.step(3, {"loss": 1.0, "mel": 1.0})
    log.close()
    assert records(tmp_path) == []


def test_loss_out_of_all_proportion_stops(tmp_path: Path) -> None:
    log = open_log(tmp_path, log_every=1)
    for step, loss in enumerate([3.0, 30.0, 39.0], 1):
        log.step(step, {"loss": loss})
    with pytest.raises(LlasaError, match="the loss is 41 and began at 3"):
        log.step(4, {"loss": 41.0})
    log.close()


@pytest.mark.parametrize("start", [0, 4])
def test_divergence_soon_after_the_start(tmp_path: Path, start: int) -> None:
    """The first step is the measure, not the mean of a record that already diverges."""
    log = open_log(tmp_path, start, log_every=100)
    log.step(start + 1, {"loss": 2.0})
    log.step(start + 2, {"loss": 1000.0})
    with pytest.raises(LlasaError, match="the loss is 501 and began at 2"):
        log.check(start + 2)
    log.close()


def test_audio_and_tensorboard(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.audio(7, "hum", np.linspace(-2, 2, RATE, dtype=np.float32), RATE)
    log.close()
    samples, rate = soundfile.read(tmp_path / "samples" / "00000007-hum.flac")
    assert (len(samples), rate) == (RATE, RATE)
    assert samples.max() == pytest.approx(1, abs=1e-4)
    pytest.importorskip("tensorboard")
    assert list((tmp_path / "tensorboard").iterdir())


def test_only_the_first_worker_writes(tmp_path: Path) -> None:
    workers = Workers()
    workers.rank = 1
    log = Log(RunSettings(out=str(tmp_path / "run"), log_every=1), 0, workers)
    log.step(1, {"loss": 1.0})
    log.audio(1, "hum", np.zeros(10, np.float32), RATE)
    log.close()
    assert list(tmp_path.iterdir()) == []

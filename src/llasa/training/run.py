"""What every trainer shares: settings of a run, logs, progress, process group, stop on NaN."""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from llasa.errors import LlasaError


@dataclass
class RunSettings:
    """Where a run lives and how often it logs, evaluates and saves (in steps)."""

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


class Workers:
    """The processes of one ``torchrun``; a single process without it."""

    def __init__(self) -> None:
        self.rank = int(os.environ.get("RANK", 0))
        self.world = int(os.environ.get("WORLD_SIZE", 1))
        self.local_rank = int(os.environ.get("LOCAL_RANK", 0))
        if self.world > 1 and not torch.distributed.is_initialized():
            backend = "nccl" if torch.cuda.is_available() else "gloo"
            torch.distributed.init_process_group(backend)

    def device(self, wanted: str) -> torch.device:
        """``auto`` takes this worker's GPU if there is one."""
        if wanted != "auto":
            return torch.device(wanted)
        if torch.cuda.is_available():
            torch.cuda.set_device(self.local_rank)
            return torch.device("cuda", self.local_rank)
        return torch.device("cpu")

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
        if self.world > 1:
            torch.distributed.barrier()

    def close(self) -> None:
        if self.world > 1 and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


class Log:
    """JSON lines always, TensorBoard files where tensorboard is installed, and a progress bar."""

    def __init__(self, settings: RunSettings, start: int, main: bool) -> None:
        self.main = main
        self.settings = settings
        self.sums: dict[str, Tensor | float] = {}
        self.count = 0
        self.began = time.monotonic()
        if not main:
            return
        folder = Path(settings.out)
        folder.mkdir(parents=True, exist_ok=True)
        self.file = (folder / "log.jsonl").open("a")
        self.bar = tqdm(
            total=settings.steps, initial=start, dynamic_ncols=True, disable=None, unit="step"
        )
        self.board: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(str(folder / "tensorboard"))  # type: ignore[no-untyped-call]
        except ImportError:
            pass

    def step(self, step: int, values: dict[str, Tensor | float]) -> None:
        """Collect one step (1-based count of finished steps); writes every ``log_every``."""
        for name, value in values.items():
            detached = value.detach() if isinstance(value, Tensor) else value
            self.sums[name] = self.sums.get(name, 0.0) + detached
        self.count += 1
        if step % self.settings.log_every and step != self.settings.steps:
            if self.main:
                self.bar.update(1)
            return
        means = {name: float(total) / self.count for name, total in self.sums.items()}
        seconds = (time.monotonic() - self.began) / self.count
        self.sums, self.count, self.began = {}, 0, time.monotonic()
        for name, mean in means.items():
            if not math.isfinite(mean):
                raise LlasaError(
                    f"training diverged: {name} is {mean} near step {step}; resume from the last "
                    "checkpoint with a lower learning rate"
                )
        if self.main:
            self.bar.update(1)
            self.bar.set_postfix({k: f"{v:.4g}" for k, v in list(means.items())[:4]})
        self.write(step, {**means, "seconds_per_step": seconds})

    def write(self, step: int, values: dict[str, float]) -> None:
        """One record at once, for evaluations."""
        if not self.main:
            return
        self.file.write(json.dumps({"step": step, **{k: _short(v) for k, v in values.items()}}) + "\n")
        self.file.flush()
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(name, value, step)

    def audio(self, step: int, name: str, samples: Any, rate: int) -> None:
        """An audible sample: a FLAC file under ``samples/`` and, if there, in TensorBoard."""
        if not self.main:
            return
        import soundfile

        folder = Path(self.settings.out) / "samples"
        folder.mkdir(exist_ok=True)
        soundfile.write(folder / f"{step:08d}-{name}.flac", samples.clip(-1, 1), rate)
        if self.board is not None:
            self.board.add_audio(name, samples[None], step, rate)

    def close(self) -> None:
        if self.main:
            self.bar.close()
            self.file.close()
            if self.board is not None:
                self.board.close()


def _short(value: float) -> float:
    return float(f"{value:.6g}")

"""What torchrun starts in the tests: trains each run of a list, in order.

    worker.py RUNS.json

A run is {"kind": "codec" or "lm", "settings": FILE, "after": CHECKPOINT or null}; with `after`, the
first process copies that checkpoint into the run's folder before. Each process leaves the sum of
its parameters as `worker-RANK.txt` in the folder. With `kills`, a list of [rank, step], the process
of that rank is killed at that step at the first start, the next pair at the second one, and on.
`held` is where the first process writes how many bytes of weights, gradients and optimizer it has.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from llasa.training.codec.settings import CodecTraining
from llasa.training.codec.trainer import CodecTrainer
from llasa.training.config import load_settings
from llasa.training.lm.settings import LMTraining
from llasa.training.lm.trainer import LMTrainer
from llasa.training.workers import Workers


def train(run: dict[str, Any]) -> None:
    codec = run["kind"] == "codec"
    settings: Any = load_settings(CodecTraining if codec else LMTraining, run["settings"], [])
    out = Path(settings.run.out)
    workers = Workers()
    if workers.rank == 0 and run["after"]:
        after = Path(run["after"])
        shutil.copytree(after, out / after.name)
    workers.barrier()
    trainer = CodecTrainer(settings) if codec else LMTrainer(settings)
    kills, start = run.get("kills", []), int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))
    if start < len(kills) and kills[start][0] == workers.rank:
        die_at(trainer, kills[start][1])
    trainer.train()
    if run.get("held") and workers.rank == 0 and isinstance(trainer, LMTrainer):
        Path(run["held"]).write_text(json.dumps(held(trainer)))
    if isinstance(trainer, CodecTrainer):
        parts = (trainer.model, trainer.objective.discriminators, trainer.average)
        sums = [p.detach().double().sum().item() for part in parts for p in part.parameters()]
        (out / f"worker-{workers.rank}.txt").write_text(repr(sums))


def die_at(trainer: Any, step: int) -> None:
    """Kill this process in the middle of a step."""

    def killed(*_: Any) -> None:
        if trainer.finished == step:
            os.kill(os.getpid(), signal.SIGKILL)

    trainer.objective.register_forward_pre_hook(killed)


def held(trainer: LMTrainer) -> dict[str, int]:
    """Bytes that this process holds."""
    weights = list(trainer.objective.parameters())
    state = [
        value
        for optimizer in trainer.optimizers
        for values in optimizer.state.values()
        for value in values.values()
        if torch.is_tensor(value) and value.ndim
    ]
    gradients = [p.grad for p in weights]
    kinds: dict[str, list[Any]] = {
        **{"weights": [*weights], "gradients": [*gradients], "optimizer": state}
    }
    return {name: sum(map(local_bytes, tensors)) for name, tensors in kinds.items()}


def local_bytes(tensor: Any) -> int:
    local = getattr(tensor, "to_local", lambda: tensor)()
    return local.numel() * local.element_size()


if __name__ == "__main__":
    torch.set_num_threads(1)
    Workers.close = Workers.barrier  # type: ignore[method-assign]  # one group for all runs
    for described in json.loads(Path(sys.argv[1]).read_text()):
        train(described)
    torch.distributed.destroy_process_group()

"""What torchrun starts in the tests: trains each run of a list, in order.

    worker.py RUNS.json

A run is {"kind": "codec" or "lm", "settings": FILE, "after": CHECKPOINT or null}; with `after`, the
first process copies that checkpoint into the run's folder before. Each process leaves the sum of
its parameters as `worker-RANK.txt` in the folder.
"""

from __future__ import annotations

import json
import shutil
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
    trainer.train()
    if isinstance(trainer, CodecTrainer):
        parts = (trainer.model, trainer.objective.discriminators, trainer.average)
        sums = [p.detach().double().sum().item() for part in parts for p in part.parameters()]
        (out / f"worker-{workers.rank}.txt").write_text(repr(sums))


if __name__ == "__main__":
    torch.set_num_threads(1)
    Workers.close = Workers.barrier  # type: ignore[method-assign]  # one group for all runs
    for described in json.loads(Path(sys.argv[1]).read_text()):
        train(described)
    torch.distributed.destroy_process_group()

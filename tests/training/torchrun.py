"""Trainings of several processes, under torchrun."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

import llasa
from llasa.training.config import as_dict

WORKER = Path(__file__).parent / "worker.py"


def torchrun(
    count: int,
    runs: Sequence[Mapping[str, Any]],
    folder: Path,
    restarts: int = 0,
    seconds: float = 600,
) -> tuple[int | None, str]:
    """Train with so many processes: exit status, None after `seconds`, and what stderr says.

    runs: of each its `settings`, and what else `worker.py` knows.
    """
    described = []
    for number, run in enumerate(runs):
        path = folder / f"{count}-{number}.yaml"
        path.write_text(yaml.safe_dump(as_dict(run["settings"])))
        kind = "lm" if hasattr(run["settings"], "vocabulary") else "codec"
        described.append({"kind": kind, "after": None, **run, "settings": str(path)})
    (folder / "runs.json").write_text(json.dumps(described))
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", str(count), "--max-restarts", str(restarts)),
            *(WORKER, folder / "runs.json"),
        ],
        env={
            **os.environ,
            "PYTHONPATH": str(Path(llasa.__file__).parents[1]),
            "OMP_NUM_THREADS": "1",
        },
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        return None, process.communicate()[1]
    finally:
        process.send_signal(signal.SIGTERM)  # so that torchrun ends its workers
    return process.returncode, said

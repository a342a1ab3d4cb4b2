"""Settings of a run that both trainers share."""

from __future__ import annotations

from dataclasses import dataclass

from llasa.base.names import whole


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
            whole(f"Setting run.{name}", getattr(self, name))
        for name in ("seed", "keep"):
            whole(f"Setting run.{name}", getattr(self, name), 0)

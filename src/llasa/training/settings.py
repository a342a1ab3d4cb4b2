"""Settings of a run that both trainers share."""

from __future__ import annotations

from dataclasses import dataclass

from llasa.base.errors import LlasaError
from llasa.base.names import whole


@dataclass
class RunSettings:
    """Where a run lives and how often it logs, evaluates and saves (in steps).

    ``keep`` is the number of checkpoints that stay, 0 for all. ``begin`` is the step at which a run
    without a checkpoint begins: what ``init`` names has learnt for so many steps elsewhere. Data
    and learning rate go on from there, after another warm-up.
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
    begin: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "log_every", "eval_every", "save_every"):
            whole(f"Setting run.{name}", getattr(self, name))
        for name in ("seed", "keep", "begin"):
            whole(f"Setting run.{name}", getattr(self, name), 0)


def check_begin(run: RunSettings, init: str | None) -> None:
    """`LlasaError` where a run is to begin later than it can."""
    if run.begin >= run.steps:
        raise LlasaError(
            f"Setting run.begin is {run.begin}, but the run ends after step {run.steps}: raise "
            "run.steps."
        )
    if run.begin and init is None:
        raise LlasaError(
            f"Setting run.begin is {run.begin}, but nothing has learnt so far: set init to what "
            "has, or begin at 0."
        )


def begins_at_zero(run: RunSettings) -> None:
    """`LlasaError` where a training that starts from a whole model is to begin later."""
    if run.begin:
        raise LlasaError(
            f"Setting run.begin is {run.begin}, but this training begins with the model as it is: "
            "leave it out."
        )

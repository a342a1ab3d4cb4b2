"""Training by the clock: a trainer that fits its schedule into seconds and sends its model home."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

from pieces import split

from llasa.base import jsonl
from llasa.training.checkpoint import checkpoints
from llasa.training.log import Values
from llasa.training.trainer import B, Trainer

NEVER = 1_000_000_000
"""A number of steps that no run reaches."""
SMOOTH = 0.9
"""How slowly the estimate of a step's seconds follows."""


@dataclass
class Plan:
    """What a run may take, and where its model goes.

    ``end`` is a moment of ``time.monotonic()``. The learning rate falls over the last ``decay``
    seconds before it. Every ``save`` seconds the trainer writes a checkpoint and evaluates, and the
    pieces ``what`` of the model appear in ``out``.
    """

    end: float
    decay: float
    out: Path
    what: str
    save: float = 90.0
    report: float = 10.0


class Timed(Trainer[B]):
    """Mix in before a ``Trainer`` whose schedule is ``wsd``; call ``train_until``.

    After each step the end of the run is set to where it will be by the time that steps take, so
    the trainer's own schedule becomes one of the clock.
    """

    plan: Plan

    def train_until(self, plan: Plan) -> None:
        """Train, and at the end save, evaluate and print the last scores."""
        self.plan = plan
        self._began = self._saved = self._reported = time.monotonic()
        self._pace = 1e-3
        self._totals: dict[str, float] = {}
        run = self.settings.run
        run.steps = run.eval_every = run.save_every = NEVER
        with contextlib.suppress(KeyboardInterrupt):  # it has saved before
            self.train()
        log = Path(run.out) / "log.jsonl"
        rows = jsonl.read(log.read_bytes(), str(log))
        scores = [row for _, row in rows if any(name.startswith("valid/") for name in row)]
        print(f"{plan.what}: {scores[-1] if scores else 'no scores'}", flush=True)

    def facts(self, batch: B) -> dict[str, float]:
        """What a step does, by the name of its rate: reported as sums per second."""
        return {}

    def write_home(self, checkpoint: Path, folder: Path) -> None:
        """Write what is needed to go on elsewhere, in half precision."""
        raise NotImplementedError

    def step(self, batch: B) -> Values:
        before = time.monotonic()
        values = super().step(batch)  # type: ignore[safe-super]
        for name, value in self.facts(batch).items():
            self._totals[name] = self._totals.get(name, 0.0) + value
        now = time.monotonic()
        self._pace = SMOOTH * self._pace + (1 - SMOOTH) * (now - before)
        self._schedule(now)
        if now >= self.plan.end or now - self._reported >= self.plan.report:
            self._report(now, values)
        return values

    def _schedule(self, now: float) -> None:
        run, left = self.settings.run, self.plan.end - now
        # The step is not counted yet; the trainer saves, evaluates and ends after step run.steps.
        run.steps = self.finished + (1 if left <= 0 else 2 + int(left / self._pace))
        self.settings.schedule.decay = round(self.plan.decay / self._pace)
        due = now - self._saved >= self.plan.save
        run.save_every = run.eval_every = 1 if due else NEVER
        if due:
            self._saved = now

    def save(self) -> None:
        super().save()  # type: ignore[safe-super]
        run = Path(self.settings.run.out)
        checkpoint = checkpoints(run)[-1][1]
        home = checkpoint / "home"
        self.write_home(checkpoint, home)
        split(home, self.plan.out, self.plan.what, self.finished)
        (self.plan.out / f"{self.plan.what}.log").write_bytes((run / "log.jsonl").read_bytes())

    def _report(self, now: float, values: Values) -> None:
        span = now - self._reported
        rates = {name: total / span for name, total in self._totals.items()}
        shown = {name: float(value) for name, value in values.items()} | rates
        self._reported, self._totals = now, {}
        text = " ".join(f"{name} {value:.4g}" for name, value in shown.items())
        print(f"{now - self._began:4.0f} s, step {self.finished + 1}: {text}", flush=True)

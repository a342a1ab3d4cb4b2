"""Work through the stages of nano's training (`stages.py`); see campaign.sh.

Every stage is a command that goes on where it stopped. What each stretch did is appended to
`results/campaign.jsonl`: date, stage, state (finished, stopped, failed), steps, hours of sound or
tokens, hours of CPU time, hours that a core was idle meanwhile, losses.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from stages import HERE, PHASES, STAGES, Stage

RESULTS = HERE / "results" / "campaign.jsonl"
SAVING = 600.0
"""Seconds in which a stage that is asked to stop must have saved."""
LOSSES = ("loss", "mel", "phones", "prior", "perceptual", "adversarial", "alignment")


STOP_REQUESTS: list[int] = []
"""Signals that ask to stop."""


def note_stop(number: int, _: object) -> None:
    STOP_REQUESTS.append(number)


class Running:
    """The command of a stage, in a process group of its own, so that it is stopped as a whole."""

    def __init__(self, stage: Stage, threads: int) -> None:
        print(f"{stage.name}: {stage.command.strip()}", flush=True)
        self.stage = stage
        self._began, self._idle = time.monotonic(), idle_seconds()
        self._used = 0.0
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        self._process = start(stage.command, environment)
        # Linux shares the CPU among sessions first, by a niceness of their own, which may not be
        # changed at all or not so often.
        with suppress(OSError):
            Path(f"/proc/{self._process.pid}/autogroup").write_text(str(os.nice(0)))

    def status(self) -> int | None:
        """The exit status, or None before the end."""
        before = cpu_seconds()
        code = self._process.poll()
        self._used += cpu_seconds() - before
        return code

    def ask_to_stop(self) -> None:
        if self.status() is None:
            os.killpg(self._process.pid, signal.SIGTERM)

    def stop(self) -> None:
        """Wait until it has saved, but not for ever."""
        before = cpu_seconds()
        try:
            self._process.wait(SAVING)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._used += cpu_seconds() - before

    def record(self, state: str) -> None:
        """Append what the stretch did, keep what it has learnt."""
        hours = {
            "wall_hours": time.monotonic() - self._began,
            "cpu_hours": self._used,
            "idle_hours": idle_seconds() - self._idle,
        }
        row = {
            "date": datetime.now(UTC).isoformat(timespec="minutes"),
            "stage": self.stage.name,
            "state": state,
            **progress(self.stage),
            **{name: round(seconds / 3600, 3) for name, seconds in hours.items()},
        }
        RESULTS.parent.mkdir(exist_ok=True)
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)
        keep(self.stage)


def start(command: str, environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    line = ["bash", "-euo", "pipefail", "-c", command]
    return subprocess.Popen(line, start_new_session=True, env=environment)


def cpu_seconds() -> float:
    """Of all processes that were started from here and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def idle_seconds() -> float:
    """Of all cores since the machine was started."""
    fields = Path("/proc/stat").read_text().split(maxsplit=6)
    return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")


def progress(stage: Stage) -> dict[str, Any]:
    """Steps, what was heard or read in all of them, and the newest losses of a training stage."""
    folder = stage.run_folder()
    if folder is None or not (folder / "log.jsonl").exists():
        return {}
    settings = yaml.safe_load((folder / "settings.yaml").read_text())
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().split("\n") if line]
    trained = [row for row in rows if "loss" in row]
    found: dict[str, Any] = {}
    if trained:
        last, data = trained[-1], settings["data"]
        found["steps"] = last["step"]
        if "tokens" in last:
            found["tokens"] = round(last["tokens"] * last["step"])
        elif "seconds" in data:
            found["hours"] = round(last["step"] * data["seconds"] * data["batch"] / 3600, 2)
        found["losses"] = {name: last[name] for name in LOSSES if name in last}
    if valid := [row for row in rows if any(key.startswith("valid/") for key in row)]:
        found["valid"] = {k.removeprefix("valid/"): v for k, v in valid[-1].items() if k != "step"}
    return found


def keep(stage: Stage) -> None:
    """Keep what a training stage has learnt so far, if it has a checkpoint."""
    folder = stage.run_folder()
    if (
        stage.keep
        and folder is not None
        and any(folder.glob("step-*"))
        and start(stage.keep).wait()
    ):
        print(f"{stage.name}: what it learnt could not be kept", file=sys.stderr, flush=True)


class Lane:
    """Stages that follow each other."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._left = list(stages)
        self._running: Running | None = None

    def over(self) -> bool:
        """Whether everything is done."""
        while self._left and self._left[0].done():
            del self._left[0]
        return not self._left

    def advance(self, threads: int) -> int:
        """Begin a stage, or note that it has ended; its exit status then, else 0."""
        if self._running is None:
            self._running = Running(self._left[0], threads)
            return 0
        code = self._running.status()
        if code is None:
            return 0
        ended, self._running = self._running, None
        if code == 0:
            Path("done", self._left[0].name).touch()
        ended.record("failed" if code else "finished")
        return code

    def ask_to_stop(self) -> None:
        if self._running is not None:
            self._running.ask_to_stop()

    def stop(self) -> None:
        if self._running is not None:
            self._running.stop()
            self._running.record("stopped")


def side_by_side(stages: Sequence[Sequence[Stage]]) -> int:
    """Run what is not done yet of every lane; the exit status."""
    lanes = [Lane(each) for each in stages]
    try:
        while busy := [lane for lane in lanes if not lane.over()]:
            if STOP_REQUESTS:
                return 130
            for lane in busy:
                if code := lane.advance(max(1, (os.cpu_count() or 1) // len(busy))):
                    return code
            time.sleep(0.1)
        return 0
    finally:
        for lane in lanes:
            lane.ask_to_stop()
        for lane in lanes:
            lane.stop()


def work(phases: Sequence[Sequence[Sequence[Stage]]]) -> int:
    """One phase after another; the exit status."""
    Path("done").mkdir(exist_ok=True)
    for lanes in phases:
        if code := side_by_side(lanes):
            return code
    return 0


def chosen(only: str | None) -> Sequence[Sequence[Sequence[Stage]]]:
    """The phases up to the one of the lane that leads to a stage, and of that the lane alone."""
    if only is None:
        return PHASES
    for number, lanes in enumerate(PHASES):
        for lane in lanes:
            if any(stage.name == only for stage in lane):
                return *PHASES[:number], (lane,)
    names = ", ".join(stage.name for stage in STAGES)
    raise SystemExit(f"There is no stage {only}: give one of {names}.")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true", help="print the stages' commands and end")
    parser.add_argument(
        "--only", metavar="STAGE", help="with all cores, leaving out what runs beside its lane"
    )
    args = parser.parse_args()
    if args.list:
        for stage in STAGES:
            print(f"{stage.name}: {stage.command.strip()}")
        return 0
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, note_stop)
    return work(chosen(args.only))


if __name__ == "__main__":
    sys.exit(main())

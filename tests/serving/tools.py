"""A live server process, and a scheduler with somebody who listens."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np

from llasa.audio import Samples
from llasa.serving.metrics import Metrics
from llasa.serving.scheduler import Done, Event, Limits, Scheduler
from llasa.synthesis import Llasa

PATIENCE = 120.0
"""Seconds until a test gives up; nothing is measured by it."""


class Server:
    """`llasa serve` in a process of its own."""

    def __init__(self, model: Path, voices: Path, *flags: str, keys: str = "") -> None:
        environment = {**os.environ, "LLASA_VOICES": str(voices), "LLASA_API_KEYS": keys}
        command = [sys.executable, "-m", "llasa", "serve", "--port", "0", "--model", str(model)]
        self.log: list[dict[str, object]] = []
        self.process = subprocess.Popen(
            [*command, *flags], env=environment, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        for line in self.process.stderr:
            entry = json.loads(line)
            if "running on" in entry["message"]:
                self.url = entry["message"].split(" on ")[1].split()[0]
                break
        else:
            raise AssertionError("the server did not start")
        self.client = httpx.Client(base_url=self.url, timeout=PATIENCE)
        wait_for(lambda: self.client.get("/ready").status_code == 200)

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        lines = self.client.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End the process; returns its exit code."""
        self.process.send_signal(how)
        assert self.process.stderr is not None
        self.process.stderr.read()
        return self.process.wait(PATIENCE)


@contextmanager
def serving(model: Path, voices: Path, *flags: str, keys: str = "") -> Iterator[Server]:
    """A server for the time of a test."""
    server = Server(model, voices, *flags, keys=keys)
    try:
        yield server
    finally:
        server.client.close()
        if server.process.poll() is None:
            server.stop()


class Listener:
    """Collects what the scheduler tells."""

    def __init__(self) -> None:
        self.events: queue.Queue[Event] = queue.Queue()

    def __call__(self, event: Event) -> None:
        self.events.put(event)

    def all(self) -> tuple[Samples, Done]:
        """The whole sound; raises where the request failed."""
        pieces = [np.zeros(0, np.float32)]
        while not isinstance(event := self.events.get(timeout=PATIENCE), Done):
            if isinstance(event, Exception):
                raise event
            pieces.append(event)
        return np.concatenate(pieces), event


@contextmanager
def scheduling(tts: Llasa, limits: Limits | None = None) -> Iterator[Scheduler]:
    """A running scheduler; its requests are given up at the end."""
    scheduler = Scheduler(tts, limits or Limits(), Metrics())
    scheduler.start()
    try:
        yield scheduler
    finally:
        for ticket in list(scheduler._open):
            scheduler.close(ticket)
        scheduler.shutdown()


def wait_for(true: object) -> None:
    """Until a function returns something true."""
    deadline = time.monotonic() + PATIENCE
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)

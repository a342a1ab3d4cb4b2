"""A live server process, and a scheduler with somebody who asks."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

from llasa.serving.batching import EngineClient
from llasa.serving.metrics import Metrics
from llasa.serving.scheduler import Limits, Scheduler, Work
from llasa.tts.llasa import Llasa
from tests.waiting import PATIENCE, wait_for

T = TypeVar("T")


class Server:
    """`llasa serve` in a process of its own."""

    def __init__(
        self,
        model: Path,
        voices: Path,
        *flags: str,
        keys: str = "",
        program: Sequence[str] = ("-m", "llasa"),
    ) -> None:
        environment = {**os.environ, "LLASA_VOICES": str(voices), "LLASA_API_KEYS": keys}
        command = [sys.executable, *program, "serve", "--port", "0", "--model", str(model)]
        # A file, as a pipe that nobody reads stops the server once it is full.
        self._log = tempfile.NamedTemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen([*command, *flags], env=environment, stderr=self._log)
        wait_for(self._running)
        self.client = httpx.Client(base_url=self.url, timeout=PATIENCE)
        wait_for(lambda: self.client.get("/ready").status_code == 200)

    def _running(self) -> bool:
        """Whether the log says where the server listens; sets `url`."""
        assert self.process.poll() is None, "the server did not start"
        found = re.search(r"running on (http\S+?)[\s\"]", self.log())
        if found:
            self.url = found[1]
        return found is not None

    def log(self) -> str:
        """What the server has logged."""
        return Path(self._log.name).read_text("utf-8")

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        lines = self.client.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End the process; returns its exit code."""
        self.process.send_signal(how)
        return self.process.wait(PATIENCE)


@contextmanager
def serving(model: Path, voices: Path, *flags: str, **how: Any) -> Iterator[Server]:
    """A server for the time of a test."""
    server = Server(model, voices, *flags, **how)
    try:
        yield server
    finally:
        server.client.close()
        if server.process.poll() is None:
            server.stop()


def ask(
    scheduler: Scheduler, work: Callable[[Llasa], T], width: int = 1
) -> tuple[Future[T], EngineClient]:
    """Have something spoken; its result, and who asked."""
    future: Future[T] = Future()

    def run(tts: Llasa, caller: EngineClient) -> None:
        try:
            future.set_result(work(tts))
        except BaseException as error:
            future.set_exception(error)
        caller.close()

    return future, scheduler.submit(run, width)


@contextmanager
def scheduling(tts: Llasa, limits: Limits | None = None) -> Iterator[Scheduler]:
    """A running scheduler; what still runs is given up at the end."""
    scheduler = Scheduler(tts, limits or Limits(), Metrics())
    callers: list[EngineClient] = []
    submit = scheduler.submit

    def noted(work: Work, width: int = 1) -> EngineClient:
        callers.append(submit(work, width))
        return callers[-1]

    scheduler.submit = noted  # type: ignore[method-assign]
    try:
        yield scheduler
    finally:
        for caller in callers:
            caller.close()
        scheduler.shutdown()


def envelope(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The error in OpenAI's form."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert answer.headers["x-request-id"]
    return body["error"]

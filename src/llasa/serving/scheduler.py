"""Runs each request in a thread of its own, where it uses `Llasa` as any program does."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass

from llasa.base.errors import LlasaError
from llasa.serving.batching import EngineClient, SharedEngine
from llasa.serving.codec_threads import CodecThreads
from llasa.serving.metrics import Metrics
from llasa.tts.llasa import Llasa

Work = Callable[[Llasa, EngineClient], object]
"""A request's work, called with what it speaks with."""

_USUAL_SECONDS = 5.0
"""Assumed duration of a request until one has finished."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """What the server takes on."""

    batch: int = 16
    """Sequences (parts of texts, or candidates) that are spoken at the same time."""
    queue: int = 64
    """Requests beyond `batch` that may wait; more are refused."""
    chars: int = 4096
    """Longest text of a request (as OpenAI's)."""
    seconds: float = 600.0
    """Longest speech of a request."""
    candidates: int = 8
    """Most candidates of a request."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            least = 0 if name == "queue" else 1
            if not value >= least:
                raise LlasaError(f"{name} is {value}: give at least {least}.")


class BusyError(Exception):
    """The server is full; try again after `retry_after` seconds."""

    def __init__(self, sentence: str, retry_after: int) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class Scheduler:
    """Speaks many requests at once, each with the result that `Llasa` gives alone.

    In any thread `tts` may check requests and use its codec, but only the `Llasa` that `submit`
    hands out can speak. Call `shutdown` in the end.
    """

    def __init__(self, tts: Llasa, limits: Limits, metrics: Metrics) -> None:
        self.shared = SharedEngine(tts.engine, limits.batch, metrics.step)
        self._codec = CodecThreads(tts.codec)
        batch = max(1, limits.batch // 4)  # a long text leaves slots to others
        self.tts = tts.with_parts(codec=self._codec.for_uploads(), batch=batch)
        self.limits = limits
        self.metrics = metrics
        metrics.waiting.set_function(lambda: self.shared.waiting)
        metrics.running.set_function(lambda: self.shared.running)
        self.ready = threading.Event()
        """Set once the model has spoken for the first time."""
        self._lock = threading.Lock()
        self._clients: list[EngineClient] = []
        self._stopping = False
        self._usual = _USUAL_SECONDS
        self._pool = ThreadPoolExecutor(limits.batch + limits.queue, "llasa-request")
        self._pool.submit(self._warm_up)

    @property
    def open(self) -> int:
        """Requests that were accepted and are not closed."""
        with self._lock:
            return self._count()

    def _count(self) -> int:
        """See `open`; the lock is held."""
        self._clients = [client for client in self._clients if not client.closed]
        return len(self._clients)

    def submit(self, work: Work, width: int = 1) -> EngineClient:
        """Accept a request: `work` is called in a thread of its own with a `Llasa` and an engine
        client. `width`: sequences that it may fork into. The request occupies a place until `work`
        returns or its client is closed, which also ends it. Raises `BusyError`.
        """
        with self._lock:
            if self._stopping:
                raise BusyError("The server is shutting down.", 5)
            if (requests := self._count()) >= self.limits.batch + self.limits.queue:
                wait = math.ceil(self._usual * requests / self.limits.batch)
                raise BusyError("Too many requests are waiting: try again later.", min(60, wait))
            client = EngineClient(self.shared, width)
            self._clients.append(client)
        self._pool.submit(self._serve, client, work)
        return client

    def refuse(self) -> None:
        """Refuse new requests from now on."""
        with self._lock:
            self._stopping = True

    def shutdown(self, seconds: float | None = None) -> None:
        """Refuse new requests and finish the accepted ones, for at most so many seconds."""
        self.refuse()
        if seconds is not None:
            ends = time.monotonic() + seconds
            while self.open and time.monotonic() < ends:
                time.sleep(0.02)
            with self._lock:
                clients = list(self._clients)
            for client in clients:
                client.close()
        self._pool.shutdown()
        self.shared.stop()

    def _serve(self, client: EngineClient, work: Work) -> None:
        """One request, in its thread."""
        began = time.perf_counter()
        try:
            work(self._session(client), client)
        except CancelledError:
            pass
        except Exception:
            log.exception("a request failed")
        finally:
            client.close()
        with self._lock:
            self._usual += 0.1 * (time.perf_counter() - began - self._usual)

    def _session(self, client: EngineClient) -> Llasa:
        """What one client speaks with."""
        return self.tts.with_parts(engine=client, codec=self._codec.for_client(client))

    def _warm_up(self) -> None:
        try:
            self._session(EngineClient(self.shared))("Hello.", seed=0, max_seconds=0.5)
        except LlasaError as error:
            log.warning("the model does not say hello: %s", error)
        finally:
            self.ready.set()

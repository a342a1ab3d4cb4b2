"""Requests on their way: each has a thread, in which it speaks as `Llasa` does anywhere."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from functools import partial
from itertools import count
from queue import PriorityQueue
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from llasa.base.errors import LlasaError
from llasa.codec.codec import Codec
from llasa.codec.heads.harmonic import PhaseState
from llasa.codec.speaker import SpeakerEmbedding
from llasa.serving.batching import EngineClient, SharedEngine
from llasa.serving.metrics import Metrics
from llasa.tts.llasa import Llasa

Work = Callable[[Llasa, EngineClient], object]
"""A request, given what it speaks with."""
T = TypeVar("T")
Codes = Sequence[NDArray[Any] | Tensor | Sequence[int]]

_USUAL_SECONDS = 5.0
"""Assumed length of a request before there was one."""
_PATIENCE = 1.0
"""Seconds that decoding may be put off for others' sake."""

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
    """No request is taken now; `retry_after` seconds later one may be."""

    def __init__(self, sentence: str, retry_after: int) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class Scheduler:
    """Speaks many requests at once, each exactly as `Llasa` speaks it alone.

    `tts` may check requests and use its codec in any thread, but only what `submit` hands out can
    speak. Call `shutdown` in the end.
    """

    def __init__(self, tts: Llasa, limits: Limits, metrics: Metrics) -> None:
        self.shared = SharedEngine(tts.engine, limits.batch, metrics.step)
        self.tts = copy(tts)
        self.tts.codec = self._codec = _SharedCodec(tts.codec)
        self.tts.batch = max(1, limits.batch // 4)  # a long text leaves places to others
        self.limits = limits
        self.metrics = metrics
        metrics.waiting.set_function(lambda: self.shared.waiting)
        metrics.running.set_function(lambda: self.shared.running)
        self.ready = threading.Event()
        """Set once the model has spoken for the first time."""
        self._lock = threading.Lock()
        self._callers: list[EngineClient] = []
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
        self._callers = [caller for caller in self._callers if not caller.closed]
        return len(self._callers)

    def submit(self, work: Work, width: int = 1) -> EngineClient:
        """Accept a request: `work` is called in a thread of its own with what it speaks with.

        `width`: sequences that it may fork into. The request counts until `work` is done, or until
        its caller is closed, which also ends it. Raises `BusyError`.
        """
        with self._lock:
            if self._stopping:
                raise BusyError("The server is shutting down.", 5)
            if (requests := self._count()) >= self.limits.batch + self.limits.queue:
                wait = math.ceil(self._usual * requests / self.limits.batch)
                raise BusyError("Too many requests are waiting: try again later.", min(60, wait))
            caller = EngineClient(self.shared, width)
            self._callers.append(caller)
        self._pool.submit(self._serve, caller, work)
        return caller

    def refuse(self) -> None:
        """Take nothing more on."""
        with self._lock:
            self._stopping = True

    def shutdown(self, seconds: float | None = None) -> None:
        """Take nothing more on and finish what was accepted, for so many seconds at most."""
        self.refuse()
        if seconds is not None:
            ends = time.monotonic() + seconds
            while self.open and time.monotonic() < ends:
                time.sleep(0.02)
            with self._lock:
                callers = list(self._callers)
            for caller in callers:
                caller.close()
        self._pool.shutdown()
        self.shared.stop()

    def _serve(self, caller: EngineClient, work: Work) -> None:
        """One request, in its thread."""
        began = time.perf_counter()
        try:
            work(self._speaker(caller), caller)
        except CancelledError:
            pass
        except Exception:
            log.exception("a request failed")
        finally:
            caller.close()
        with self._lock:
            self._usual += 0.1 * (time.perf_counter() - began - self._usual)

    def _speaker(self, caller: EngineClient) -> Llasa:
        tts = copy(self.tts)
        tts.engine, tts.codec = caller, self._codec.of(caller)
        return tts

    def _warm_up(self) -> None:
        try:
            self._speaker(EngineClient(self.shared))("Hello.", seed=0, max_seconds=0.5)
        except LlasaError as error:
            log.warning("the model does not say hello: %s", error)
        finally:
            self.ready.set()


class _SharedCodec(Codec):
    """A codec for many threads; it works in two of its own, beside that of the engine.

    One decodes what callers have spoken: first what is first needed, where nobody listens yet
    within `_PATIENCE`. The other does what clients send, which takes a second at the worst. (Not
    in the threads that ask: torch keeps a pool of threads for each one.)
    """

    def __init__(self, codec: Codec) -> None:
        vars(self).update(vars(codec))
        self._codec = codec
        self._caller: EngineClient | None = None
        self._sent = ThreadPoolExecutor(1, "llasa-uploads")
        self._spoken = ThreadPoolExecutor(1, "llasa-codec")
        self._queue: PriorityQueue[tuple[float, int, Future[Any], Callable[[], Any]]]
        self._queue = PriorityQueue()
        self._number = count()

    def of(self, caller: EngineClient) -> Codec:
        """The same for one caller."""
        codec = copy(self)
        codec._caller = caller
        return codec

    def encode(self, *args: Any, **settings: Any) -> list[NDArray[np.int64]]:
        """See `Codec.encode`."""
        return self._sent.submit(self._codec.encode, *args, **settings).result()

    def speaker_embedding(self, *args: Any, **settings: Any) -> SpeakerEmbedding | None:
        """See `Codec.speaker_embedding`."""
        return self._sent.submit(self._codec.speaker_embedding, *args, **settings).result()

    def decode(
        self, codes: Codes, embedding: SpeakerEmbedding | None = None
    ) -> list[NDArray[np.float32]]:
        """See `Codec.decode`."""
        return self._in_turn(partial(self._codec.decode, codes, embedding))

    def decode_part(self, *args: Any, **settings: Any) -> tuple[NDArray[np.float32], PhaseState]:
        """See `Codec.decode_part`."""
        return self._in_turn(partial(self._codec.decode_part, *args, **settings))

    def _in_turn(self, job: Callable[[], T]) -> T:
        if self._caller is None:
            return self._sent.submit(job).result()
        future: Future[T] = Future()
        self._caller.awaits(future)
        needed = min(self._caller.due, time.monotonic() + _PATIENCE)
        self._queue.put((needed, next(self._number), future, job))
        self._spoken.submit(self._next)
        return future.result()

    def _next(self) -> None:
        """Do what is needed first."""
        _, _, future, job = self._queue.get()
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(job())
            except Exception as error:  # handed to who asked
                future.set_exception(error)

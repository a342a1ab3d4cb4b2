"""Threads that share a model take turns."""

from __future__ import annotations

import os
import threading

from llasa.base.errors import LlasaError


class Turn:
    """A lock: inside, no other thread uses the engine."""

    def __init__(self) -> None:
        self._lock, self._process = threading.RLock(), os.getpid()

    def __enter__(self) -> None:
        if os.getpid() != self._process:
            raise LlasaError(
                "This model was loaded before the process was forked, and would hang: load it in "
                "the new process, or start that with 'spawn'."
            )
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()

"""Sound on its way from the thread that makes it to the one who listens."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import CancelledError
from contextlib import suppress

from llasa.serving.timestamps import Piece

AHEAD = 1 << 20
"""Bytes that may lie here before the maker waits for the listener."""


class Outbox:
    """A queue out of a thread into the event loop in which it was made."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Piece | Exception | None] = asyncio.Queue()
        self._changed = threading.Condition()
        self._size = 0
        self._closed = False

    def put(self, event: Piece | Exception | None) -> None:
        """From the thread: sound or another event, what went wrong, or None for the end."""
        if isinstance(event, bytes):
            with self._changed:
                self._size += len(event)
        with suppress(RuntimeError):  # the loop is gone, nobody listens
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    def wait(self) -> None:
        """In the thread: until there is room; `CancelledError` once it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._size <= AHEAD)
            if self._closed:
                raise CancelledError

    async def pieces(self) -> AsyncIterator[Piece]:
        """In the event loop: sound and events; raises what went wrong."""
        while (event := await self._events.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield event
            if isinstance(event, bytes):
                with self._changed:  # only now has the listener taken it
                    self._size -= len(event)
                    self._changed.notify()

    def close(self, error: Exception) -> None:
        """From the event loop: nothing more is wanted; who still listens gets the error."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._events.put_nowait(error)

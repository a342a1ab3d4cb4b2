"""Text that a client sends while it is already being spoken."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from queue import SimpleQueue
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool

from llasa.base.errors import LlasaError
from llasa.serving.jobs import SpeechJob
from llasa.serving.schemas import SpeechSettings
from llasa.serving.state import ServerState

IDLE_SECONDS = 30.0
"""Seconds without a word of text after which a client is disconnected."""
TEXT_SECONDS = 600.0
"""Seconds within which a text must be complete."""

T = TypeVar("T")


class ArrivingText:
    """Text fragments on their way to the thread that speaks; only words reset the idle timer."""

    def __init__(self, state: ServerState) -> None:
        self._state = state
        self._most = state.scheduler.limits.chars
        self._fragments = SimpleQueue[str | None]()
        self._now = asyncio.get_running_loop().time
        self._begin()

    def _begin(self) -> None:
        self._idle, self._late = self._now() + IDLE_SECONDS, self._now() + TEXT_SECONDS

    def __iter__(self) -> Iterator[str]:
        return iter(self._fragments.get, None)

    async def within(self, message: Awaitable[T]) -> T:
        """What the client sends next; `LlasaError` where it is idle, or never ends."""
        try:
            async with asyncio.timeout_at(min(self._idle, self._late)):
                return await message
        except TimeoutError as error:
            raise LlasaError(
                f"No text came for {IDLE_SECONDS:g} s, or it did not end within {TEXT_SECONDS:g} s."
            ) from error

    def add(self, text: str) -> None:
        """More of it; `LlasaError` where it is too long."""
        self._most -= len(text)
        if self._most < 0:
            raise LlasaError("The text is too long: begin another conversation.")
        if text:
            self._fragments.put(text)
        if text.strip():
            self._idle = self._now() + IDLE_SECONDS

    def end(self) -> None:
        """The text is complete; a server that is being stopped still speaks the rest."""
        self._state.talks.add(self)
        self._fragments.put(None)

    async def speak(
        self,
        settings: SpeechSettings,
        listen: Callable[[], Coroutine[Any, Any, None]],
        talk: Callable[[SpeechJob], Coroutine[Any, Any, None]],
    ) -> None:
        """Speak it: until `talk` has told the client everything, or the first error.

        `listen` adds what comes and ends the text; it may go on to notice when the client leaves.
        """
        state = self._state
        self._begin()  # what came before was not text yet
        request, search = await run_in_threadpool(state.prepare, iter(self), settings)
        job = SpeechJob(state.scheduler, request, search, settings)
        said = asyncio.create_task(talk(job))
        both = [said, asyncio.create_task(listen())]
        try:
            waiting = set(both)
            while not said.done():
                finished, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in finished:
                    task.result()
        finally:
            job.close()
            self.end()  # wakes who waits for text
            state.talks.discard(self)
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)

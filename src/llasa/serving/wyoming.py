"""The Wyoming protocol, which Home Assistant speaks: JSON lines and sound over TCP.

``describe`` is answered with the voices, ``synthesize`` with sound, and so is a text that comes in
pieces between ``synthesize-start`` and ``synthesize-stop``, from its first sentence on.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event, Eventable, async_read_event, async_write_event
from wyoming.info import Attribution, Describe, Info, TtsProgram, TtsVoice
from wyoming.ping import Ping, Pong
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeStopped,
)

from llasa import __version__
from llasa.audio.encoding import PCM_RATE
from llasa.base.errors import LlasaError
from llasa.serving.arriving import ArrivingText
from llasa.serving.errors import StalledError, envelope
from llasa.serving.jobs import SpeechJob
from llasa.serving.middleware import MAX_JSON, WRITE_SECONDS
from llasa.serving.scheduler import BusyError
from llasa.serving.schemas import SpeechSettings
from llasa.serving.state import ServerState

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 256
_SOUND: dict[str, Any] = {"rate": PCM_RATE, "width": 2, "channels": 1}


class WyomingServer:
    """Serves Wyoming's clients on sockets that `listen` made."""

    def __init__(self, state: ServerState, sockets: Sequence[socket.socket]) -> None:
        self._state, self._sockets = state, sockets
        self._servers: list[asyncio.Server] = []
        self._open: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Take connections."""
        loop = asyncio.get_running_loop()

        def protocol() -> asyncio.StreamReaderProtocol:
            return asyncio.StreamReaderProtocol(_BoundedReader(limit=MAX_JSON), self._connected)

        self._servers = [await loop.create_server(protocol, sock=one) for one in self._sockets]

    def refuse(self) -> None:
        """Take no more connections."""
        for server in self._servers:
            server.close()

    async def stop(self) -> None:
        """Cut off who is still connected."""
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= MOST_CONNECTIONS:
            writer.close()
            return
        task = asyncio.create_task(_Connection(self._state, reader, writer).run())
        self._open.add(task)
        task.add_done_callback(self._open.discard)


class _BoundedReader(asyncio.StreamReader):
    """Refuses events that announce more data than is allowed."""

    async def readexactly(self, n: int) -> bytes:
        if n > MAX_JSON:
            raise ValueError(f"An event has {n:,} bytes.")
        return await super().readexactly(n)


class _Connection:
    def __init__(
        self, state: ServerState, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._state, self._reader, self._writer = state, reader, writer

    async def run(self) -> None:
        """Serve until the client leaves or the first error, which ends the conversation."""
        try:
            await self._answer()
        except (OSError, EOFError, StalledError):
            pass  # it has left
        finally:
            self._writer.close()

    async def _answer(self) -> None:
        try:
            while (event := await self._read()) is not None:
                await self._handle(event)
        except (LlasaError, BusyError, HTTPException) as error:
            await self._fail(error)
        except (OSError, EOFError, StalledError):
            raise
        except Exception as error:
            log.exception("a request failed")
            await self._fail(error)

    async def _fail(self, error: Exception) -> None:
        told = envelope(error)[1]["error"]
        await self._write(Error(told["message"], told["code"]))

    async def _handle(self, event: Event) -> None:
        if Describe.is_type(event.type):
            info = await run_in_threadpool(_info, self._state)
            await self._write(info)
        elif Ping.is_type(event.type):
            await self._write(Pong(text=event.data.get("text")))
        elif Synthesize.is_type(event.type):
            await self._speak(_text(event), event.data)
        elif SynthesizeStart.is_type(event.type):
            await self._speak_along(event.data)

    async def _speak(self, text: str, data: Mapping[str, Any]) -> None:
        settings, own = _settings(data), object()
        request, search = await run_in_threadpool(self._state.prepare, text, settings)
        job = SpeechJob(self._state.scheduler, request, search, settings)
        self._state.talks.add(own)
        try:
            await self._talk(job)
        finally:
            self._state.talks.discard(own)
            job.close()

    async def _speak_along(self, data: Mapping[str, Any]) -> None:
        text = ArrivingText(self._state)

        async def listen() -> None:
            while True:
                event = await text.within(self._read())
                if event is None:
                    raise EOFError
                if SynthesizeStop.is_type(event.type):
                    text.end()
                    return
                # All of it once more, as a synthesize event, is for servers that are older.
                if SynthesizeChunk.is_type(event.type):
                    text.add(_text(event))

        await text.speak(_settings(data), listen, self._talk)
        await self._write(SynthesizeStopped())

    async def _talk(self, job: SpeechJob) -> None:
        begun = False
        async for data in job.stream():
            if not begun:
                await self._write(AudioStart(**_SOUND))
                begun = True
            await self._write(AudioChunk(audio=data, **_SOUND))
        await self._write(AudioStop())
        about = {key: job.summary()[key] for key in ("seconds", "seed", "warnings")}
        log.info("request", extra={"method": "WYOMING", **about})

    async def _read(self) -> Event | None:
        try:
            event = await async_read_event(self._reader)
            if event is None or isinstance(event.data, dict):
                return event
        except (AttributeError, KeyError, TypeError, RecursionError):
            pass
        raise LlasaError("This is not a Wyoming event: send JSON objects with a type, one a line.")

    async def _write(self, event: Eventable) -> None:
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await async_write_event(event.event(), self._writer)
        except TimeoutError as error:
            raise StalledError from error


def _text(event: Event) -> str:
    if isinstance(text := event.data.get("text"), str):
        return text
    raise LlasaError(f"The event {event.type} lacks its text.")


def _settings(data: Mapping[str, Any]) -> SpeechSettings:
    """How to speak, from an event's data; its language does not choose a voice."""
    if data.get("text_format") not in (None, "text"):
        raise LlasaError("Only plain text is read: send it with the text_format text.")
    voice = data.get("voice")
    name = voice.get("name") if isinstance(voice, dict) else None
    name = name if isinstance(name, str) else None
    return SpeechSettings.model_validate({"voice": name, "response_format": "pcm"})


def _info(state: ServerState) -> Info:
    tts = state.scheduler.tts
    languages = list(tts.capabilities.languages) or [tts.capabilities.language]
    program = TtsProgram(
        **_named("llasa", f"llasa with the model {tts.name}"),
        voices=[
            TtsVoice(**_named(voice.name, voice.name), languages=languages)
            for voice in state.voices.list()
        ],
        supports_synthesize_streaming=True,
    )
    return Info(tts=[program])


def _named(name: str, description: str) -> dict[str, Any]:
    maker = Attribution("llasa", "https://pypi.org/project/llasa/")
    about = {"attribution": maker, "installed": True, "version": __version__}
    return {"name": name, "description": description, **about}

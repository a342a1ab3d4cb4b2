"""WebSocket: text goes in as it is written, sound comes out as soon as a sentence is complete.

The first message holds the fields of ``POST /v1/audio/speech`` except input, then come any number
of ``{"text": "..."}`` and at last ``{"end": true}``. Sound comes in binary messages, then one JSON
message ``speech.audio.done``; an error is a JSON message with OpenAI's envelope.
"""

from __future__ import annotations

import asyncio
import json
from queue import SimpleQueue
from typing import TypeVar

from fastapi import WebSocket, WebSocketDisconnect
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool

from llasa.base.errors import LlasaError
from llasa.serving.body import parse_object
from llasa.serving.errors import StalledError, envelope
from llasa.serving.jobs import SpeechJob
from llasa.serving.schemas import SpeechSettings, TextFragment
from llasa.serving.state import ServerState

IDLE_SECONDS = 30.0
"""Without a word of text, after which a client is given up."""
TEXT_SECONDS = 600.0
"""In which a text must have ended."""

M = TypeVar("M", bound=BaseModel)
Fragments = SimpleQueue[str | None]
"""Text on its way to the thread that speaks; None at its end."""


async def converse(socket: WebSocket, state: ServerState) -> None:
    """One conversation, from handshake to close."""
    await socket.accept()
    try:
        await _converse(socket, state)
        await socket.close()
    except (WebSocketDisconnect, StalledError):
        pass
    except Exception as error:
        status, body = envelope(error)
        await socket.send_text(json.dumps(body))
        await socket.close({500: 1011, 503: 1013}.get(status, 1008))
        if status == 500:
            raise


async def _converse(socket: WebSocket, state: ServerState) -> None:
    """Until all has been said, or the first error."""
    settings = await _receive(socket, SpeechSettings, IDLE_SECONDS)
    fragments, own = Fragments(), object()
    request, search = await run_in_threadpool(state.prepare, iter(fragments.get, None), settings)
    job = SpeechJob(state.scheduler, request, search, settings)

    async def listen() -> None:
        await _listen(socket, fragments, state.scheduler.limits.chars)
        state.talks.add(own)
        while True:  # only to notice when the client leaves
            await socket.receive_text()

    both = [asyncio.create_task(listen()), asyncio.create_task(_talk(socket, job))]
    try:
        finished, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in finished:
            task.result()
    finally:
        state.talks.discard(own)
        job.close()
        fragments.put(None)  # wakes who waits for text
        for task in both:
            task.cancel()
        await asyncio.gather(*both, return_exceptions=True)


async def _listen(socket: WebSocket, fragments: Fragments, most: int) -> None:
    """Hand all of the text on; only words are a sign of life."""
    now = asyncio.get_running_loop().time
    idle, late = now() + IDLE_SECONDS, now() + TEXT_SECONDS
    ended = False
    while not ended:
        message = await _receive(socket, TextFragment, min(idle, late) - now())
        most, ended = most - len(message.text), message.end
        if most < 0:
            raise LlasaError("The text is too long: begin another conversation.")
        if message.text:
            fragments.put(message.text)
        if message.text.strip():
            idle = now() + IDLE_SECONDS
    fragments.put(None)


async def _talk(socket: WebSocket, job: SpeechJob) -> None:
    async for data in job.stream():
        await socket.send_bytes(data)
    await socket.send_text(json.dumps(job.summary()))


async def _receive(socket: WebSocket, kind: type[M], seconds: float) -> M:
    try:
        async with asyncio.timeout(seconds):
            text = await socket.receive_text()
        return kind.model_validate(parse_object(text))
    except TimeoutError as error:
        raise LlasaError(
            f"No text came for {IDLE_SECONDS:g} s, or it did not end within {TEXT_SECONDS:g} s."
        ) from error
    except KeyError as error:
        raise LlasaError("Messages are JSON texts, not binary.") from error
    except ValidationError as error:
        raise RequestValidationError(
            [{**first, "loc": ("message", *first["loc"])} for first in error.errors()]
        ) from error

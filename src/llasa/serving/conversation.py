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
from urllib.parse import urlsplit

from fastapi import WebSocket, WebSocketDisconnect
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, ValidationError

from llasa.errors import LlasaError
from llasa.serving.errors import envelope
from llasa.serving.schemas import SpeechSettings
from llasa.serving.speech import Speaking, Studio

IDLE_SECONDS = 60.0
"""Silence of a client after which it is given up."""

M = TypeVar("M", bound=BaseModel)
Fragments = SimpleQueue[str | None]
"""Text on its way to the thread that speaks; None at its end."""


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: str = ""
    end: bool = False


async def converse(socket: WebSocket, studio: Studio, origins: tuple[str, ...]) -> None:
    """One conversation, from handshake to close."""
    origin = socket.headers.get("origin")  # browsers send it; they ask no CORS for sockets
    own = urlsplit(origin or "").netloc == socket.headers.get("host")
    if origin is not None and not own and origin not in origins:
        await socket.close(1008)
        return
    await socket.accept()
    try:
        await _converse(socket, studio)
        await socket.close()
    except WebSocketDisconnect:
        pass
    except Exception as error:
        status, body = envelope(error)
        await socket.send_text(json.dumps(body))
        await socket.close(1008 if status < 500 else 1011)
        if status == 500:
            raise


async def _converse(socket: WebSocket, studio: Studio) -> None:
    """Until all has been said, or the first error."""
    settings = await _receive(socket, SpeechSettings)
    fragments = Fragments()
    request = studio.request(iter(fragments.get, None), settings)
    speaking = Speaking(studio, request, settings)
    both = [
        asyncio.create_task(_listen(socket, fragments, studio.scheduler.limits.chars)),
        asyncio.create_task(_talk(socket, speaking)),
    ]
    try:
        finished, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in finished:
            task.result()
    finally:
        speaking.close()
        fragments.put(None)  # wakes who waits for text
        for task in both:
            task.cancel()
        await asyncio.gather(*both, return_exceptions=True)


async def _listen(socket: WebSocket, fragments: Fragments, most: int) -> None:
    """Hand the text on; then only notice when the client leaves."""
    ended = False
    while not ended:
        message = await _receive(socket, _Message)
        most, ended = most - len(message.text), message.end
        if most < 0:
            raise LlasaError("The text is too long: begin another conversation.")
        fragments.put(message.text)
    fragments.put(None)
    while True:
        await socket.receive_text()


async def _talk(socket: WebSocket, speaking: Speaking) -> None:
    async for data in speaking.stream():
        await socket.send_bytes(data)
    await socket.send_text(json.dumps(speaking.summary()))


async def _receive(socket: WebSocket, kind: type[M]) -> M:
    try:
        async with asyncio.timeout(IDLE_SECONDS):
            text = await socket.receive_text()
        return kind.model_validate_json(text)
    except TimeoutError as error:
        raise LlasaError(f"Nothing came for {IDLE_SECONDS:g} s.") from error
    except KeyError as error:
        raise LlasaError("Messages are JSON texts, not binary.") from error
    except ValidationError as error:
        raise RequestValidationError(
            [{**first, "loc": ("message", *first["loc"])} for first in error.errors()]
        ) from error

"""WebSocket: text goes in as it is written, sound comes out as soon as a sentence is complete.

The first message holds the fields of ``POST /v1/audio/speech`` except input, then come any number
of ``{"text": "..."}`` and at last ``{"end": true}``. Sound comes in binary messages, then one JSON
message ``speech.audio.done``; an error is a JSON message with OpenAI's envelope.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import TypeVar
from urllib.parse import urlsplit

from fastapi import WebSocket, WebSocketDisconnect
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, ValidationError

from llasa.errors import LlasaError
from llasa.serving.errors import envelope
from llasa.serving.schemas import SpeechSettings
from llasa.serving.speech import Speaking, Studio
from llasa.text import split_sentences

IDLE_SECONDS = 60.0
"""Silence of a client after which it is given up."""

M = TypeVar("M", bound=BaseModel)


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
    conversation = _Conversation(socket, studio)
    try:
        await conversation.run()
        await socket.close()
    except WebSocketDisconnect:
        pass
    except Exception as error:
        status, body = envelope(error)
        await socket.send_text(json.dumps(body))
        await socket.close(1008 if status < 500 else 1011)
        if status == 500:
            raise
    finally:
        conversation.close()


class _Conversation:
    def __init__(self, socket: WebSocket, studio: Studio) -> None:
        self._socket = socket
        self._studio = studio
        self._speaking: Speaking | None = None
        self._started = asyncio.Event()

    async def run(self) -> None:
        """Until all has been said, or the first error."""
        settings = await self._receive(SpeechSettings)
        both = [asyncio.create_task(self._listen(settings)), asyncio.create_task(self._talk())]
        try:
            finished, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for task in finished:
                task.result()
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    def close(self) -> None:
        """Stop what is still running."""
        if self._speaking:
            self._speaking.close()

    async def _listen(self, settings: SpeechSettings) -> None:
        """Hand on sentence by sentence; then only notice when the client leaves."""
        length = 0
        async for sentence in self._sentences():
            length += len(sentence)
            if length > self._studio.scheduler.limits.chars:
                raise LlasaError("The text is too long: begin another conversation.")
            if not any(char.isalnum() for char in sentence):
                continue
            said = self._studio.request(sentence, settings)
            if self._speaking is None:
                self._speaking = Speaking(self._studio, said, settings, ended=False)
                self._started.set()
            else:
                self._speaking.add(said)
        if self._speaking is None:
            raise LlasaError("The text has no letter or digit: give at least one word.")
        self._speaking.end()
        while True:
            await self._socket.receive_text()

    async def _sentences(self) -> AsyncIterator[str]:
        """Every sentence as soon as the next one begins."""
        waiting, ended = "", False
        while not ended:
            message = await self._receive(_Message)
            waiting, ended = waiting + message.text, message.end
            if len(waiting) > self._studio.scheduler.limits.chars:
                raise LlasaError("The text is too long: begin another conversation.")
            sentences = split_sentences(waiting)
            for sentence in sentences if ended else sentences[:-1]:
                yield sentence
            if sentences:
                waiting = waiting[waiting.rindex(sentences[-1]) :]

    async def _talk(self) -> None:
        await self._started.wait()
        assert self._speaking is not None
        async for data in self._speaking.stream():
            await self._socket.send_bytes(data)
        await self._socket.send_text(json.dumps(self._speaking.summary()))

    async def _receive(self, kind: type[M]) -> M:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                text = await self._socket.receive_text()
            return kind.model_validate_json(text)
        except TimeoutError as error:
            raise LlasaError(f"Nothing came for {IDLE_SECONDS:g} s.") from error
        except KeyError as error:
            raise LlasaError("Messages are JSON texts, not binary.") from error
        except ValidationError as error:
            raise RequestValidationError(
                [{**first, "loc": ("message", *first["loc"])} for first in error.errors()]
            ) from error

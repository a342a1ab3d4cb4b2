"""WebSocket: text goes in as it is written, sound comes out as soon as a sentence is complete.

The first message holds the fields of ``POST /v1/audio/speech`` except input, then come any number
of ``{"text": "..."}`` and at last ``{"end": true}``. Sound comes in binary messages, times
that were asked for in JSON messages, then one JSON message ``speech.audio.done``; an error is a
JSON message with OpenAI's envelope.
"""

from __future__ import annotations

import json
from typing import TypeVar

from fastapi import WebSocket, WebSocketDisconnect
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from llasa.base.errors import LlasaError
from llasa.serving.arriving import ArrivingText
from llasa.serving.body import parse_object
from llasa.serving.errors import StalledError, envelope
from llasa.serving.jobs import SpeechJob
from llasa.serving.schemas import SpeechSettings, TextFragment
from llasa.serving.state import ServerState

M = TypeVar("M", bound=BaseModel)


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
    text = ArrivingText(state)
    settings = await _receive(socket, text, SpeechSettings)

    async def listen() -> None:
        ended = False
        while not ended:
            message = await _receive(socket, text, TextFragment)
            text.add(message.text)
            ended = message.end
        text.end()
        while True:  # only to notice when the client leaves
            await socket.receive_text()

    async def talk(job: SpeechJob) -> None:
        async for piece in job.pieces():
            if isinstance(piece, bytes):
                await socket.send_bytes(piece)
            else:
                await socket.send_text(json.dumps(piece))
        await socket.send_text(json.dumps(job.summary()))

    await text.speak(settings, listen, talk)


async def _receive(socket: WebSocket, text: ArrivingText, kind: type[M]) -> M:
    try:
        return kind.model_validate(parse_object(await text.within(socket.receive_text())))
    except KeyError as error:
        raise LlasaError("Messages are JSON texts, not binary.") from error
    except ValidationError as error:
        raise RequestValidationError(
            [{**first, "loc": ("message", *first["loc"])} for first in error.errors()]
        ) from error

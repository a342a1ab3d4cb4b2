"""Between the scheduler's thread and asyncio: speech as a stream of encoded bytes."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest

from llasa.audio import Audio, Samples
from llasa.errors import LlasaError
from llasa.serving.encoding import StreamEncoder, encode
from llasa.serving.errors import NotFoundError, envelope
from llasa.serving.scheduler import Done, Event, Scheduler
from llasa.serving.schemas import SpeechSettings
from llasa.serving.voices import VoiceStore
from llasa.stretch import TimeStretch
from llasa.synthesis import Request

OPENAI_MODELS = frozenset(("", "tts-1", "tts-1-hd", "gpt-4o-mini-tts"))
"""Names that mean the served model."""


@dataclass(frozen=True)
class Studio:
    """What all routes share."""

    scheduler: Scheduler
    voices: VoiceStore

    def request(self, text: str, settings: SpeechSettings) -> Request:
        """Check a request; `LlasaError` for what cannot be spoken."""
        tts, limits = self.scheduler.tts, self.scheduler.limits
        if settings.model not in OPENAI_MODELS | {tts.name}:
            raise NotFoundError(f"Model {settings.model[:100]!r} is not served: use {tts.name}.")
        if len(text) > limits.chars:
            raise LlasaError(
                f"input has {len(text):,} characters and at most {limits.chars:,} are taken: split "
                "it into several requests."
            )
        return tts.request(
            text,
            self.voices.find(settings.voice_name()),
            settings.seed,
            settings.max_seconds,
            **settings.sampling(),
        )


class Speaking:
    """A request that is being spoken, for one listener. Always `close` it.

    Raises `BusyError` where it is not accepted.
    """

    def __init__(
        self,
        studio: Studio,
        request: Request,
        settings: SpeechSettings,
        *,
        live: bool = True,
        ended: bool = True,
    ) -> None:
        self.request = request
        self.done: Done | None = None
        """Set at the end."""
        self._scheduler = studio.scheduler
        self._rate = studio.scheduler.tts.rate
        self._settings = settings
        self._stretch = None
        if settings.speed != 1:
            self._stretch = TimeStretch(settings.speed, self._rate)
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._ticket = studio.scheduler.submit(request, self._tell, live=live, ended=ended)

    def add(self, more: Request) -> None:
        """The text goes on with that of another request."""
        self.request.text += f" {more.text}"
        self.request.warnings += more.warnings
        self._scheduler.extend(self._ticket, more.chunks)

    def end(self) -> None:
        """The text is complete."""
        self._scheduler.extend(self._ticket, [], ended=True)

    def close(self) -> None:
        """Stop what is still running; who still waits for sound gets an error."""
        self._scheduler.close(self._ticket)
        self._events.put_nowait(HTTPException(499, "The client is gone."))

    def _tell(self, event: Event) -> None:
        with suppress(RuntimeError):  # the loop is gone, nobody listens
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    async def sound(self) -> AsyncIterator[Samples]:
        """Stretches of sound at the wanted speed; raises what went wrong."""
        while not isinstance(event := await self._events.get(), Done):
            if isinstance(event, Exception):
                raise event
            yield self._stretch.push(event) if self._stretch else event
        if self._stretch:
            yield self._stretch.finish()
        self.done = event

    async def whole(self) -> bytes:
        """The complete file."""
        pieces = [piece async for piece in self.sound()]
        audio = Audio(np.concatenate(pieces), self._rate)
        return encode(audio, self._settings.response_format)

    async def stream(self) -> AsyncIterator[bytes]:
        """The file as it comes into being; never an empty piece."""
        encoder = StreamEncoder(self._settings.response_format, self._rate)
        async for samples in self.sound():
            if data := encoder.push(samples):
                yield data
        if data := encoder.finish():
            yield data

    async def events(self) -> AsyncIterator[bytes]:
        """The same as OpenAI's server-sent events."""
        try:
            async for data in self.stream():
                yield _event({"type": "speech.audio.delta", "audio": base64.b64encode(data)})
        except Exception as error:
            yield _event({"type": "error", **envelope(error)[1]})
        else:
            yield _event(self.summary())

    def summary(self) -> dict[str, object]:
        """The last event: what the speech took and how it ended."""
        assert self.done is not None
        said, text = self.done.tokens, len(self.request.text)
        return {
            "type": "speech.audio.done",
            "usage": {"input_tokens": text, "output_tokens": said, "total_tokens": text + said},
            "seconds": round(self.done.seconds / self._settings.speed, 3),
            "finish_reason": self.done.finish_reason,
            "seed": self.request.seed,
            "warnings": self.request.warnings,
        }


async def close_on_disconnect(http: HttpRequest, speaking: Speaking) -> None:
    """Wait until the client is gone or has got everything, then close."""
    try:
        while (await http.receive())["type"] != "http.disconnect":
            pass
    finally:
        speaking.close()


def _event(data: dict[str, object]) -> bytes:
    return b"data: " + json.dumps(data, default=bytes.decode).encode() + b"\n\n"

"""Between threads and asyncio: speech as a stream of encoded bytes."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass, field

import numpy as np
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from llasa.audio.audio import Audio
from llasa.audio.encoding import StreamEncoder, encode
from llasa.audio.stretch import TimeStretch
from llasa.base.errors import LlasaError
from llasa.base.names import shorten
from llasa.search.strategies import Strategy
from llasa.serving.batching import EngineClient
from llasa.serving.body import Uploads
from llasa.serving.choice import SearchFactory
from llasa.serving.errors import NotFoundError, envelope
from llasa.serving.outbox import Outbox
from llasa.serving.scheduler import Scheduler
from llasa.serving.schemas import SpeechSettings
from llasa.serving.voices import VoiceStore
from llasa.tts.llasa import Llasa, Request
from llasa.tts.stream import stream

OPENAI_MODELS = frozenset(("", "tts-1", "tts-1-hd", "gpt-4o-mini-tts"))
"""Names that mean the served model."""
SEED, WARNINGS = "x-llasa-seed", "x-llasa-warnings"
"""Headers of an answer."""
MOST_WARNINGS = 5
"""In a header, which has to be short."""


class ClientGoneError(HTTPException):
    """Who waited for the speech has left."""


@dataclass(frozen=True)
class ServerState:
    """What all routes share."""

    scheduler: Scheduler
    voices: VoiceStore
    chooser: SearchFactory
    uploads: Uploads
    talks: set[object] = field(default_factory=set)
    """Conversations whose text is complete, and which still speak."""

    async def finish(self, seconds: float) -> None:
        """Accept nothing more, and let such conversations end; the rest is for HTTP to do."""
        self.scheduler.refuse()
        ends = time.monotonic() + seconds
        while self.talks and time.monotonic() < ends:
            await asyncio.sleep(0.05)

    def prepare(
        self, text: str | Iterator[str], settings: SpeechSettings, candidates: bool = False
    ) -> tuple[Request, Strategy | None]:
        """Check a request, and say how it is searched; `LlasaError` for what cannot be spoken.

        Takes some time, so that it belongs into a thread. `candidates`: all are to be shown.
        """
        tts, limits = self.scheduler.tts, self.scheduler.limits
        if settings.model not in OPENAI_MODELS | {tts.name}:
            raise NotFoundError(f"Model {shorten(settings.model)!r} is not served: use {tts.name}.")
        if isinstance(text, str) and len(text) > limits.chars:
            raise LlasaError(
                f"input has {len(text):,} characters and at most {limits.chars:,} are taken: split "
                "it into several requests."
            )
        request = tts.request(
            text,
            voice=self.voices.find(settings.voice_name()),
            seed=settings.seed,
            max_seconds=settings.max_seconds,
            force=settings.force,
            **settings.reading(),
            **settings.sampling(),
        )
        # What is heard may not be longer, nor what is spoken.
        request.longest = min(request.longest, limits.seconds * min(1.0, settings.speed))
        return request, self.chooser.strategy(settings, candidates)


class SpeechJob:
    """What `ServerState.prepare` made is being spoken, for one listener. Always `close` it.

    It counts as a request until all of it has been made, whoever has yet to take it; but parts of
    the text are only begun while the listener keeps up. `whole`: the complete file comes in one
    go, exactly what `Llasa` makes, or with `candidates` the JSON of all that were compared.
    Raises `BusyError` where it is not accepted.
    """

    def __init__(
        self,
        studio: ServerState,
        request: Request,
        search: Strategy | None,
        settings: SpeechSettings,
        *,
        whole: bool = False,
        candidates: bool = False,
    ) -> None:
        self._search = search
        self._request = request
        self._settings = settings
        self._whole, self._candidates = whole, candidates
        self._metrics = studio.scheduler.metrics
        self._began = time.perf_counter()
        self._tokens, self._seconds = 0, 0.0
        self._outbox = Outbox()
        self._caller = studio.scheduler.submit(self._work, settings.best_of)

    def close(self) -> None:
        """Stop what is still running; who still waits for sound gets an error."""
        self._caller.close()
        self._outbox.close(ClientGoneError(499, "The client is gone."))

    def stream(self) -> AsyncIterator[bytes]:
        """The file as it comes into being, never an empty piece; raises what went wrong."""
        return self._outbox.pieces()

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
        said, text = self._tokens, len(self._request.text)
        checks = self._request.checks
        return {
            "type": "speech.audio.done",
            "usage": {"input_tokens": text, "output_tokens": said, "total_tokens": text + said},
            "seconds": round(self._seconds / self._settings.speed, 3),
            "finish_reason": "length" if self._request.cut else "stop",
            "seed": self._request.seed,
            "warnings": self._request.warnings,
            **({"checks": [check.to_dict() for check in checks]} if checks else {}),
        }

    def headers(self) -> dict[str, str]:
        """What is known when the answer begins: of a file in one go, all."""
        request, headers = self._request, {}
        if request.warnings:
            more = len(request.warnings) - MOST_WARNINGS
            told = request.warnings[:MOST_WARNINGS] + ([f"And {more} more."] if more > 0 else [])
            headers[WARNINGS] = json.dumps(told)
        return {SEED: str(request.seed), **headers}

    # -- in a thread --------------------------------------------------------------------------

    def _work(self, tts: Llasa, caller: EngineClient) -> None:
        event: bytes | Exception | None = None
        try:
            for data in self._file(tts) if self._whole else self._pieces(tts, caller):
                if data:
                    self._outbox.put(data)
        except CancelledError:
            return
        except Exception as error:
            event = error
        else:
            took = time.perf_counter() - self._began
            self._metrics.rtf.observe(took / self._seconds)
            self._metrics.audio_seconds.inc(self._seconds)
        self._outbox.put(event)

    def _file(self, tts: Llasa) -> Iterator[bytes]:
        """All of it at once."""
        (speech,) = tts.speak([self._request], self._search)
        self._heard(speech.tokens, speech.audio)
        if not self._candidates:
            yield self._encoded(speech.audio)
            return
        answer = speech.to_dict()
        answer["audio"] = base64.b64encode(self._encoded(speech.audio))
        for part, result in zip(answer["search"], speech.search, strict=True):
            for candidate, take in zip(part["candidates"], result.takes, strict=True):
                sound = self._encoded(take.audio) if len(take.codes) else b""
                candidate["audio"] = base64.b64encode(sound)
        yield _json(answer)

    def _encoded(self, audio: Audio) -> bytes:
        stretch = TimeStretch(self._settings.speed, audio.rate)
        samples = np.concatenate([stretch.push(audio.samples), stretch.finish()])
        return encode(Audio(samples, audio.rate), self._settings.response_format)

    def _pieces(self, tts: Llasa, caller: EngineClient) -> Iterator[bytes]:
        """Bytes as soon as there are any, taken to be listened to from the first one on."""
        encoder = StreamEncoder(self._settings.response_format, tts.rate)
        stretch = TimeStretch(self._settings.speed, tts.rate)
        for chunk in stream(tts, self._request, self._search):
            self._heard(chunk.tokens, Audio(chunk.samples, chunk.rate))
            yield encoder.push(stretch.push(chunk.samples))
            if self._search is None:  # else pauses are part of it
                now = time.monotonic()
                heard = now if caller.due == math.inf else max(now, caller.due)
                caller.due = heard + chunk.seconds / self._settings.speed
            if not caller.active:  # between two parts, when others lose nothing
                self._outbox.wait()
        yield encoder.push(stretch.finish())
        yield encoder.finish()

    def _heard(self, tokens: int, audio: Audio) -> None:
        if not self._tokens:
            self._metrics.first_audio.observe(time.perf_counter() - self._began)
        self._tokens += tokens
        self._seconds += audio.duration


class SpeechResponse(StreamingResponse):
    """Sends what is spoken, and closes it however that ends."""

    def __init__(
        self,
        speaking: SpeechJob,
        content: AsyncIterator[bytes],
        headers: dict[str, str],
        media_type: str,
    ) -> None:
        super().__init__(content, headers=headers, media_type=media_type)
        self._speaking = speaking

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See `StreamingResponse`."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._speaking.close()


async def close_on_disconnect(http: HttpRequest, speaking: SpeechJob) -> None:
    """Wait until the client is gone or has got everything, then close."""
    try:
        while (await http.receive())["type"] != "http.disconnect":
            pass
    finally:
        speaking.close()


def _event(data: dict[str, object]) -> bytes:
    return b"data: " + _json(data) + b"\n\n"


def _json(data: dict[str, object]) -> bytes:
    return json.dumps(data, default=bytes.decode).encode()

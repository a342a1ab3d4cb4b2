"""Between threads and asyncio: speech as a stream of encoded bytes."""

from __future__ import annotations

import base64
import json
import math
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError

from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from llasa.audio.encoding import StreamEncoder, encode
from llasa.audio.stretch import stretched
from llasa.search.result import Check
from llasa.search.strategies import Strategy
from llasa.serving.batching import EngineClient
from llasa.serving.errors import envelope
from llasa.serving.outbox import Outbox
from llasa.serving.scheduler import Scheduler
from llasa.serving.schemas import SpeechSettings
from llasa.serving.timestamps import EVENT, Piece, timestamps
from llasa.tts.chunks import AudioChunk
from llasa.tts.llasa import Llasa
from llasa.tts.request import Request
from llasa.tts.speech import Speech
from llasa.verifiers.base import FinishReason

SEED, WARNINGS = "x-llasa-seed", "x-llasa-warnings"
"""Headers of an answer."""
MOST_WARNINGS = 5
"""In a header, which has to be short."""


class ClientGoneError(HTTPException):
    """The client has closed the connection."""


class SpeechJob:
    """Speaks one request that `ServerState.prepare` checked, for one client. Always `close` it.

    It occupies a place of the server until all sound has been made, even if the client has yet to
    read it; but no new part of the text is begun while the client lags behind. `whole`: send the
    complete file at once, exactly as `Llasa` makes it, or with `candidates` a JSON of all that were
    compared. Raises `BusyError` if the server is full.
    """

    def __init__(
        self,
        scheduler: Scheduler,
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
        self._kinds = settings.timed
        self._metrics = scheduler.metrics
        self._began = time.perf_counter()
        self._tokens, self._seconds = 0, 0.0
        self._warnings: list[str] = []
        self._checks: list[Check] = []
        self._finish: FinishReason | None = None
        self._outbox = Outbox()
        self._client = scheduler.submit(self._work, settings.best_of)

    def close(self) -> None:
        """Stop the work; whoever still waits for sound gets an error."""
        self._client.close()
        self._outbox.close(ClientGoneError(499, "The client is gone."))

    def pieces(self) -> AsyncIterator[Piece]:
        """The file as it comes into being, never an empty piece; raises what went wrong.

        Where times are wanted, they follow the sound of each part.
        """
        return self._outbox.pieces()

    async def stream(self) -> AsyncIterator[bytes]:
        """The file alone."""
        async for piece in self.pieces():
            if isinstance(piece, bytes):
                yield piece

    async def events(self) -> AsyncIterator[bytes]:
        """The same as OpenAI's server-sent events."""
        try:
            async for piece in self.pieces():
                if isinstance(piece, bytes):
                    sound = base64.b64encode(piece)
                    yield _event({"type": "speech.audio.delta", "audio": sound})
                else:
                    yield _event(piece)
        except Exception as error:
            yield _event({"type": "error", **envelope(error)[1]})
        else:
            yield _event(self.summary())

    def summary(self) -> dict[str, object]:
        """The last event: what the speech took and how it ended."""
        said, text = self._tokens, len(self._request.text)
        return {
            "type": "speech.audio.done",
            "usage": {"input_tokens": text, "output_tokens": said, "total_tokens": text + said},
            "seconds": round(self._seconds, 3),
            "finish_reason": self._finish,
            "seed": self._request.seed,
            "warnings": self._warnings,
            **({"checks": [check.to_dict() for check in self._checks]} if self._checks else {}),
        }

    def headers(self) -> dict[str, str]:
        """What is known when the response begins; for a complete file that is everything."""
        headers = {SEED: str(self._request.seed)}
        if warnings := self._warnings or list(self._request.warnings):
            more = len(warnings) - MOST_WARNINGS
            told = warnings[:MOST_WARNINGS] + ([f"And {more} more."] if more > 0 else [])
            headers[WARNINGS] = json.dumps(told)
        return headers

    # -- in a thread --------------------------------------------------------------------------

    def _work(self, tts: Llasa, client: EngineClient) -> None:
        event: bytes | Exception | None = None
        try:
            for data in self._file(tts) if self._whole else self._pieces(tts, client):
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

    def _file(self, tts: Llasa) -> Iterator[Piece]:
        """All of it at once."""
        (speech,) = tts.speak([self._request], self._search)
        self._heard(speech.tokens, speech.seconds, speech.warnings)
        if not self._candidates:
            yield encode(speech.audio, self._settings.response_format)
            if self._kinds is not None:
                yield self._ended(speech)
            return
        answer = speech.to_dict()
        if self._kinds:
            answer |= timestamps(self._request, speech.timings, self._kinds)
        form, speed = self._settings.response_format, self._settings.speed
        answer["audio"] = base64.b64encode(encode(speech.audio, form))
        for number, result in enumerate(speech.search):
            part = answer["search"][number]
            before, after = self._request.source.silences(number)
            part["silence_before"] = before / speed
            part["silence_after"] = after / speed
            for candidate, take in zip(part["candidates"], result.candidates, strict=True):
                silent = not len(take.audio.samples)  # empty, or given up unheard
                sound = b"" if silent else encode(stretched(take.audio, speed), form)
                candidate["audio"] = base64.b64encode(sound)
        yield _json(answer)

    def _ended(self, heard: Speech | AudioChunk) -> Piece:
        """The event that follows a part, with the times that are wanted, which are read now."""
        if not self._kinds or heard.timings is None:
            return {"type": EVENT}
        return {"type": EVENT, **timestamps(self._request, heard.timings, self._kinds)}

    def _pieces(self, tts: Llasa, client: EngineClient) -> Iterator[Piece]:
        """Bytes as soon as there are any, taken to be listened to from the first one on."""
        encoder = StreamEncoder(self._settings.response_format, tts.rate)
        for chunk in tts.chunks(self._request, self._search):
            self._heard(chunk.tokens, chunk.seconds, chunk.warnings)
            self._checks += [chunk.check] if chunk.check is not None else []
            self._finish = chunk.finish_reason
            yield encoder.push(chunk.samples)
            if self._search is None:  # else pauses are part of it
                now = time.monotonic()
                heard = now if client.due == math.inf else max(now, client.due)
                client.due = heard + chunk.seconds
            if self._kinds is not None and chunk.timer is not None:
                yield self._ended(chunk)
            if not client.active:  # between two parts, when others lose nothing
                self._outbox.wait()
        yield encoder.finish()

    def _heard(self, tokens: int, seconds: float, warnings: Sequence[str]) -> None:
        if not self._tokens:
            self._metrics.first_audio.observe(time.perf_counter() - self._began)
        self._tokens += tokens
        self._seconds += seconds
        self._warnings += warnings


class SpeechResponse(StreamingResponse):
    """Streams a job's output and closes the job however that ends."""

    def __init__(
        self,
        job: SpeechJob,
        content: AsyncIterator[bytes],
        headers: dict[str, str],
        media_type: str,
    ) -> None:
        super().__init__(content, headers=headers, media_type=media_type)
        self._job = job

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See `StreamingResponse`."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._job.close()


async def close_on_disconnect(http: HttpRequest, job: SpeechJob) -> None:
    """Wait until the client is gone or has everything, then close the job."""
    try:
        while (await http.receive())["type"] != "http.disconnect":
            pass
    finally:
        job.close()


def _event(data: Mapping[str, object]) -> bytes:
    return b"data: " + _json(data) + b"\n\n"


def _json(data: Mapping[str, object]) -> bytes:
    return json.dumps(data, default=bytes.decode).encode()

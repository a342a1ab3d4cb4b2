"""The HTTP interface: OpenAI's where OpenAI has one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, FastAPI, File, Form, Request, UploadFile, WebSocket
from starlette.concurrency import run_in_threadpool
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, Response

from llasa import __version__
from llasa.audio.audio import MOST_VALUES, Audio, read_audio
from llasa.audio.encoding import MEDIA_TYPES, check_encoder, encode, encoders
from llasa.base import jsonl
from llasa.base.errors import LlasaError
from llasa.models.voice import Gender
from llasa.models.voices import speaker_embedding_of
from llasa.serving.access import Access
from llasa.serving.body import JsonRoute, Uploads
from llasa.serving.errors import add_error_handlers
from llasa.serving.jobs import (
    SEED,
    WARNINGS,
    ClientGoneError,
    SpeechJob,
    SpeechResponse,
    close_on_disconnect,
)
from llasa.serving.metrics import Metrics
from llasa.serving.middleware import MAX_UPLOAD, RequestMiddleware
from llasa.serving.pages import add_pages
from llasa.serving.realtime import converse
from llasa.serving.scheduler import Limits, Scheduler
from llasa.serving.schemas import (
    Captioned,
    CaptionedRequest,
    DecodeRequest,
    Deleted,
    ErrorBody,
    Format,
    Model,
    ModelCapabilities,
    ModelLimits,
    ModelList,
    SpeechRequest,
    Tokens,
    VoiceInfo,
    VoiceList,
    VoiceName,
)
from llasa.serving.search_factory import SearchFactory, available_verifiers
from llasa.serving.state import ServerState
from llasa.serving.timestamps import captioned
from llasa.serving.voices import VoiceStore
from llasa.tts.llasa import Llasa

T = TypeVar("T")
LONGEST_RECORDING = 60.0
"""Seconds of an upload."""
FORM_BYTES = 64 << 10
"""Of a form around a recording; the longest speech fits into one, as 16-bit samples."""
LOWEST_RATE = 4000
"""Hertz of a sound that is converted."""


@dataclass(frozen=True)
class Settings:
    """What a server allows: see `Access` for `api_keys`, `hosts` and `origins` (for CORS).

    strict: refuse unknown fields of a request for speech, which else are named in a warning.
    root_path: below which a proxy shows the server.
    """

    limits: Limits = field(default_factory=Limits)
    api_keys: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] | None = None
    strict: bool = False
    root_path: str = ""

    def __post_init__(self) -> None:
        path = self.root_path
        if path and (path[0] != "/" or path[-1] == "/" or set(path) & set(" ?#")):
            raise LlasaError(
                f"--root-path is {path!r}: begin it with a slash, and end it with none, as in /tts."
            )


def create_app(tts: Llasa, settings: Settings | None = None) -> FastAPI:
    """The server for a loaded model; the model belongs to it from now on.

    `app.state.server` is what its routes share; `finish` of it ends it well.
    """
    settings = settings or Settings()
    metrics = Metrics()
    scheduler = Scheduler(tts, settings.limits, metrics)
    verifiers = available_verifiers()
    able = tts.capabilities
    searches = SearchFactory(settings.limits.candidates, verifiers, metrics, able.language)
    voices = VoiceStore(scheduler.tts)
    state = ServerState(scheduler, voices, searches, Uploads(), settings.strict)
    limits = ModelLimits.model_validate(settings.limits, from_attributes=True)
    can = ModelCapabilities.model_validate(able.to_dict())
    default = tts.settings.default_voice
    model = Model(
        id=tts.name,
        limits=limits,
        capabilities=can,
        default_voice=default,
        verifiers=verifiers,
        response_formats=encoders(),  # type: ignore[arg-type]
    )
    access = Access(settings.api_keys, settings.hosts, settings.origins)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(scheduler.shutdown, 0.0)  # nobody listens any more
        tts.close()

    app = FastAPI(
        title="llasa",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses={code: {"model": ErrorBody} for code in ("4XX", "5XX")},
    )
    root = settings.root_path
    upload = max(MAX_UPLOAD, FORM_BYTES + 2 * state.speech_samples)
    app.add_middleware(
        RequestMiddleware, metrics=metrics, access=access, root_path=root, upload=upload
    )
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.origins),
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=[SEED, WARNINGS, "x-request-id", "retry-after"],
        )
    add_error_handlers(app)
    app.state.server = state
    _add_speech(app, state)
    _add_voices(app, state)
    _add_tokens(app, state)
    _add_conversion(app, state)
    _add_state(app, state, model)
    add_pages(app)
    return app


def _add_speech(app: FastAPI, state: ServerState) -> None:
    router = APIRouter(route_class=JsonRoute)
    tasks: set[asyncio.Task[None]] = set()

    def keep(work: Coroutine[Any, Any, None]) -> None:
        """Run on the side; asyncio itself does not hold on to its tasks."""
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    @router.post(
        "/v1/audio/speech",
        response_class=Response,
        responses={200: {"content": {kind: {} for kind in _SPEECH_TYPES}}},
    )
    async def speak(http: Request, body: SpeechRequest) -> Response:
        """Speak a text."""
        candidates = body.return_candidates
        request, search = await run_in_threadpool(state.prepare, body.input, body, candidates)
        job = SpeechJob(
            state.scheduler, request, search, body, whole=body.whole, candidates=candidates
        )
        keep(close_on_disconnect(http, job))
        kind = MEDIA_TYPES[body.response_format]
        if body.stream_format == "sse":
            events = job.events()
            return SpeechResponse(job, events, job.headers(), "text/event-stream")
        stream = job.stream()
        first = await _first(job, stream)
        headers = job.headers()
        if candidates:
            kind = "application/json"
        if body.whole:
            headers["content-length"] = str(len(first))
        return SpeechResponse(job, _joined(first, stream), headers, kind)

    @router.post(
        "/dev/captioned_speech", response_class=Response, responses={200: {"model": Captioned}}
    )
    async def caption(http: Request, body: CaptionedRequest) -> Response:
        """Speak a text and say when each word is heard, as Kokoro-FastAPI does."""
        request, search = await run_in_threadpool(state.prepare, body.input, body, False)
        job = SpeechJob(state.scheduler, request, search, body, whole=not body.stream)
        keep(close_on_disconnect(http, job))
        kind = MEDIA_TYPES[body.response_format]
        answers = captioned(job.pieces(), kind, body.return_timestamps)
        first = await _first(job, answers)
        return SpeechResponse(job, _lines(first, answers), job.headers(), "application/json")

    @app.websocket("/v1/audio/speech")
    async def speak_along(socket: WebSocket) -> None:
        await converse(socket, state)

    app.include_router(router)


def _add_voices(app: FastAPI, state: ServerState) -> None:
    voices = state.voices
    router = APIRouter(route_class=state.uploads.route())

    @app.get("/v1/audio/voices")
    def list_voices() -> VoiceList:
        """All voices, with what is known of them, and only by name."""
        found = voices.list()
        names = [VoiceName(id=voice.id, name=voice.name) for voice in found]
        return VoiceList(data=found, voices=names)

    @app.get("/v1/audio/voices/{name}")
    def show_voice(name: str) -> VoiceInfo:
        """One voice."""
        return voices.get(name)

    @app.get("/v1/audio/voices/{name}/preview", response_class=Response)
    def preview_voice(name: str) -> Response:
        """How it sounds, where it came with the model (Ogg Opus)."""
        return Response(voices.preview(name), media_type=MEDIA_TYPES["opus"])

    @router.post("/v1/audio/voices")
    async def add_voice(
        name: Annotated[str, Form()],
        audio_sample: Annotated[UploadFile, File(description="1 to 30 s of one speaker.")],
        consent: Annotated[str, Form(description="Who agreed that this voice is used.")],
        transcript: Annotated[str, Form(description="Its words; left out: recognised.")] = "",
        gender: Annotated[Gender | None, Form(description="How it sounds to people.")] = None,
    ) -> VoiceInfo:
        """Make a voice from a recording and its words."""
        data = await audio_sample.read()

        def add() -> VoiceInfo:
            voices.check_new(name)
            return voices.add(name, _audio(data), transcript, consent, gender)

        return await state.uploads.work(add)

    @app.delete("/v1/audio/voices/{name}")
    def delete_voice(name: str) -> Deleted:
        """Delete a voice that was added."""
        voices.delete(name)
        return Deleted(id=name)

    app.include_router(router)


def _add_tokens(app: FastAPI, state: ServerState) -> None:
    tts = state.scheduler.tts
    forms, objects = APIRouter(route_class=state.uploads.route()), APIRouter(route_class=JsonRoute)

    @forms.post("/v1/audio/tokens")
    async def encode_audio(
        file: Annotated[UploadFile, File(description=f"At most {LONGEST_RECORDING:g} s.")],
    ) -> Tokens:
        """Turn a recording into codes."""
        data = await file.read()
        (codes,) = await state.uploads.work(lambda: tts.codec.encode([_audio(data)]))
        return Tokens(codes=codes.tolist(), codec=tts.codec.id, frame_rate=tts.codec.frame_rate)

    @objects.post("/v1/audio/tokens/decode", response_class=Response)
    async def decode_codes(body: DecodeRequest) -> Response:
        """Turn codes into sound."""
        check_encoder(body.response_format)
        most = int(LONGEST_RECORDING * tts.codec.frame_rate)
        if len(body.codes) > most:
            raise LlasaError(f"codes has {len(body.codes)} entries: at most {most} are taken.")
        if max(body.codes) >= tts.codec.codebook_size:
            raise LlasaError(f"codes are 0 to {tts.codec.codebook_size - 1}: one is greater.")

        def sound() -> bytes:
            embedding = None
            if body.voice is not None:
                embedding = speaker_embedding_of(tts.codec, lambda: state.voices.find(body.voice))
            (samples,) = tts.codec.decode([body.codes], embedding)
            return encode(Audio(samples.clip(-1, 1), tts.rate), body.response_format)

        with state.uploads.place():
            data = await state.uploads.work(sound)
        return Response(data, media_type=MEDIA_TYPES[body.response_format])

    app.include_router(forms)
    app.include_router(objects)


def _add_conversion(app: FastAPI, state: ServerState) -> None:
    router = APIRouter(route_class=state.uploads.route())
    seconds, values = state.scheduler.limits.seconds, max(MOST_VALUES, state.speech_samples + 1)

    @router.post("/v1/audio/convert", response_class=Response)
    async def convert_audio(
        file: Annotated[UploadFile, File(description="As long as a speech may be.")],
        response_format: Annotated[Format, Form()] = "mp3",
    ) -> Response:
        """Write a sound in another format, with one channel."""
        check_encoder(response_format)

        def converted() -> bytes:
            audio = read_audio(file.file, "The sound", seconds, values).mono()
            if audio.rate < LOWEST_RATE:  # a few bytes would become minutes
                raise LlasaError(
                    f"The sound has {audio.rate} Hz: give one of {LOWEST_RATE:,} Hz or more."
                )
            return encode(audio, response_format)

        sound = await state.uploads.work(converted)
        return Response(sound, media_type=MEDIA_TYPES[response_format])

    app.include_router(router)


def _add_state(app: FastAPI, state: ServerState, model: Model) -> None:
    scheduler = state.scheduler

    @app.get("/v1/models/", include_in_schema=False)
    @app.get("/v1/models")
    def list_models() -> ModelList:
        """The served model."""
        return ModelList(data=[model])

    @app.get("/v1/audio/models", include_in_schema=False)
    def list_speakers() -> dict[str, list[dict[str, str]]]:
        """The same as Open WebUI asks for it."""
        return {"models": [{"id": model.id, "name": model.id}]}

    @app.get("/v1/models/{name:path}")
    def show_model(name: str) -> Model:
        """The served model, under its own name or one that means it."""
        state.check_model(name)
        return model.model_copy(update={"id": name})

    @app.get("/health")
    async def health() -> JSONResponse:
        """Whether the engine works: 200, or 503 while its steps fail."""
        word, status = ("failing", 503) if scheduler.shared.failing else ("ok", 200)
        return JSONResponse({"status": word}, status)

    @app.get("/ready")
    async def ready() -> JSONResponse:
        """Whether the model has warmed up: 200, before that 503."""
        word, status = ("ready", 200) if scheduler.ready.is_set() else ("warming up", 503)
        return JSONResponse({"status": word}, status)

    @app.get("/metrics", response_class=Response)
    async def show_metrics() -> Response:
        """Counters in Prometheus' format."""
        return Response(
            scheduler.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8"
        )


_SPEECH_TYPES = [
    *(kind.partition(";")[0] for kind in MEDIA_TYPES.values()),
    *("text/event-stream", "application/json"),
]


def _audio(data: bytes) -> Audio:
    """An uploaded recording."""
    return read_audio(data, "The recording", LONGEST_RECORDING)


async def _first(job: SpeechJob, answers: AsyncIterator[T]) -> T:
    """The first of the answers: until here an error has a status of its own."""
    try:
        return await anext(answers)
    except BaseException:
        job.close()
        raise


async def _lines(
    first: dict[str, Any], rest: AsyncIterator[dict[str, Any]]
) -> AsyncIterator[bytes]:
    """A line of JSON each."""
    yield jsonl.render(first)
    with suppress(ClientGoneError):
        async for answer in rest:
            yield jsonl.render(answer)


async def _joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    with suppress(ClientGoneError):  # an answer that nobody gets ends as it is
        async for data in rest:
            yield data

"""What the routes of a server share, and how requests are checked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from llasa.audio.encoding import PCM_RATE, check_encoder
from llasa.base.errors import LlasaError
from llasa.base.names import shorten
from llasa.models.voices import VoiceLike
from llasa.search.strategies import Strategy
from llasa.serving.body import Uploads
from llasa.serving.errors import NotFoundError
from llasa.serving.other_names import means_served
from llasa.serving.scheduler import Scheduler
from llasa.serving.schemas import SpeechSettings
from llasa.serving.search_factory import SearchFactory
from llasa.serving.voices import VoiceStore
from llasa.tts.request import Request


@dataclass(frozen=True)
class ServerState:
    """What all routes share."""

    scheduler: Scheduler
    voices: VoiceStore
    searches: SearchFactory
    uploads: Uploads
    strict: bool = False
    """Whether unknown fields are refused."""
    talks: set[object] = field(default_factory=set)
    """Conversations whose text is complete, and which still speak."""

    @property
    def speech_samples(self) -> int:
        """Samples of the longest speech, as the model makes it or the page writes it."""
        return int(max(self.scheduler.tts.rate, PCM_RATE) * self.scheduler.limits.seconds)

    async def finish(self, seconds: float) -> None:
        """Accept no more requests, and wait for conversations that still speak; uvicorn does the
        rest."""
        self.scheduler.refuse()
        ends = time.monotonic() + seconds
        while self.talks and time.monotonic() < ends:
            await asyncio.sleep(0.05)

    def check_model(self, name: str) -> None:
        """`NotFoundError` for a model that is not served."""
        served = self.scheduler.tts.name
        if name != served and not means_served(name):
            raise NotFoundError(f"Model {shorten(name)!r} is not served: use {served}.")

    def prepare(
        self, text: str | Iterator[str], settings: SpeechSettings, candidates: bool = False
    ) -> tuple[Request, Strategy | None]:
        """Check a request, and say how it is searched; `LlasaError` for what cannot be spoken.

        This takes some time, so call it in a thread. `candidates`: all are to be shown. Where the
        text is still to come no field is unknown, for no other server has that.
        """
        tts, limits = self.scheduler.tts, self.scheduler.limits
        notes = settings.notes(self.strict or not isinstance(text, str))
        self.check_model(settings.model)
        check_encoder(settings.response_format)
        if isinstance(text, str) and len(text) > limits.chars:
            raise LlasaError(
                f"input has {len(text):,} characters and at most {limits.chars:,} are taken: split "
                "it into several requests."
            )
        # What is heard may not be longer, nor what is spoken.
        most = limits.seconds * min(1.0, 1 / settings.speed)
        request = tts.request(
            text,
            voice=self.voices.find(settings.voice_name()),
            seed=settings.seed,
            max_seconds=min(most, settings.max_seconds or most),
            speed=settings.speed,
            pause=settings.pause,
            force=settings.force,
            cast=None if settings.cast is None else self._cast(settings.cast),
            **settings.reading(),
            **settings.sampling(),
        )
        request.source.warnings[:0] = notes
        return request, self.searches.strategy(settings, candidates)

    def _cast(self, names: dict[str, str]) -> dict[str, VoiceLike]:
        """The voices of a cast; an empty name stays one.

        `LlasaError` for a name that leaves the voice to the model, where each text gets another.
        """
        found = {name: self.voices.find(voice) if voice else "" for name, voice in names.items()}
        for name, one in found.items():
            if one is None:
                raise LlasaError(
                    f"cast gives {shorten(name)} the voice {names[name]!r}, and the model has none "
                    "of its own: name one of /v1/audio/voices."
                )
        return found

"""What the routes of a server share, and how it checks what it is asked for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from llasa.base.errors import LlasaError
from llasa.base.names import shorten
from llasa.search.strategies import Strategy
from llasa.serving.body import Uploads
from llasa.serving.errors import NotFoundError
from llasa.serving.scheduler import Scheduler
from llasa.serving.schemas import SpeechSettings
from llasa.serving.search_factory import SearchFactory
from llasa.serving.voices import VoiceStore
from llasa.tts.request import Request

OPENAI_MODELS = frozenset(("", "tts-1", "tts-1-hd", "gpt-4o-mini-tts"))
"""Names that mean the served model."""


@dataclass(frozen=True)
class ServerState:
    """What all routes share."""

    scheduler: Scheduler
    voices: VoiceStore
    searches: SearchFactory
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
        # What is heard may not be longer, nor what is spoken.
        most = limits.seconds * min(1.0, 1 / settings.speed)
        request = tts.request(
            text,
            voice=self.voices.find(settings.voice_name()),
            seed=settings.seed,
            max_seconds=min(most, settings.max_seconds or most),
            speed=settings.speed,
            force=settings.force,
            **settings.reading(),
            **settings.sampling(),
        )
        return request, self.searches.strategy(settings, candidates)

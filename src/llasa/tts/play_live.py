"""Speech that is heard while it is being made."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Unpack

from llasa.audio.audio import Samples
from llasa.audio.live import LivePlayer
from llasa.base.errors import LlasaError
from llasa.codec.streaming import StreamSettings
from llasa.models.voices import VoiceLike
from llasa.tts.arguments import SpeakOptions
from llasa.tts.llasa import Llasa
from llasa.tts.speech import Speech, SpeechBuilder


def play(
    tts: Llasa,
    text: str,
    *,
    voice: VoiceLike = None,
    seed: int | None = None,
    **options: Unpack[SpeakOptions],
) -> Speech:
    """Speak a text and let it be heard meanwhile, or else once it is complete.

    Arguments are those of calling `tts`. Where playing stops on its way, a warning of the speech
    says so. Raises `LlasaError` for bad input, and where nothing can play it.
    """
    with LivePlayer(tts.rate) as player:
        speech = speak_live(tts, text, player.push, voice=voice, seed=seed, **options)
        try:
            played = player.finish()
        except LlasaError as error:
            return replace(speech, warnings=(*speech.warnings, str(error)))
    if not played:
        speech.play()
    return speech


def speak_live(
    tts: Llasa,
    text: str,
    listener: Callable[[Samples], object],
    *,
    voice: VoiceLike = None,
    seed: int | None = None,
    **options: Unpack[SpeakOptions],
) -> Speech:
    """Speak a text, and give its samples (n,) to `listener` while they are made.

    As in a stream, there is no second try for what was heard already. The time that `listener`
    takes is not counted.
    """
    search, settings = tts.strategy(options)
    request = tts.request(text, voice=voice, seed=seed, **settings)
    speech = SpeechBuilder(request, time.perf_counter(), tts.timer)
    with closing(tts.parts([request], search, decoding=StreamSettings())) as parts:
        for _, part in parts:
            speech.add(part)
            before = time.perf_counter()
            listener(part.samples)
            speech.began += time.perf_counter() - before
    return speech.speech(tts.rate)

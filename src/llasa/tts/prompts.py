"""Requests and tasks: prompts, lengths, and the codes that the model continues."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llasa.audio.stretch import as_speed
from llasa.base.errors import LlasaError
from llasa.base.names import number, whole
from llasa.codec.protocol import CodecLike
from llasa.lm.engine import Engine
from llasa.models.capabilities import Capabilities
from llasa.models.folder import ModelConfig
from llasa.models.voice import RANDOM, Voice
from llasa.search.session import Task
from llasa.text import Lexicon, Reading, Script, normalize_text, user_lexicon
from llasa.text.dialogue import read_dialogue
from llasa.text.duration import GRACE
from llasa.text.languages import check_language
from llasa.text.sentences import LONGEST_SILENCE
from llasa.tts.fragments import TextSource
from llasa.tts.request import Request
from llasa.verifiers.tokens import Length
from llasa.vocabulary.vocabulary import Vocabulary

CHAR_SECONDS = 0.1
"""Seconds a character in slow speech; tells how much text fits into the context."""
FEW_CHARS = 10
"""Shorter sentences are joined with their neighbours, because small models babble on them."""
LOOP_SECONDS = 1.5
"""Speech is cut off when this much of it only repeats itself."""
SLOWER = 1.3
"""How many times slower than in its recording a voice may speak."""


class Prompts:
    """Makes the requests of one model, and the tasks for its engine and codec."""

    def __init__(
        self,
        settings: ModelConfig,
        capabilities: Capabilities,
        vocabulary: Vocabulary,
        engine: Engine,
        codec: CodecLike,
    ) -> None:
        self.settings, self.capabilities, self.vocabulary = settings, capabilities, vocabulary
        self.engine, self.codec = engine, codec
        self._rule = settings.rule()
        self.context = min(engine.context, settings.max_tokens)
        """Most tokens of a prompt and its speech together."""

    @property
    def token_rate(self) -> float:
        """Most tokens a second of speech takes."""
        return self.vocabulary.token_rate(self.codec.frame_rate)

    def script(
        self,
        reading: Reading,
        voice: Voice | None,
        arriving: bool = False,
        first_is_prompt: bool = False,
    ) -> Script:
        """What makes the parts of a text. A model that clones gets short sentences together,
        because the first part is the prompt of the others. Another gets one sentence at a time, as
        it was trained. Text that is still arriving is always spoken a sentence at a time.
        """
        room = self.context - len(self.prompt("a", voice))
        tokens = self.token_rate * CHAR_SECONDS + 1  # a character: its speech and its text
        limit = min(self.settings.chunk_chars, int(room / tokens))
        if limit < 1:
            raise LlasaError(
                f"Voice {voice.name if voice else RANDOM} takes so much of the model's "
                f"{self.context} tokens that no text fits: use a shorter recording."
            )
        enough = limit if self.capabilities.lm_clones else FEW_CHARS
        if first_is_prompt or (arriving and voice is None and self.capabilities.lm_clones):
            limit = max(1, min(limit, int(room / 2 / tokens)))  # as much room for the first part
        return Script(reading, self.settings.form, limit, 0 if arriving else min(enough, limit))

    def request(
        self,
        text: str | Iterator[str],
        voice: Voice | None,
        seed: int | None = None,
        *,
        max_seconds: float | None = None,
        speed: float = 1.0,
        pause: float | None = None,
        force: bool = False,
        normalize: bool = True,
        language: str | None = None,
        format_in: str = "text",
        lexicon: Mapping[str, str] | Lexicon | None = None,
        cast: Mapping[str, Voice | None] | None = None,
        **sampling: Any,
    ) -> Request:
        """The request for a checked text and a voice; see `Llasa.request`.

        cast: voices by `speaker_key`; None for a name that is no speaker's.
        """
        rule = replace(self._rule, **sampling)
        longest, speed = float("inf"), as_speed(speed)
        if max_seconds is not None and max_seconds != longest:
            longest = speed * number("max_seconds", max_seconds, 0, above=True)
        language = language or self.capabilities.only_language
        reading = Reading.of(normalize, language, format_in, lexicon)
        reading = replace(reading, lexicon=self.lexicon | reading.lexicon)
        if pause is not None:  # as it is heard
            reading = replace(reading, pause=speed * number("pause", pause, 0, LONGEST_SILENCE))
        seed = secrets.randbits(31) if seed is None else whole("seed", seed, 0)
        source, turns = self._source(text, reading, voice, force, cast)
        return Request(source, voice, seed, rule, longest, speed, turns)

    @cached_property
    def lexicon(self) -> Lexicon:
        """The user's lexicons, read once."""
        return user_lexicon()

    def _source(
        self,
        text: str | Iterator[str],
        reading: Reading,
        voice: Voice | None,
        force: bool,
        cast: Mapping[str, Voice | None] | None,
    ) -> tuple[TextSource, list[tuple[int, Voice]]]:
        """The parts of a text, or of the fragments that an iterator gives, and the turns in it.

        `LlasaError` for another language than the model speaks, unless that is forced.
        """
        model, languages = self.settings.name, self.capabilities.languages

        def judge(text: str, go_on: bool) -> list[str]:
            return check_language(text, model, languages, force or go_on)

        if not isinstance(text, str):
            if cast is not None:
                raise LlasaError("A cast needs the whole text: give it as one string.")
            return TextSource(self.script(reading, voice, arriving=True), text, judge), []
        speakers = {name: one for name, one in (cast or {}).items() if one is not None}
        read, turns, warnings = text, list[tuple[int, Voice]](), list[str]()
        if cast is not None:
            read, found = read_dialogue(text, speakers, cast.keys() - speakers.keys())
            turns = [(turn.start, speakers[turn.speaker]) for turn in found]
            if silent := speakers.keys() - {turn.speaker for turn in found}:
                warnings.append(f"These of the cast say nothing: {', '.join(sorted(silent))}.")
        warnings = [*judge(read, False), *warnings]
        widest = max((voice, *speakers.values()), key=lambda one: len(self.prompt("a", one)))
        shown = None if cast is None else text
        source = TextSource.whole(self.script(reading, widest), read, warnings, shown)
        if len(source.passages) > 1 and voice is None and self.capabilities.lm_clones:
            script = self.script(reading, widest, first_is_prompt=True)
            source = TextSource.whole(script, read, warnings, shown)
        return source, turns

    def task(self, request: Request, number: int, voice: Voice | None) -> Task:
        """The task of a part that is spoken in this voice; see `voice_of_parts`."""
        passage = request.passages[number]
        prompt = self.prompt(passage.given, voice, formed=request.is_formed(passage))
        longest = min(self._longest(passage.given, voice), request.longest)
        most = min(self.context - len(prompt), longest * self.token_rate)
        params = replace(
            request.rule,
            seed=request.seed + number,
            max_tokens=max(1, round(most)),
            loop_window=round(LOOP_SECONDS * self.token_rate),
        )
        return Task(
            text=passage.text,
            written=" ".join(request.text[slice(*passage.span)].split()),
            prompt=prompt,
            params=params,
            voice=voice,
            before=self._before(voice),
            engine=self.engine,
            vocabulary=self.vocabulary,
            codec=self.codec,
            longest=request.longest * self.codec.frame_rate,
        )

    def voice_of_parts(self, request: Request, codes: NDArray[np.int64], cut: bool) -> Voice | None:
        """The voice of all parts but the first, whose codes are given. It is that of the request,
        or without one the first part itself, if the model clones; but not if that was cut off, as
        its words and codes do not match then.
        """
        first = request.passages[0]
        if not request.is_formed(first) or cut or not self.capabilities.lm_clones:
            return request.voice
        words, rate = first.given, self.codec.frame_rate
        return Voice("first-part", words, codes, self.codec.id, rate)

    def prompt(self, text: str, voice: Voice | None, formed: bool = False) -> list[int]:
        """The prompt for a text in the form of the model, as the transcript is if `formed`."""
        if voice is None:
            return self.vocabulary.tts_prompt(text)
        if not len(before := self._before(voice)):
            return self.vocabulary.tts_prompt(text, speaker=voice.speaker)
        said = voice.transcript if formed else self._transcript(voice)
        return self.vocabulary.tts_prompt(text, said, before, voice.speaker)

    def places(
        self, text: str, voice: Voice | None, formed: bool = False
    ) -> list[tuple[int, int, int]]:
        """Where the tokens of the text stand in its `prompt`; see `Vocabulary.places_of_text`."""
        speaker = None if voice is None else voice.speaker
        if voice is None or not len(self._before(voice)):
            return self.vocabulary.places_of_text(text, speaker=speaker)
        said = voice.transcript if formed else self._transcript(voice)
        return self.vocabulary.places_of_text(text, said, speaker)

    def _transcript(self, voice: Voice) -> str:
        """The words of a recording in the form of the model."""
        words = voice.transcript
        with suppress(LlasaError):  # numbers of a language that has no rules stay as they are
            words = normalize_text(words, self.capabilities.only_language)
        return self.settings.form(words)

    def _before(self, voice: Voice | None) -> NDArray[np.int64]:
        """Codes that the language model goes on from."""
        if voice is None or not self.capabilities.lm_clones:
            return np.zeros(0, np.int64)
        return voice.codes

    def _longest(self, text: str, voice: Voice | None) -> float:
        """Seconds within which a text must end: a slow reading of it by this voice."""
        pace = self.settings.pace
        if voice is not None and self.capabilities.lm_clones and len(voice.codes):
            pace = max(pace, SLOWER * voice.seconds / Length().expected(voice.transcript))
        return pace * Length().expected(text) + GRACE

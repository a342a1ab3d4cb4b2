"""``Llasa``: text and a voice to speech; ties prompts, engine and codec together."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, overload

import numpy as np
from numpy.typing import NDArray

from llasa.audio.audio import Audio, Samples
from llasa.base.errors import LlasaError
from llasa.base.names import check_choice, number, whole
from llasa.codec.codec import Codec
from llasa.lm.config import read_config
from llasa.lm.engine import Engine, generate
from llasa.lm.open_engine import open_engine
from llasa.lm.sampling import SamplingParams
from llasa.models.capabilities import capabilities
from llasa.models.find import DEFAULT_MODEL, find_codec, find_model
from llasa.models.folder import ModelFiles, check_fit
from llasa.models.identity import model_identity, variant_of
from llasa.models.voice import RANDOM, Voice
from llasa.models.voices import VoiceBook, VoiceLike
from llasa.search.session import Task
from llasa.search.strategies import Strategy, check_strategy
from llasa.text import (
    MAX_CHARS,
    READING,
    Lexicon,
    Reading,
    Script,
    check_text,
    no_words,
    normalize_text,
    user_lexicon,
)
from llasa.text.languages import check_language, language_code
from llasa.tts.check import TRIES, Checked, another_try
from llasa.tts.request import Part, nothing_said, searched_part, spoken_part
from llasa.tts.request import Request as Request
from llasa.tts.speech import Speech
from llasa.verifiers.tokens import Length
from llasa.vocabulary.vocabulary import Vocabulary

if TYPE_CHECKING:
    from llasa.codec.streaming import StreamSettings
    from llasa.tts.stream import AudioChunk

BATCH = 16
"""Sequences that run at the same time."""
CHAR_SECONDS = 0.1
"""Slow reading; used to see how much text fits into the context."""
FEW_CHARS = 10
"""Shorter sentences are not spoken alone where others stand by: small models babble on them."""
GRACE = 1.5
"""Seconds past what a slow reading of a text takes, after which it must have ended."""
LOOP_SECONDS = 1.5
"""Length of a loop at which speech is cut off."""
SLOWER = 1.3
"""Times slower than in its recording a voice may speak."""


class Llasa:
    """A model that speaks.

        tts = Llasa.load()
        tts("Hello, world.", seed=1).save("hello.wav")

    Threads may share it: their calls wait for each other. A process that was forked after it was
    loaded cannot use it.
    """

    def __init__(
        self,
        files: ModelFiles,
        vocabulary: Vocabulary,
        engine: Engine,
        codec: Codec,
        variant: Mapping[str, object] | None = None,
    ) -> None:
        """Put the parts together; `load` finds and opens them.

        `variant` says what else decides how it sounds, such as 8-bit weights, see `identity`.
        """
        self.files = files
        self.settings = files.settings
        self.vocabulary = vocabulary
        self.engine = engine
        self.codec = codec
        self.capabilities = capabilities(files, codec)
        self._voices = VoiceBook(files, codec)
        self._context = min(engine.context, self.settings.max_tokens)
        self.batch = BATCH
        self._sampling = self.settings.rule()
        self._variant = variant or {}
        self._turn, self._process = threading.RLock(), os.getpid()

    @classmethod
    def load(
        cls,
        name_or_path: str | Path = DEFAULT_MODEL,
        codec: str | Path | None = None,
        device: str | None = None,
        int8: bool = False,
        engine: str = "torch",
        engine_options: Mapping[str, Any] | None = None,
    ) -> Llasa:
        """Open a model.

        Args:
            name_or_path: a shipped model's name, a model folder, a folder with a language model
                only (then `codec` is needed), or the hub id of a released model, which is
                downloaded.
            codec: codec folder or hub id in place of the model's own.
            device: cpu, cuda, cuda:1, mps; by default a GPU where CUDA finds one.
            int8: 8-bit weights of the language model, on the CPU only: faster, not exact.
            engine: what runs the language model, torch or vllm (needs the extra `vllm`).
            engine_options: settings of vLLM, see `VllmEngine`.

        Raises `LlasaError` where the model is unknown, damaged, or its parts do not fit.
        """
        return cls.open(find_model(name_or_path, codec), device, int8, engine, engine_options)

    @classmethod
    def open(
        cls,
        files: ModelFiles,
        device: str | None = None,
        int8: bool = False,
        engine: str = "torch",
        engine_options: Mapping[str, Any] | None = None,
    ) -> Llasa:
        """Open a model that `find_model` found; see `load`."""
        vocabulary = Vocabulary.load(files.lm)
        sound = Codec.load(files.codec, device)
        check_fit(vocabulary, read_config(files.lm).vocab_size, sound)
        codes = range(vocabulary.speech_start, vocabulary.size)
        where = (files.lm, codes, [vocabulary.end], files.settings.max_tokens)
        lm = open_engine(*where, sound.device, int8, engine, engine_options)
        return cls(files, vocabulary, lm, sound, variant_of(int8, engine, engine_options))

    @property
    def name(self) -> str:
        """The model's name."""
        return self.settings.name

    @property
    def rate(self) -> int:
        """Samples a second of what it speaks."""
        return self.codec.sample_rate

    @property
    def token_rate(self) -> float:
        """Most tokens a second of speech takes."""
        return self.vocabulary.token_rate(self.codec.frame_rate)

    @cached_property
    def identity(self) -> str:
        """16 hexadecimal digits of weights, settings, engine and precision.

        Runs that are resumed compare it.
        """
        return model_identity(self.files, self._variant)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Inside, no other thread uses the engine; one that wants to waits."""
        if os.getpid() != self._process:
            raise LlasaError(
                "This model was loaded before the process was forked, and would hang: load it in "
                "the new process, or start that with 'spawn'."
            )
        with self._turn:
            yield

    def __copy__(self) -> Llasa:
        """Another one with the same parts, which waits for nobody."""
        other: Llasa = object.__new__(type(self))
        other.__dict__.update(self.__dict__, _turn=threading.RLock())
        return other

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """A loaded model is neither pickled nor copied deeply."""
        raise LlasaError("A loaded model cannot be pickled or copied: load it where it is needed.")

    def voices(self) -> list[str]:
        """Names of the voices that this model can speak with."""
        return self._voices.names()

    def voice(self, voice: VoiceLike = None) -> Voice | None:
        """The voice that a name, a voice file or None (the model's default) stands for.

        None as a result means no prompt: the model chooses. Raises `LlasaError` for a voice that
        is unknown or was made for another model.
        """
        return self._voices.get(voice)

    def clone(self, audio: str | Path | Audio, transcript: str, name: str = "clone") -> Voice:
        """Make a voice from a recording of 1 to 30 s and its words; see `Voice.from_audio`."""
        return Voice.from_audio(audio, transcript, self.codec, name)

    def add_voice(self, voice: Voice) -> None:
        """Make a voice known by its name to this object; `Voice.save` keeps it."""
        self._voices.add(voice)

    def close(self) -> None:
        """End the processes that the engine vllm has; after that nothing can be said."""
        self.engine.close()

    # -- speaking -------------------------------------------------------------------------

    @overload
    def __call__(
        self,
        text: str,
        *,
        voice: VoiceLike = None,
        seed: int | None = None,
        max_seconds: float | None = None,
        search: Strategy | None = None,
        check: bool = False,
        tries: int | None = None,
        **settings: Any,
    ) -> Speech: ...

    @overload
    def __call__(
        self,
        text: Sequence[str],
        *,
        voice: VoiceLike | Sequence[VoiceLike] = None,
        seed: int | Sequence[int | None] | None = None,
        max_seconds: float | None = None,
        search: Strategy | None = None,
        check: bool = False,
        tries: int | None = None,
        **settings: Any,
    ) -> list[Speech]: ...

    def __call__(
        self,
        text: str | Sequence[str],
        *,
        voice: VoiceLike | Sequence[VoiceLike] = None,
        seed: int | Sequence[int | None] | None = None,
        max_seconds: float | None = None,
        search: Strategy | None = None,
        check: bool = False,
        tries: int | None = None,
        **settings: Any,
    ) -> Speech | list[Speech]:
        """Speak a text, or a list of texts at the same time.

        A long text is spoken in parts, joined with short pauses; the voice stays the same.

        Args:
            text: up to 20,000 characters.
            voice: a name from `voices`, a voice file, a `Voice`, "random", or None for the
                model's default; for a list of texts also one for each.
            seed: repeats a result; drawn where it is None, and reported. For a list of texts also
                one for each; a single one is used for all, so that each repeats alone.
            max_seconds: cut the speech off there. Without that, a part that is stuck in a loop or
                much longer than its text takes is spoken once more with another seed, then cut
                off, with a warning.
            search: a strategy, such as `functools.partial(llasa.best_of_n, n=16)`: each part is
                the best of several. The texts of a list are then spoken one after another.
            check: have each sentence heard by a recogniser, and speak one that is not right again,
                up to `tries` times in all (see `llasa.Checked`; needs the extra `search`).
            settings: how the text is read and what is refused, see `request` (normalize, language,
                format_in, lexicon, force), and fields of `SamplingParams` (temperature, top_k,
                top_p, min_p, repetition_penalty, repetition_window) in place of the model's
                defaults.

        Raises `LlasaError` for bad input, or where the model says nothing at all.
        """
        texts = [text] if isinstance(text, str) else _texts(text)
        own = {k: v for k, v in settings.items() if k not in (*READING, "force")}
        self._rule(own)  # even for no text
        search = self._strategy(search, check, tries, settings.get("language"))
        requests = [
            self.request(words, voice=one_voice, seed=one_seed, max_seconds=max_seconds, **settings)
            for words, one_voice, one_seed in zip(
                texts, _each(voice, texts, "voices"), _each(seed, texts, "seeds"), strict=True
            )
        ]
        speeches = self.speak(requests, search)
        return speeches[0] if isinstance(text, str) else speeches

    def speak(self, requests: Sequence[Request], search: Strategy | None = None) -> list[Speech]:
        """Speak what `request` made, see there."""
        began = time.perf_counter()
        if not isinstance(search, Checked):
            check_strategy(search)
        if search is not None and not isinstance(search, Checked):
            for request in requests:
                for number in range(len(request.chunks)):
                    request.add(self.search(request, number, search), began)
        else:
            # The first part of every text comes first: it is heard first, and where no voice is
            # given it is the prompt that keeps the voice of the others.
            first = [(request, 0) for request in requests]
            others = [(r, number) for r in requests for number in range(1, len(r.chunks))]
            for stage in (first, others):
                for start in range(0, len(stage), self.batch):
                    self._speak(stage[start : start + self.batch], began, search)
        return [request.speech(self.rate) for request in requests]

    def stream(
        self,
        text: str | Iterable[str],
        *,
        voice: VoiceLike = None,
        seed: int | None = None,
        max_seconds: float | None = None,
        search: Strategy | None = None,
        check: bool = False,
        tries: int | None = None,
        decoding: StreamSettings | None = None,
        **settings: Any,
    ) -> Iterator[AudioChunk]:
        """Speak a text and give its sound while it is being made.

        A text that comes in fragments, from a language model for instance, is spoken sentence by
        sentence: sound comes before the text ends. A string is spoken as by calling the object,
        the sound within what `StreamSettings` say. Closing the iterator early stops the work.

        Args:
            text: a string of up to 20,000 characters, or an iterable of strings of any length.
            search, check, tries: each part comes when the best of several has been chosen, or when
                it has been checked.
            decoding: how codes are decoded; see `StreamSettings`.
            voice, seed, max_seconds, settings: as for the call; one text, one value. A part that
                does not end is cut off where it has been heard already.

        Raises `LlasaError` for bad input, or where the model says nothing at all.
        """
        from llasa.tts.stream import stream

        if isinstance(text, bytes | Mapping) or not isinstance(text, Iterable):
            raise LlasaError(_no_text(text))
        search = self._strategy(search, check, tries, settings.get("language"))
        given = text if isinstance(text, str) else iter(text)
        request = self.request(given, voice=voice, seed=seed, max_seconds=max_seconds, **settings)
        return stream(self, request, search, decoding)

    def _strategy(
        self, search: Strategy | None, check: bool, tries: int | None, language: str | None
    ) -> Strategy | None:
        """The search that was asked for."""
        if not check:
            if tries is not None:
                raise LlasaError("tries belongs to check=True; a search has an n of its own.")
            return search
        if search is not None:
            raise LlasaError("Give either a search or check=True, not both.")
        return self.checked(tries, language)

    def checked(self, tries: int | None = None, language: str | None = None) -> Checked:
        """What `check=True` stands for, its recogniser open; `LlasaError` where there is none.

        language: that is listened for; by default the model's.
        """
        spoken = language_code(language) or self.capabilities.language
        checked = Checked(TRIES if tries is None else tries, language=spoken)
        checked.load()
        return checked

    def _rule(self, sampling: dict[str, Any]) -> SamplingParams:
        own = ("seed", "max_tokens", "loop_window")
        names = [n for n in SamplingParams.__dataclass_fields__ if n not in own]
        settings = ["voice", "seed", "max_seconds", "check", "tries", "force"]
        for name in sampling:
            check_choice(name, [*settings, *READING, *names], "The setting")
        return replace(self._sampling, **sampling)

    def request(
        self,
        text: str | Iterator[str],
        *,
        voice: VoiceLike = None,
        seed: int | None = None,
        max_seconds: float | None = None,
        force: bool = False,
        max_chars: int | None = MAX_CHARS,
        normalize: bool = True,
        language: str | None = None,
        format_in: str = "text",
        lexicon: Mapping[str, str] | Lexicon | None = None,
        **sampling: Any,
    ) -> Request:
        """Check a text and its settings and split it into parts; nothing is spoken yet.

        For those who check long before they speak, as a server does. `speak` takes it, or
        `llasa.tts.stream.stream`; only the latter takes text that an iterator gives in fragments.

        Args:
            normalize: spell out numbers, dates, money, units, signs and abbreviations.
            language: of what is spelled out: en, de, fr, es, or zh (needs the extra
                `normalize-zh`), and of what a check listens for; by default the one that the model
                speaks, of several English, Chinese where the letters are.
            format_in: text, or markdown.
            lexicon: words and how they are said, before those of the user's lexicons.
            text, voice, seed, max_seconds, sampling: see `__call__`, also for the errors.
        """
        rule = self._rule(sampling)
        longest = float("inf")
        if max_seconds is not None and max_seconds != longest:
            longest = number("max_seconds", max_seconds, 0, above=True)
        language = language or self.capabilities.only_language
        reading = Reading.of(normalize, language, format_in, lexicon)
        reading = replace(reading, lexicon=self.lexicon | reading.lexicon)
        warnings: list[str] = []
        if not isinstance(text, Iterator):
            check_text(text, max_chars)
            warnings = self.check_language(text, force)
        found = self.voice(voice)
        seed = secrets.randbits(31) if seed is None else whole("seed", seed, 0)
        if isinstance(text, Iterator):
            script = self._script(reading, found, arriving=True)
            request = Request("", [], found, seed, rule, longest, warnings, force)
            request.fragments, request.script = text, script
            return request
        script = self._script(reading, found)
        chunks = list(script.read(text, final=True))
        if len(chunks) > 1 and found is None and self.capabilities.lm_clones:
            script = self._script(reading, found, first_is_prompt=True)
            chunks = list(script.read(text, final=True))
        if not chunks:
            raise no_words(text)
        warnings = [*script.warnings, *warnings]
        settings = (longest, warnings, force, script.tail)
        return Request(script.text, chunks, found, seed, rule, *settings)

    def check_language(self, text: str, force: bool = False) -> list[str]:
        """Warnings about what the model cannot say; `LlasaError` where that is most of the text."""
        return check_language(text, self.name, self.capabilities.languages, force)

    @cached_property
    def lexicon(self) -> Lexicon:
        """The user's lexicons, read once."""
        return user_lexicon()

    def _script(
        self,
        reading: Reading,
        voice: Voice | None,
        arriving: bool = False,
        first_is_prompt: bool = False,
    ) -> Script:
        """What makes the parts of a text.

        A model that clones takes short sentences together, for its first part is the prompt of the
        others. One that does not speaks a sentence at a time, as it was trained. Text that is still
        arriving is always spoken a sentence at a time.
        """
        room = self._context - len(self._prompt("a", voice))
        tokens = self.token_rate * CHAR_SECONDS + 1  # a character: its speech and its text
        limit = min(self.settings.chunk_chars, int(room / tokens))
        if limit < 1:
            raise LlasaError(
                f"Voice {voice.name if voice else RANDOM} takes so much of the model's "
                f"{self._context} tokens that no text fits: use a shorter recording."
            )
        enough = limit if self.capabilities.lm_clones else FEW_CHARS
        if first_is_prompt or (arriving and voice is None and self.capabilities.lm_clones):
            limit = max(1, min(limit, int(room / 2 / tokens)))  # as much room for the first part
        return Script(reading, self.settings.form, limit, 0 if arriving else min(enough, limit))

    def _prompt(self, text: str, voice: Voice | None, formed: bool = False) -> list[int]:
        """The prompt for a text in the form of the model, as the transcript is if `formed`."""
        if voice is None:
            return self.vocabulary.tts_prompt(text)
        if not len(before := self._before(voice)):
            return self.vocabulary.tts_prompt(text, speaker=voice.speaker)
        said = voice.transcript if formed else self._transcript(voice)
        return self.vocabulary.tts_prompt(text, said, before, voice.speaker)

    def _transcript(self, voice: Voice) -> str:
        """The words of a recording, as texts are given to the model."""
        words = voice.transcript
        with suppress(LlasaError):  # numbers of a language that has no rules stay as they are
            words = normalize_text(words, self.capabilities.only_language)
        return self.settings.form(words)

    def _before(self, voice: Voice | None) -> NDArray[np.int64]:
        """Codes that the language model goes on from."""
        if voice is None or not self.capabilities.lm_clones:
            return np.zeros(0, np.int64)
        return voice.codes

    def _speak(
        self,
        jobs: Sequence[tuple[Request, int]],
        began: float,
        check: Checked | None = None,
    ) -> None:
        """Speak parts of texts (request and number of the part) at the same time.

        One that ends at once, or not by itself, gets a second chance.
        """
        tasks = [self.task(request, number) for request, number in jobs]
        with self.turn():
            spoken = self._generated(tasks, check)
        for (request, _), part in zip(jobs, spoken, strict=True):
            request.add(part, began)

    def _generated(self, tasks: Sequence[Task], check: Checked | None) -> list[Part]:
        """A part of each task."""
        if check is not None:
            return list(map(searched_part, tasks, check.many(tasks)))
        done = generate(self.engine, [t.prompt for t in tasks], [t.params for t in tasks])
        codes = [self.vocabulary.ids_to_codes(generation.tokens) for generation in done]
        failed = [n for n, g in enumerate(done) if tasks[n].failed(len(codes[n]), g.finish)]
        prompts = [tasks[n].prompt for n in failed]
        rules = [another_try(tasks[n].params, 1) for n in failed]
        again = generate(self.engine, prompts, rules) if failed else []
        for n, generation in zip(failed, again, strict=True):
            new = self.vocabulary.ids_to_codes(generation.tokens)
            if len(new) and (generation.finish == "stop" or not len(codes[n])):
                done[n], codes[n] = generation, new
        parts = []
        for task, generation, said in zip(tasks, done, codes, strict=True):
            if not len(said):
                raise nothing_said(task.written)
            samples = self._decode(said, task)
            parts.append(spoken_part(task, said, samples, generation.finish))
        return parts

    def search(self, request: Request, number: int, search: Strategy) -> Part:
        """One part as the best of several takes; `request` goes without it."""
        task = self.task(request, number)
        with self.turn():
            return searched_part(task, search(task))

    def task(self, request: Request, number: int) -> Task:
        """What the model is asked for one part; all but the first may need `request.parts[0]`."""
        chunk, voice = request.chunks[number], self._part_voice(request, number)
        prompt = self._prompt(chunk.given, voice, formed=request.voice is None)
        rate, longest = self.token_rate, min(self._longest(chunk.given, voice), request.longest)
        most = max(1, round(min(self._context - len(prompt), longest * rate)))
        loop, wanted = round(LOOP_SECONDS * rate), request.longest * self.codec.frame_rate
        seed = request.seed + number
        params = replace(request.rule, seed=seed, max_tokens=most, loop_window=loop)
        parts = (self.engine, self.vocabulary, self.codec, wanted)
        written = " ".join(request.text[slice(*chunk.span)].split())
        return Task(chunk.text, written, prompt, params, voice, self._before(voice), *parts)

    def _longest(self, text: str, voice: Voice | None) -> float:
        """Seconds after which a text must have ended: a slow reading of it, by this voice."""
        pace = self.settings.pace
        if voice is not None and self.capabilities.lm_clones and len(voice.codes):
            pace = max(pace, SLOWER * voice.seconds / Length().expected(voice.transcript))
        return pace * Length().expected(text) + GRACE

    def _part_voice(self, request: Request, number: int) -> Voice | None:
        """The voice of a part: the request's, or where it has none that of its first part."""
        if request.voice is not None or number == 0 or not self.capabilities.lm_clones:
            return request.voice
        first = request.parts[0]
        if first.cut:
            return None  # words and sound do not belong together
        rate = self.codec.frame_rate
        return Voice("first-part", request.chunks[0].given, first.codes, self.codec.id, rate)

    def _decode(self, codes: NDArray[np.int64], task: Task) -> Samples:
        """Sound of codes that are heard after those of a voice."""
        whole, start = np.concatenate([task.before, codes]), len(task.before)
        return self.codec.decode_from(whole, start, speaker_embedding=task.speaker_embedding)


load = Llasa.load
"""The same as `Llasa.load`."""


def load_codec(name_or_path: str | Path = DEFAULT_MODEL, device: str | None = None) -> Codec:
    """Open the codec of a shipped model or a model folder, a codec folder, or a hub id of one."""
    return Codec.load(find_codec(name_or_path), device)


def _each(value: Any, texts: Sequence[str], what: str) -> Sequence[Any]:
    """One value for each text: a list as it is, a single value repeated."""
    if isinstance(value, np.ndarray) and value.ndim == 1:
        value = value.tolist()
    if isinstance(value, list | tuple):
        if len(value) != len(texts):
            raise LlasaError(f"{len(texts)} texts but {len(value)} {what} were given.")
        return value
    return [value] * len(texts)


def _texts(value: Any) -> list[Any]:
    """The texts of a list, or of anything else that gives them."""
    if isinstance(value, bytes | Mapping) or not isinstance(value, Iterable):
        raise LlasaError(_no_text(value))
    return list(value)


def _no_text(value: object) -> str:
    advice = {"bytes": ": decode it", "PosixPath": ": read the file"}.get(type(value).__name__, "")
    return f"Text must be a string, or give strings, not {type(value).__name__}{advice}."

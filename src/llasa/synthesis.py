"""``Llasa``: text and a voice to speech; ties prompts, engine and codec together."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, overload

import numpy as np
from numpy.typing import NDArray

from llasa.audio import Audio, Samples
from llasa.codec.codec import Codec
from llasa.engine.base import Engine, generate
from llasa.engine.choice import open_engine
from llasa.engine.llama import read_config
from llasa.engine.sampling import SamplingParams
from llasa.errors import LlasaError
from llasa.identity import model_identity, variant_of
from llasa.model_folder import DEFAULT_MODEL, ModelFiles, check_fit, find_codec, find_model
from llasa.names import check_choice, number, whole
from llasa.request import Part, nothing_said, prepare_text, second_chance
from llasa.request import Request as Request
from llasa.search.run import Task
from llasa.search.strategies import Strategy, check_strategy
from llasa.speech import Speech
from llasa.text import MAX_CHARS, CleanText, split_text, unquoted
from llasa.vocabulary import Vocabulary
from llasa.voice import RANDOM, Voice
from llasa.voice_book import VoiceBook, VoiceLike

if TYPE_CHECKING:
    from llasa.codec.streaming import StreamSettings
    from llasa.streaming import AudioChunk

BATCH = 16
"""Sequences that run at the same time."""
CHAR_SECONDS = 0.1
"""Slow reading; used to see how much text fits into the context."""
FEW_CHARS = 10
"""Shorter sentences are not spoken alone where others stand by: small models babble on them."""
LONGEST = (3.0, 0.5)
"""Seconds, and seconds a character, after which a text must have ended."""


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
        normalize: bool = False,
        **sampling: Any,
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
        normalize: bool = False,
        **sampling: Any,
    ) -> list[Speech]: ...

    def __call__(
        self,
        text: str | Sequence[str],
        *,
        voice: VoiceLike | Sequence[VoiceLike] = None,
        seed: int | Sequence[int | None] | None = None,
        max_seconds: float | None = None,
        search: Strategy | None = None,
        normalize: bool = False,
        **sampling: Any,
    ) -> Speech | list[Speech]:
        """Speak a text, or a list of texts at the same time.

        A long text is spoken in parts, joined with short pauses; the voice stays the same.

        Args:
            text: up to 20,000 characters.
            voice: a name from `voices`, a voice file, a `Voice`, "random", or None for the
                model's default; for a list of texts also one for each.
            seed: repeats a result; drawn where it is None, and reported. For a list of texts also
                one for each; a single one is used for all, so that each repeats alone.
            max_seconds: cut the speech off there. A part always ends after 3 s and half a second
                a character, or when the context is full.
            search: a strategy, such as `functools.partial(llasa.best_of_n, n=16)`: each part is
                the best of several. The texts of a list are then spoken one after another.
            normalize: spell out numbers, dates, money, units and abbreviations first (needs the
                extra `normalize`, for Chinese `normalize-zh`).
            sampling: fields of `SamplingParams` (temperature, top_k, top_p, min_p,
                repetition_penalty, repetition_window) in place of the model's defaults.

        Raises `LlasaError` for bad input, or where the model says nothing at all.
        """
        texts = [text] if isinstance(text, str) else _texts(text)
        self._rule(sampling)  # also where there is no text
        settings = {"max_seconds": max_seconds, "normalize": normalize, **sampling}
        requests = [
            self.request(words, voice=one_voice, seed=one_seed, **settings)
            for words, one_voice, one_seed in zip(
                texts, _each(voice, texts, "voices"), _each(seed, texts, "seeds"), strict=True
            )
        ]
        speeches = self.speak(requests, search)
        return speeches[0] if isinstance(text, str) else speeches

    def speak(self, requests: Sequence[Request], search: Strategy | None = None) -> list[Speech]:
        """Speak what `request` made, see there."""
        began = time.perf_counter()
        check_strategy(search)
        if search is not None:
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
                    self._speak(stage[start : start + self.batch], began)
        return [request.speech(self.rate) for request in requests]

    def stream(
        self,
        text: str | Iterable[str],
        *,
        voice: VoiceLike = None,
        seed: int | None = None,
        max_seconds: float | None = None,
        search: Strategy | None = None,
        normalize: bool = False,
        decoding: StreamSettings | None = None,
        **sampling: Any,
    ) -> Iterator[AudioChunk]:
        """Speak a text and give its sound while it is being made.

        A text that comes in fragments, from a language model for instance, is spoken sentence by
        sentence: sound comes before the text ends. A string is spoken as by calling the object,
        the sound within what `StreamSettings` say. Closing the iterator early stops the work.

        Args:
            text: a string of up to 20,000 characters, or an iterable of strings of any length.
            search: each part comes when the best of several has been chosen.
            decoding: how codes are decoded; see `StreamSettings`.
            voice, seed, max_seconds, normalize, sampling: as for the call; one text, one value.

        Raises `LlasaError` for bad input, or where the model says nothing at all.
        """
        from llasa.streaming import stream

        if isinstance(text, bytes | Mapping) or not isinstance(text, Iterable):
            raise LlasaError(_no_text(text))
        check_strategy(search)
        settings = {"max_seconds": max_seconds, "normalize": normalize, **sampling}
        given = text if isinstance(text, str) else iter(text)
        request = self.request(given, voice=voice, seed=seed, **settings)
        return stream(self, request, search, decoding)

    def _rule(self, sampling: dict[str, Any]) -> SamplingParams:
        names = [n for n in SamplingParams.__dataclass_fields__ if n not in ("seed", "max_tokens")]
        for name in sampling:
            check_choice(name, ["voice", "seed", "max_seconds", "normalize", *names], "The setting")
        return replace(self._sampling, **sampling)

    def request(
        self,
        text: str | Iterator[str],
        *,
        voice: VoiceLike = None,
        seed: int | None = None,
        max_seconds: float | None = None,
        normalize: bool = False,
        max_chars: int | None = MAX_CHARS,
        **sampling: Any,
    ) -> Request:
        """Check a text and its settings and split it into parts; nothing is spoken yet.

        For those who check long before they speak, as a server does; see `__call__` for the
        arguments and errors. `speak` takes it, or `llasa.streaming.stream`; only the latter
        takes text that an iterator gives in fragments.
        """
        rule = self._rule(sampling)
        longest = float("inf")
        if max_seconds is not None and max_seconds != longest:
            longest = number("max_seconds", max_seconds, 0, above=True)
        if isinstance(text, Iterator):
            fragments, (clean, warnings) = text, CleanText("", [])
        else:
            fragments, (clean, warnings) = None, prepare_text(text, normalize, max_chars)
        found = self.voice(voice)
        seed = secrets.randbits(31) if seed is None else whole("seed", seed, 0)
        chunks = self.chunks(clean, found)
        return Request(clean, chunks, found, seed, rule, longest, warnings, normalize, fragments)

    def chunks(self, text: str, voice: Voice | None, alone: bool = True) -> list[str]:
        """The parts of a clean text, which is `alone` or will go on.

        A model that clones takes short sentences together, for its first part is the prompt of the
        others. One that does not speaks a sentence at a time, as it was trained.
        """
        room = self._context - len(self._prompt("a", voice))
        tokens = self.codec.frame_rate * CHAR_SECONDS + 1  # a character: its codes and its text
        limit = min(self.settings.chunk_chars, int(room / tokens))
        if limit < 1:
            raise LlasaError(
                f"Voice {voice.name if voice else RANDOM} takes so much of the model's "
                f"{self._context} tokens that no text fits: use a shorter recording."
            )
        if not self.settings.cloning:
            return split_text(text, limit, FEW_CHARS)
        chunks = split_text(text, limit)
        if (len(chunks) > 1 or not alone) and voice is None:
            # The first part will be the prompt of the others: leave as much room for it.
            chunks = split_text(text, max(1, min(limit, int(room / 2 / tokens))))
        return chunks

    def _prompt(self, text: str, voice: Voice | None) -> list[int]:
        read = str if self.settings.quotes else unquoted
        if voice is None:
            return self.vocabulary.tts_prompt(read(text))
        if not len(before := self._before(voice)):
            return self.vocabulary.tts_prompt(read(text), speaker=voice.speaker)
        return self.vocabulary.tts_prompt(read(text), read(voice.transcript), before, voice.speaker)

    def _before(self, voice: Voice | None) -> NDArray[np.int64]:
        """Codes that the language model goes on from."""
        if voice is None or not self.settings.cloning:
            return np.zeros(0, np.int64)
        return voice.codes

    def _speak(self, jobs: Sequence[tuple[Request, int]], began: float) -> None:
        """Speak parts of texts (request and number of the part) at the same time.

        One that ends at once gets a second chance.
        """
        tasks = [self.task(request, number) for request, number in jobs]
        with self.turn():
            done = generate(self.engine, [t.prompt for t in tasks], [t.params for t in tasks])
            empty = [n for n, generation in enumerate(done) if not generation.tokens]
            prompts, rules = [tasks[n].prompt for n in empty], [tasks[n].params for n in empty]
            again = generate(self.engine, prompts, list(map(second_chance, rules))) if empty else []
        for n, generation in zip(empty, again, strict=True):
            done[n] = generation
        for (request, _), task, generation in zip(jobs, tasks, done, strict=True):
            codes = self.vocabulary.ids_to_codes(generation.tokens)
            if not len(codes):
                raise nothing_said(task.text)
            samples = self._decode(codes, task)
            request.add(Part(task.text, codes, samples, generation.finish != "stop"), began)

    def search(self, request: Request, number: int, search: Strategy) -> Part:
        """One part as the best of several takes; `request` goes without it."""
        task = self.task(request, number)
        with self.turn():
            result = search(task)
        best = result.best
        if not len(best.codes):
            raise nothing_said(task.text, "in any take")
        return Part(task.text, best.codes, best.audio.samples, best.finish != "stop", result)

    def task(self, request: Request, number: int) -> Task:
        """What the model is asked for one part; all but the first may need `request.parts[0]`."""
        text, voice = request.chunks[number], self._part_voice(request, number)
        prompt = self._prompt(text, voice)
        fixed, per_char = LONGEST
        seconds = min(request.longest, fixed + per_char * len(text))
        most = max(1, min(self._context - len(prompt), round(seconds * self.codec.frame_rate)))
        params = replace(request.rule, seed=request.seed + number, max_tokens=most)
        parts = (self.engine, self.vocabulary, self.codec)
        return Task(text, prompt, params, voice, self._before(voice), *parts)

    def _part_voice(self, request: Request, number: int) -> Voice | None:
        """The voice of a part: the request's, or where it has none that of its first part."""
        if request.voice is not None or number == 0 or not self.settings.cloning:
            return request.voice
        first = request.parts[0]
        if first.cut:
            return None  # words and sound do not belong together
        rate = self.codec.frame_rate
        return Voice("first-part", first.text, first.codes, self.codec.id, rate)

    def _decode(self, codes: NDArray[np.int64], task: Task) -> Samples:
        """Sound of codes that are heard after those of a voice."""
        whole, start = np.concatenate([task.before, codes]), len(task.before)
        return self.codec.decode_from(whole, start, timbre=task.timbre)


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

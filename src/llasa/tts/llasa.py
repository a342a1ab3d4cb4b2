"""``Llasa``: text and a voice to speech; ties prompts, engine and codec together."""

from __future__ import annotations

import secrets
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, overload

from llasa.audio.audio import Audio
from llasa.base.errors import LlasaError
from llasa.base.files import folder_megabytes
from llasa.base.names import number, whole
from llasa.base.threads import threads_for
from llasa.codec.protocol import CodecLike
from llasa.codec.streaming import StreamSettings
from llasa.lm.config import read_config
from llasa.lm.engine import Engine
from llasa.lm.open_engine import open_engine
from llasa.models.capabilities import capabilities
from llasa.models.find import DEFAULT_MODEL, find_codec, find_model
from llasa.models.folder import ModelFiles, check_fit
from llasa.models.identity import model_identity, variant_of
from llasa.models.voice import Voice
from llasa.models.voices import VoiceBook, VoiceLike
from llasa.search.session import Task
from llasa.search.strategies import Strategy
from llasa.text import MAX_CHARS, Lexicon, Reading, check_text, user_lexicon
from llasa.text.languages import check_language, language_code
from llasa.tts.arguments import check_settings, check_texts, one_each, texts_of
from llasa.tts.check import with_check
from llasa.tts.parts import Memory, Part, speak_parts
from llasa.tts.prompts import Prompts
from llasa.tts.request import Request, TextSource
from llasa.tts.speech import Speech, SpeechBuilder
from llasa.tts.stream import AudioChunk, as_chunks
from llasa.tts.turn import Turn
from llasa.vocabulary.vocabulary import Vocabulary

if TYPE_CHECKING:
    from llasa.codec.codec import Codec

BATCH = 16
"""Sequences that run at the same time."""


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
        codec: CodecLike,
        variant: Mapping[str, object] | None = None,
        voices: VoiceBook | None = None,
        batch: int = BATCH,
    ) -> None:
        """Put the parts together; `load` finds and opens them.

        Args:
            variant: what else decides how it sounds, such as 8-bit weights, see `identity`.
            voices: the voices that it knows; by default those of the model and of the user.
            batch: parts of texts that are spoken at the same time.
        """
        self.files, self.settings = files, files.settings
        self.vocabulary, self.engine, self.codec = vocabulary, engine, codec
        self.capabilities = capabilities(files, codec)
        self.prompts = Prompts(files.settings, self.capabilities, vocabulary, engine, codec)
        self.batch = batch
        self._voices = voices or VoiceBook(files, codec)
        self._sampling = self.settings.rule()
        self._variant = variant or {}
        self._turn = Turn()

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
            engine: what runs the language model: torch, vllm (needs the extra `vllm`), or onnx,
                which runs the codec, too, and imports no PyTorch (needs the extra `onnx`).
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
        if engine == "onnx":
            return cls._open_onnx(files, device, int8, engine_options)
        from llasa.codec.codec import Codec

        vocabulary = Vocabulary.load(files.lm)
        sound = Codec.load(files.codec, device)
        check_fit(vocabulary, read_config(files.lm).vocab_size, sound)
        codes = range(vocabulary.speech_start, vocabulary.size)
        where = (files.lm, codes, [vocabulary.end], files.settings.max_tokens)
        lm = open_engine(*where, sound.device, int8, engine, engine_options)
        return cls(files, vocabulary, lm, sound, variant_of(int8, engine, engine_options))

    @classmethod
    def _open_onnx(
        cls,
        files: ModelFiles,
        device: str | None,
        int8: bool,
        options: Mapping[str, Any] | None,
    ) -> Llasa:
        """Of an ONNX export, which is made on first use; does not import PyTorch after that."""
        if device not in (None, "cpu") or int8 or options:
            raise LlasaError("The engine onnx runs on the CPU only, without int8 or options.")
        from llasa.codec.onnx import OnnxCodec
        from llasa.lm.onnx import OnnxEngine
        from llasa.models.export.exported import onnx_files

        files = onnx_files(files)
        threads = threads_for(folder_megabytes(files.lm))
        vocabulary, sound = Vocabulary.load(files.lm), OnnxCodec(files.codec, threads)
        check_fit(vocabulary, read_config(files.lm).vocab_size, sound)
        codes = range(vocabulary.speech_start, vocabulary.size)
        lm = OnnxEngine(files.lm, codes, [vocabulary.end], threads)
        return cls(files, vocabulary, lm, sound, variant_of(engine="onnx"))

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
        """16 hexadecimal digits of weights, settings, engine and precision: what decides a run."""
        return model_identity(self.files, self._variant)

    def with_parts(
        self, engine: Engine | None = None, codec: CodecLike | None = None, batch: int | None = None
    ) -> Llasa:
        """The same model with another engine, codec or batch; it takes turns of its own."""
        parts = (engine or self.engine, codec or self.codec, self._variant, self._voices)
        return Llasa(self.files, self.vocabulary, *parts, batch or self.batch)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """A loaded model is neither pickled nor copied."""
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
        texts = [text] if isinstance(text, str) else texts_of(text)
        check_settings(settings)  # even for no text
        search = with_check(search, check, tries, self.spoken_language(settings.get("language")))
        requests = [
            self.request(words, voice=one_voice, seed=one_seed, max_seconds=max_seconds, **settings)
            for words, one_voice, one_seed in zip(
                texts, one_each(voice, texts, "voices"), one_each(seed, texts, "seeds"), strict=True
            )
        ]
        speeches = self.speak(requests, search)
        return speeches[0] if isinstance(text, str) else speeches

    def speak(self, requests: Sequence[Request], search: Strategy | None = None) -> list[Speech]:
        """Speak what `request` made, see there."""
        began = time.perf_counter()
        speeches = [SpeechBuilder(request, began) for request in requests]
        with closing(self.parts(requests, search)) as parts:
            for place, part in parts:
                speeches[place].add(part)
        return [speech.speech(self.rate) for speech in speeches]

    def parts(
        self,
        requests: Sequence[Request],
        search: Strategy | None = None,
        *,
        decoding: StreamSettings | None = None,
        memory: Memory | None = None,
        lenient: bool = False,
    ) -> Generator[tuple[int, Part]]:
        """The parts of what `request` made as they are spoken; see `speak_parts`."""
        return speak_parts(
            self.prompts,
            requests,
            search,
            batch=self.batch,
            turn=self._turn,
            decoding=decoding,
            memory=memory,
            lenient=lenient,
        )

    def chunks(
        self,
        request: Request,
        search: Strategy | None = None,
        decoding: StreamSettings | None = None,
    ) -> Iterator[AudioChunk]:
        """Speak what `request` made while its sound, or even its text, is still coming."""
        parts = self.parts([request], search, decoding=decoding or StreamSettings())
        return as_chunks(parts, request, self.rate)

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
        check_texts(text)
        search = with_check(search, check, tries, self.spoken_language(settings.get("language")))
        given = text if isinstance(text, str) else iter(text)
        request = self.request(given, voice=voice, seed=seed, max_seconds=max_seconds, **settings)
        return self.chunks(request, search, decoding)

    def spoken_language(self, language: str | None) -> str:
        """The language that a check listens for: the one given, or that of the model."""
        return language_code(language) or self.capabilities.language

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

        For those who check long before they speak, as a server does. `speak` and `chunks` take it;
        text that an iterator gives in fragments is for `chunks`.

        Args:
            normalize: spell out numbers, dates, money, units, signs and abbreviations.
            language: of what is spelled out: en, de, fr, es, or zh (needs the extra
                `normalize-zh`), and of what a check listens for; by default the one that the model
                speaks, of several English, Chinese where the letters are.
            format_in: text, or markdown.
            lexicon: words and how they are said, before those of the user's lexicons.
            text, voice, seed, max_seconds, sampling: see `__call__`, also for the errors.
        """
        check_settings(sampling)
        rule = replace(self._sampling, **sampling)
        longest = float("inf")
        if max_seconds is not None and max_seconds != longest:
            longest = number("max_seconds", max_seconds, 0, above=True)
        language = language or self.capabilities.only_language
        reading = Reading.of(normalize, language, format_in, lexicon)
        reading = replace(reading, lexicon=self.lexicon | reading.lexicon)
        judge = partial(check_language, model=self.name, languages=self.capabilities.languages)
        warnings: list[str] = []
        if not isinstance(text, Iterator):
            check_text(text, max_chars)
            warnings = judge(text, force=force)
        found = self.voice(voice)
        seed = secrets.randbits(31) if seed is None else whole("seed", seed, 0)
        if isinstance(text, Iterator):
            script = self.prompts.script(reading, found, arriving=True)
            source = TextSource(script, text, lambda part, go_on: judge(part, force=force or go_on))
        else:
            source = self.prompts.whole_text(text, reading, found, warnings)
        return Request(source, found, seed, rule, longest)

    def task(self, request: Request, number: int = 0) -> Task:
        """What the model is asked for a part, for search; without a first part as its prompt."""
        return self.prompts.task(request, number, request.voice)

    @cached_property
    def lexicon(self) -> Lexicon:
        """The user's lexicons, read once."""
        return user_lexicon()


load = Llasa.load
"""The same as `Llasa.load`."""


def load_codec(name_or_path: str | Path = DEFAULT_MODEL, device: str | None = None) -> Codec:
    """Open the codec of a shipped model or a model folder, a codec folder, or a hub id of one."""
    from llasa.codec.codec import Codec

    return Codec.load(find_codec(name_or_path), device)

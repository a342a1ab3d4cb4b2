"""``Llasa``: text and a voice to speech; ties prompts, engine and codec together."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Unpack, overload

from llasa.codec.streaming import StreamSettings
from llasa.models.find import DEFAULT_MODEL, find_model
from llasa.models.folder import ModelFiles
from llasa.models.voices import VoiceLike
from llasa.search.session import Task
from llasa.search.strategies import Strategy
from llasa.text import MAX_CHARS, check_text
from llasa.text.languages import language_code
from llasa.tts.arguments import (
    RequestOptions,
    SpeakOptions,
    check_settings,
    check_texts,
    one_each,
    split_options,
    texts_of,
    with_cast,
)
from llasa.tts.check import chosen_strategy
from llasa.tts.chunks import AudioChunk, as_chunks
from llasa.tts.loaded import LoadedModel
from llasa.tts.open_model import open_model
from llasa.tts.parts import Memory, Part, speak_parts
from llasa.tts.request import Request
from llasa.tts.speech import Speech, SpeechBuilder


class Llasa(LoadedModel):
    """A model that speaks.

        tts = Llasa.load()
        tts("Hello, world.", seed=1).save("hello.wav")

    Threads may share it: their calls wait for each other. A process that was forked after it was
    loaded cannot use it.
    """

    @classmethod
    def load(
        cls,
        name_or_path: str | Path = DEFAULT_MODEL,
        codec: str | Path | None = None,
        device: str | None = None,
        int8: bool = False,
        engine: str = "torch",
        engine_options: Mapping[str, Any] | None = None,
        fast: bool = False,
    ) -> Llasa:
        """Open a model.

        Args:
            name_or_path: a shipped model's name, a model folder, a folder with a language model
                only (then `codec` is needed), or a released model's hub id, which is downloaded.
            codec: codec folder or hub id in place of the model's own.
            device: cpu, cuda, cuda:1, mps; by default a GPU where CUDA finds one.
            int8: 8-bit weights of the language model, on the CPU only: faster, not exact.
            engine: torch, vllm (extra `vllm`), or onnx, without PyTorch (extra `onnx`).
            engine_options: settings of vLLM, see `VllmEngine`.
            fast: the language model's products on the CPU in bfloat16, 8 bits or float32, whichever
                this machine is measured to be fastest in. Otherwise (exact) in float32, by which a
                seed gives the same codes each time.

        Raises `LlasaError` where the model is unknown, damaged, or its parts do not fit.
        """
        return cls.open(find_model(name_or_path, codec), device, int8, engine, engine_options, fast)

    from_pretrained = load

    @classmethod
    def open(
        cls,
        files: ModelFiles,
        device: str | None = None,
        int8: bool = False,
        engine: str = "torch",
        engine_options: Mapping[str, Any] | None = None,
        fast: bool = False,
    ) -> Llasa:
        """Open a model that `find_model` found; see `load`."""
        return cls(*open_model(files, device, int8, engine, engine_options, fast))

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a string is a sequence of strings
        self,
        text: str,
        *,
        voice: VoiceLike = None,
        seed: int | None = None,
        **options: Unpack[SpeakOptions],
    ) -> Speech: ...

    @overload
    def __call__(
        self,
        text: Sequence[str],
        *,
        voice: VoiceLike | Sequence[VoiceLike] = None,
        seed: int | Sequence[int | None] | None = None,
        **options: Unpack[SpeakOptions],
    ) -> list[Speech]: ...

    def __call__(
        self,
        text: str | Sequence[str],
        *,
        voice: VoiceLike | Sequence[VoiceLike] = None,
        seed: int | Sequence[int | None] | None = None,
        **options: Unpack[SpeakOptions],
    ) -> Speech | list[Speech]:
        """Speak a text, or a list of texts at the same time.

        A long text is spoken in parts, joined with short pauses; the voice stays the same.

        Args:
            text: up to 20,000 characters.
            voice: a name from `voices`, a voice file, a recording (see `clone`), a `Voice`,
                "random", or None for the model's default; for a list of texts also one for each.
            seed: repeats a result; drawn where it is None, and reported. For a list of texts also
                one for each; a single one is used for all, so that each repeats alone.
            speed: 0.25 to 4, at the same pitch; 2 is twice as fast.
            pause: seconds of silence between sentences, in place of what their ends suggest.
            max_seconds: cut the speech off there. Without that, a part that is stuck in a loop or
                much longer than its text takes is spoken once more with another seed, then cut
                off, with a warning.
            best_of: speak each part so many times and keep the one in which a recogniser hears
                the words best (needs the extra `search`). The texts of a list are then spoken one
                after another.
            search: another strategy, such as `functools.partial(llasa.beam, beams=4)`.
            check: have each sentence heard by a recogniser, and speak one that is not right again,
                up to `tries` times in all (see `llasa.Checked`; needs the extra `search`).
            options: these, how the text is read and what is refused, see `request` (normalize,
                language, format_in, lexicon, force), and fields of `SamplingParams` (temperature,
                top_k, top_p, min_p, repetition_penalty, repetition_window) in place of the model's
                defaults.

        Raises `LlasaError` for bad input, or where the model says nothing at all.
        """
        texts = [text] if isinstance(text, str) else texts_of(text)
        search, settings = self.strategy(options)
        requests = [
            self.request(words, voice=one_voice, seed=one_seed, **settings)
            for words, one_voice, one_seed in zip(
                texts, one_each(voice, texts, "voices"), one_each(seed, texts, "seeds"), strict=True
            )
        ]
        speeches = self.speak(requests, search)
        return speeches[0] if isinstance(text, str) else speeches

    def speak(self, requests: Sequence[Request], search: Strategy | None = None) -> list[Speech]:
        """Speak what `request` made, see there."""
        began = time.perf_counter()
        speeches = [SpeechBuilder(request, began, self.timer) for request in requests]
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
        return as_chunks(parts, request, self.timer, self.rate)

    def stream(
        self,
        text: str | Iterable[str],
        *,
        voice: VoiceLike = None,
        seed: int | None = None,
        decoding: StreamSettings | None = None,
        **options: Unpack[SpeakOptions],
    ) -> Iterator[AudioChunk]:
        """Speak a text and give its sound while it is being made.

        A text that comes in fragments, from a language model for instance, is spoken sentence by
        sentence: sound comes before the text ends. A string is spoken as by calling the object,
        the sound within what `StreamSettings` say. Closing the iterator early stops the work.

        Args:
            text: a string of up to 20,000 characters, or an iterable of strings of any length.
            decoding: how codes are decoded; see `StreamSettings`.
            voice, seed, options: as for the call; one text, one value. With best_of, search or
                check each part comes when the best of several has been chosen. A part that does not
                end is cut off where it has been heard already.

        Raises `LlasaError` for bad input, or where the model says nothing at all.
        """
        check_texts(text)
        search, settings = self.strategy(options)
        given = text if isinstance(text, str) else iter(text)
        request = self.request(given, voice=voice, seed=seed, **settings)
        return self.chunks(request, search, decoding)

    def strategy(self, options: SpeakOptions) -> tuple[Strategy | None, RequestOptions]:
        """How the best way of saying a text is found, and the options that are left."""
        searching, settings = split_options(options)  # even for no text
        language = self.spoken_language(settings.get("language"))
        return chosen_strategy(language, **searching), settings

    def spoken_language(self, language: str | None) -> str:
        """The language that a check listens for: the one given, or that of the model."""
        return language_code(language) or self.capabilities.language

    def request(
        self,
        text: str | Iterator[str],
        *,
        voice: VoiceLike = None,
        seed: int | None = None,
        max_chars: int | None = MAX_CHARS,
        **options: Unpack[RequestOptions],
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
            cast: voices by name, for a script (see `read_dialogue`) with lines as "ANNA: Hello.";
                an empty one is of a name that is no speaker's. `voice` says what comes before.
            text, voice, seed, and other options: see `__call__`, also for the errors.
        """
        check_settings(options, RequestOptions)
        if not isinstance(text, Iterator):
            check_text(text, max_chars)
        settings = with_cast(options, self.voice)
        return self.prompts.request(text, self.voice(voice), seed, **settings)

    def task(self, request: Request, number: int = 0) -> Task:
        """What the model is asked for a part, for search; without a first part as its prompt."""
        return self.prompts.task(request, number, request.voice)


load = from_pretrained = Llasa.load
"""The same as `Llasa.load`."""

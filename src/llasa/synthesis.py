"""``Llasa``: text and a voice to speech; ties prompts, engine and codec together."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray

from llasa.audio import Audio, Samples
from llasa.codec.codec import Codec
from llasa.codec.streaming import StreamingDecoder
from llasa.engine.base import Engine, Generation, generate
from llasa.engine.llama import load_llama
from llasa.engine.sampling import SamplingParams
from llasa.engine.torch import TorchEngine
from llasa.errors import LlasaError
from llasa.model_folder import DEFAULT_MODEL, ModelFiles, check_fit, find_codec, find_model
from llasa.names import did_you_mean
from llasa.speech import FinishReason, Speech
from llasa.text import clean_text, split_text
from llasa.vocabulary import Vocabulary
from llasa.voice import RANDOM, Voice
from llasa.voice_book import VoiceBook, VoiceLike

BATCH = 16
"""Sequences that run at the same time."""
PAUSE_SECONDS = 0.15
"""Silence between the parts of a long text."""
CONTEXT_SECONDS = 3.0
"""Prompt decoded before each part and cut off again: the decoder needs what came before."""
CHAR_SECONDS = 0.1
"""Slow reading; used to see how much text fits into the context."""
LONGEST = (3.0, 0.5)
"""Seconds, and seconds a character, after which a text must have ended."""
_SEED_BITS = 31


@dataclass
class Part:
    """A stretch of the text that is spoken in one go."""

    text: str
    codes: NDArray[np.int64]
    samples: Samples
    cut: bool


@dataclass
class Request:
    """One text on its way."""

    text: str
    chunks: list[str]
    voice: Voice | None
    seed: int
    rule: SamplingParams
    """How tokens are chosen; each part has its own seed and length."""
    longest: float
    """Most seconds of one part."""
    warnings: list[str]
    parts: list[Part] = field(default_factory=list)
    first_audio: float = 0.0
    total: float = 0.0


class Llasa:
    """A model that speaks.

        tts = Llasa.load()
        tts("Hello, world.", seed=1).save("hello.wav")

    Not thread-safe: one caller at a time.
    """

    def __init__(
        self, files: ModelFiles, vocabulary: Vocabulary, engine: Engine, codec: Codec
    ) -> None:
        """Put the parts together; `load` finds and opens them."""
        self.files = files
        self.settings = files.settings
        self.vocabulary = vocabulary
        self.engine = engine
        self.codec = codec
        self._voices = VoiceBook(files, codec.id)
        self._context = min(engine.context, self.settings.max_tokens)
        self._sampling = self.settings.rule()

    @classmethod
    def load(
        cls,
        name_or_path: str | Path = DEFAULT_MODEL,
        codec: str | Path | None = None,
        device: str | None = None,
        int8: bool = False,
    ) -> Llasa:
        """Open a model.

        Args:
            name_or_path: a shipped model's name, a model folder, a folder with a language model
                only (then `codec` is needed), or the hub id of a released model, which is
                downloaded.
            codec: codec folder or hub id in place of the model's own.
            device: cpu, cuda, cuda:1, mps; by default a GPU where CUDA finds one.
            int8: 8-bit weights of the language model, on the CPU only: faster, not exact.

        Raises `LlasaError` where the model is unknown, damaged, or its parts do not fit.
        """
        return cls.open(find_model(name_or_path, codec), device, int8)

    @classmethod
    def open(cls, files: ModelFiles, device: str | None = None, int8: bool = False) -> Llasa:
        """Open a model that `find_model` found; see `load`."""
        vocabulary = Vocabulary.load(files.lm)
        sound = Codec.load(files.codec, device)
        dtype = torch.float32 if sound.device.type == "cpu" else torch.bfloat16
        model = load_llama(files.lm, dtype, sound.device)
        check_fit(vocabulary, model.config.vocab_size, sound)
        codes = range(vocabulary.speech_start, vocabulary.size)
        engine = TorchEngine(model, codes, [vocabulary.end], int8)
        return cls(files, vocabulary, engine, sound)

    @property
    def name(self) -> str:
        """The model's name."""
        return self.settings.name

    @property
    def rate(self) -> int:
        """Samples a second of what it speaks."""
        return self.codec.sample_rate

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

    # -- speaking -------------------------------------------------------------------------

    @overload
    def __call__(
        self,
        text: str,
        *,
        voice: VoiceLike = None,
        seed: int | None = None,
        max_seconds: float | None = None,
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
        **sampling: Any,
    ) -> list[Speech]: ...

    def __call__(
        self,
        text: str | Sequence[str],
        *,
        voice: VoiceLike | Sequence[VoiceLike] = None,
        seed: int | Sequence[int | None] | None = None,
        max_seconds: float | None = None,
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
            sampling: fields of `SamplingParams` (temperature, top_k, top_p, min_p,
                repetition_penalty, repetition_window) in place of the model's defaults.

        Raises `LlasaError` for bad input, or where the model says nothing at all.
        """
        began = time.perf_counter()
        texts = [text] if isinstance(text, str) else list(text)
        self._rule(sampling)  # also where there is no text
        requests = [
            self.request(words, one_voice, one_seed, max_seconds, **sampling)
            for words, one_voice, one_seed in zip(
                texts, _each(voice, texts, "voices"), _each(seed, texts, "seeds"), strict=True
            )
        ]
        # The first part of every text comes first: it is heard first, and where no voice is given
        # it is the prompt that keeps the voice of the others.
        first = [(request, 0) for request in requests]
        others = [(r, number) for r in requests for number in range(1, len(r.chunks))]
        for stage in (first, others):
            for start in range(0, len(stage), BATCH):
                self._speak(stage[start : start + BATCH], began)
        speeches = [self._speech(request, max_seconds) for request in requests]
        return speeches[0] if isinstance(text, str) else speeches

    def _rule(self, sampling: dict[str, Any]) -> SamplingParams:
        valid = [name for name in SamplingParams.__dataclass_fields__ if name not in _OWN]
        for name in sampling:
            if name not in valid:
                raise LlasaError(
                    f"{name} is no setting of speech: valid are voice, seed, max_seconds, "
                    f"{', '.join(valid)}.{did_you_mean(name, valid)}"
                )
        return replace(self._sampling, **sampling)

    def request(
        self,
        text: str,
        voice: VoiceLike = None,
        seed: int | None = None,
        max_seconds: float | None = None,
        **sampling: Any,
    ) -> Request:
        """Check a text and its settings and split it into parts; nothing is spoken yet.

        For those who run the engine themselves, as a server does: `prompt` says how a part begins
        and `part` what came of it. Arguments and errors are those of a call.
        """
        clean, warnings = clean_text(text)
        rule = self._rule(sampling)
        if max_seconds is not None and not max_seconds > 0:
            raise LlasaError(f"max_seconds must be above 0, not {max_seconds}.")
        found = self.voice(voice)
        if seed is None:
            seed = secrets.randbits(_SEED_BITS)
        elif isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise LlasaError(f"seed is {seed!r}; give a whole number of at least 0.")
        room = self._context - len(self._prompt("a", found))
        tokens = self.codec.frame_rate * CHAR_SECONDS + 1  # a character: its codes and its text
        limit = min(self.settings.chunk_chars, int(room / tokens))
        if limit < 1:
            raise LlasaError(
                f"Voice {found.name if found else RANDOM} takes so much of the model's "
                f"{self._context} tokens that no text fits: use a shorter recording."
            )
        chunks = split_text(clean, limit)
        if len(chunks) > 1 and found is None and self.settings.cloning:
            # The first part will be the prompt of the others: leave as much room for it.
            chunks = split_text(clean, max(1, min(limit, int(room / 2 / tokens))))
        longest = float("inf") if max_seconds is None else max_seconds
        return Request(clean, chunks, found, seed, rule, longest, warnings)

    def _prompt(self, text: str, voice: Voice | None) -> list[int]:
        if voice is None:
            return self.vocabulary.tts_prompt(text)
        if not len(voice.codes):
            return self.vocabulary.tts_prompt(text, speaker=voice.speaker)
        return self.vocabulary.tts_prompt(text, voice.transcript, voice.codes, voice.speaker)

    def _speak(self, jobs: Sequence[tuple[Request, int]], began: float) -> None:
        """Speak parts of texts (request and number of the part) at the same time."""
        starts = [self.prompt(request, number) for request, number in jobs]
        results = self._generate([prompt for prompt, _ in starts], [rule for _, rule in starts])
        for (request, number), result in zip(jobs, results, strict=True):
            request.parts.append(self.part(request, number, result))
            request.total = time.perf_counter() - began
            if number == 0:
                request.first_audio = request.total

    def prompt(self, request: Request, number: int) -> tuple[list[int], SamplingParams]:
        """How a part of a request begins, and the rule it goes on by.

        All but the first may need `request.parts[0]`.
        """
        chunk = request.chunks[number]
        prompt = self._prompt(chunk, self._part_voice(request, number))
        limit = self._limit(request, number, prompt)
        return prompt, replace(request.rule, seed=request.seed + number, max_tokens=limit)

    def part(self, request: Request, number: int, result: Generation, heard: bool = False) -> Part:
        """The finished part that came of its `prompt`; `LlasaError` where that is nothing.

        A part that was `heard`, by way of its `decoder`, is not decoded again.
        """
        chunk = request.chunks[number]
        if not result.tokens:
            raise LlasaError(
                f"The model said nothing for {_shortened(chunk)!r}, twice: try another seed, "
                "another voice or more words."
            )
        codes = self.vocabulary.ids_to_codes(result.tokens)
        samples: Samples = np.zeros(0, np.float32)
        if not heard:
            samples = self._decode(codes, self._part_voice(request, number))
        return Part(chunk, codes, samples, result.finish != "stop")

    def decoder(self, request: Request, number: int) -> StreamingDecoder:
        """What makes the sound of a part while its codes arrive."""
        return StreamingDecoder(
            self.codec, before=self._sound_before(self._part_voice(request, number))
        )

    def _part_voice(self, request: Request, number: int) -> Voice | None:
        """The voice of a part: the request's, or where it has none that of its first part."""
        if request.voice is not None or number == 0 or not self.settings.cloning:
            return request.voice
        first = request.parts[0]
        if first.cut:
            return None  # words and sound do not belong together
        rate = self.codec.frame_rate
        return Voice("first-part", first.text, first.codes, self.codec.id, rate)

    def _limit(self, request: Request, number: int, prompt: Sequence[int]) -> int:
        """Most tokens of a part."""
        fixed, per_char = LONGEST
        seconds = min(request.longest, fixed + per_char * len(request.chunks[number]))
        room = self._context - len(prompt)
        return max(1, min(room, round(seconds * self.codec.frame_rate)))

    def _generate(
        self, prompts: Sequence[Sequence[int]], rules: Sequence[SamplingParams]
    ) -> list[Generation]:
        """Run sequences to their ends; one that ends at once gets a second chance."""
        done = generate(self.engine, prompts, rules)
        empty = [index for index, generation in enumerate(done) if not generation.tokens]
        if empty:
            again = [second_chance(rules[i]) for i in empty]
            for i, generation in zip(
                empty, generate(self.engine, [prompts[i] for i in empty], again), strict=True
            ):
                done[i] = generation
        return done

    def _decode(self, codes: NDArray[np.int64], voice: Voice | None) -> Samples:
        before = self._sound_before(voice)
        (samples,) = self.codec.decode([np.concatenate([before, codes])])
        return samples[len(before) * self.codec.hop :]

    def _sound_before(self, voice: Voice | None) -> NDArray[np.int64]:
        """Codes that a part is decoded after."""
        frames = round(CONTEXT_SECONDS * self.codec.frame_rate)
        return np.zeros(0, np.int64) if voice is None else voice.codes[-frames:]

    def _speech(self, request: Request, max_seconds: float | None) -> Speech:
        pause = np.zeros(round(PAUSE_SECONDS * self.rate), dtype=np.float32)
        pieces: list[Samples] = []
        for part in request.parts:
            pieces += [pause, part.samples] if pieces else [part.samples]
        samples = np.concatenate(pieces)
        cut = any(part.cut for part in request.parts)
        if max_seconds is not None and len(samples) > max_seconds * self.rate:
            samples, cut = samples[: max(1, round(max_seconds * self.rate))], True
        finish: FinishReason = "length" if cut else "stop"
        return Speech(
            audio=Audio(samples.clip(-1, 1), self.rate),
            text=request.text,
            voice=request.voice.name if request.voice else None,
            seed=request.seed,
            codes=np.concatenate([part.codes for part in request.parts]),
            finish_reason=finish,
            first_audio=request.first_audio,
            total=request.total,
            warnings=tuple(request.warnings),
        )


load = Llasa.load
"""The same as `Llasa.load`."""


def load_codec(name_or_path: str | Path = DEFAULT_MODEL, device: str | None = None) -> Codec:
    """Open the codec of a shipped model or a model folder, a codec folder, or a hub id of one."""
    return Codec.load(find_codec(name_or_path), device)


_OWN = ("seed", "max_tokens")
"""Sampling settings that `Llasa` sets itself."""
_RETRY = 1 << 20
"""Between a seed and that of its second try, more than a text has parts."""


def second_chance(rule: SamplingParams) -> SamplingParams:
    """How a part that ended at once is tried again."""
    return replace(rule, seed=rule.seed + _RETRY)


def _each(value: Any, texts: Sequence[str], what: str) -> Sequence[Any]:
    """One value for each text: a list as it is, a single value repeated."""
    if isinstance(value, list | tuple):
        if len(value) != len(texts):
            raise LlasaError(f"{len(texts)} texts but {len(value)} {what} were given.")
        return value
    return [value] * len(texts)


def _shortened(text: str, length: int = 40) -> str:
    return text if len(text) <= length else f"{text[:length]}..."

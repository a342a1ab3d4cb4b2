"""A Llasa model that was trained to hear, as a recogniser (paper table 3)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from llasa.audio.audio import Audio, Samples, read_audio
from llasa.base.errors import LlasaError
from llasa.codec.protocol import CodecLike
from llasa.lm.engine import Engine, generate
from llasa.lm.open_engine import open_engine
from llasa.lm.sampling import SamplingParams
from llasa.models.capabilities import capabilities
from llasa.models.find import find_model
from llasa.models.folder import ModelFiles, check_fit
from llasa.verifiers.asr.base import Transcript, in_pieces
from llasa.verifiers.base import RATE, speech
from llasa.verifiers.inference import BATCH, LazyModel
from llasa.vocabulary.vocabulary import Vocabulary

if TYPE_CHECKING:
    from llasa.codec.codec import Codec

LONGEST = 20.0
"""Seconds in one go; training rows are seldom longer."""
TOKENS_PER_SECOND, SPARE_TOKENS = 25.0, 16
"""Bytes of fast speech: no transcript is longer, so that one that loops ends."""
LOOP = 48
"""Tokens that mostly repeat each other, at which a transcript ends."""


class Parts(NamedTuple):
    """What a model hears with."""

    vocabulary: Vocabulary
    engine: Engine
    codec: Codec


class LlamaRecognizer(LazyModel):
    """Greedy transcripts by a Llama that continues speech tokens with text.

    Only text ids and the end of a transcript can be chosen; a recording of any length is heard in
    pieces of at most 20 s that fit into the model's context.

    Args:
        source: model folder, name or hub id, or a model that `find_model` found.
        device: cpu, cuda, mps; by default a GPU where CUDA finds one.
        codec: the model's own codec, where it is already open; the model then runs where it does.

    Raises `LlasaError` where the model was not trained to hear.
    """

    family = "llasa"

    def __init__(
        self,
        source: str | Path | ModelFiles,
        device: str | None = None,
        codec: CodecLike | None = None,
    ) -> None:
        found = source if isinstance(source, ModelFiles) else find_model(source)
        named = str(found.settings.name if isinstance(source, ModelFiles) else source)
        super().__init__(named)
        able = capabilities(found)
        able.check_hearing()
        self.files, self.language, self.name = found, able.language, f"llasa:{named}"
        self._device, self._codec = device, codec

    @cached_property
    def model(self) -> Parts:
        """Vocabulary, engine that writes text, and codec."""
        from llasa.codec.codec import Codec
        from llasa.lm.config import read_config

        files = self.files
        codec = self._codec or Codec.load(files.codec, self._device)
        if not isinstance(codec, Codec):
            raise LlasaError("The engine onnx only speaks: load the model with the engine torch.")
        vocabulary = Vocabulary.load(files.lm)
        check_fit(vocabulary, read_config(files.lm).vocab_size, codec)
        text, ends, most = vocabulary.text_ids, [vocabulary.text_end], files.settings.max_tokens
        return Parts(vocabulary, open_engine(files.lm, text, ends, most, codec.device), codec)

    @property
    def longest(self) -> float:
        """Seconds that fit into the context with their words, `LONGEST` at the most."""
        vocabulary, engine, codec = self.model
        context = min(engine.context, self.files.settings.max_tokens)
        room = context - len(vocabulary.asr_prompt([])) - SPARE_TOKENS - 1
        return min(LONGEST, room / (codec.frame_rate + TOKENS_PER_SECOND))

    def hear(self, audio: str | Path | Audio) -> Transcript:
        """The words of a recording of any length, a file or sound."""
        sound = audio if isinstance(audio, Audio) else read_audio(audio)
        return self.transcribe([speech(sound)])[0]

    def transcribe(self, clips: Sequence[Samples]) -> list[Transcript]:
        """One transcript a clip of 16 kHz speech."""
        return in_pieces(clips, self.longest, self._transcribe)

    def _transcribe(self, clips: Sequence[Samples]) -> list[Transcript]:
        found: list[Transcript] = []
        for start in range(0, len(clips), BATCH):
            found += self._batch(clips[start : start + BATCH])
        return found

    def _batch(self, clips: Sequence[Samples]) -> list[Transcript]:
        vocabulary, engine, codec = self.model
        prompts = [vocabulary.asr_prompt(codes) for codes in codec.encode(clips, RATE)]
        rules = [
            SamplingParams(
                temperature=0,
                max_tokens=int(len(clip) / RATE * TOKENS_PER_SECOND) + SPARE_TOKENS,
                loop_window=LOOP,
            )
            for clip in clips
        ]
        return [
            Transcript(vocabulary.decode_text(g.tokens), g.logprob / (len(g.tokens) + 1))
            for g in generate(engine, prompts, rules)
        ]

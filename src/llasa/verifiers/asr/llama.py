"""A Llasa model that was trained to hear, as a recogniser (paper table 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
SHORTEST = 1.0
"""Seconds in one go below which a context is too small to hear with."""
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
        variant: how a model runs that speaks beside this one (`variant_of`): this one runs alike.

    Raises `LlasaError` where the model was not trained to hear, when it is opened also where its
    context is too small, or the one beside it runs on another engine than torch.
    """

    family = "llasa"

    def __init__(
        self,
        source: str | Path | ModelFiles,
        device: str | None = None,
        codec: CodecLike | None = None,
        variant: Mapping[str, object] | None = None,
    ) -> None:
        found = source if isinstance(source, ModelFiles) else find_model(source)
        named = str(found.settings.name if isinstance(source, ModelFiles) else source)
        super().__init__(named, device)
        able = capabilities(found)
        able.check_hearing()
        self.files, self.language, self.name = found, able.language, f"llasa:{named}"
        self._codec, self._variant = codec, variant or {}

    @cached_property
    def model(self) -> Parts:
        """Vocabulary, engine that writes text, and codec."""
        from llasa.codec.codec import Codec
        from llasa.lm.config import read_config

        files, engine = self.files, self._variant.get("engine", "torch")
        if engine != "torch":
            raise LlasaError(f"The engine {engine} only speaks: load the model with torch to hear.")
        codec = self._codec or Codec.load(files.codec, self.device)
        if not isinstance(codec, Codec):
            raise LlasaError("A codec of ONNX only speaks: load the model with torch to hear.")
        vocabulary = Vocabulary.load(files.lm)
        check_fit(vocabulary, read_config(files.lm).vocab_size, codec)
        text, ends, most = vocabulary.text_ids, [vocabulary.text_end], files.settings.max_tokens
        int8 = bool(self._variant.get("int8"))
        lm = open_engine(files.lm, text, ends, most, codec.device, int8)
        parts = Parts(vocabulary, lm, codec)
        if (seconds := self._room(parts)) < SHORTEST:
            raise LlasaError(
                f"Model {files.settings.name} cannot hear: {max(0.0, seconds):.1f} s fit into its "
                f"context of {min(lm.context, most)} tokens, and {SHORTEST:g} s are needed."
            )
        return parts

    def _room(self, parts: Parts) -> float:
        """Seconds that fit into the context with their words."""
        context = min(parts.engine.context, self.files.settings.max_tokens)
        room = context - len(parts.vocabulary.asr_prompt([])) - SPARE_TOKENS - 1
        return room / (parts.codec.frame_rate + TOKENS_PER_SECOND)

    @property
    def longest(self) -> float:
        """Seconds that are heard in one go: what fits into the context, `LONGEST` at the most."""
        return min(LONGEST, self._room(self.model))

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
            Transcript(
                vocabulary.decode_text(g.tokens),
                g.logprob / (len(g.tokens) + 1),
                complete=g.finish == "stop",
            )
            for g in generate(engine, prompts, rules)
        ]

"""``LoadedModel``: an opened model, put together from its parts: its names, voices and hearing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import NoReturn, Self

from llasa.audio.audio import Audio
from llasa.base.errors import LlasaError
from llasa.codec.protocol import CodecLike
from llasa.lm.engine import Engine
from llasa.models.folder import ModelFiles
from llasa.models.identity import file_identity, model_identity
from llasa.models.publish import publish
from llasa.models.voice import Voice
from llasa.models.voices import VoiceBook, VoiceLike, recording_file
from llasa.tts.prompts import Prompts
from llasa.tts.recordings import cloned
from llasa.tts.timing import Timer
from llasa.tts.turn import Turn
from llasa.verifiers.asr.base import Transcript
from llasa.verifiers.asr.llama import LlamaRecognizer
from llasa.vocabulary.vocabulary import Vocabulary

BATCH = 16
"""Sequences that run at the same time."""


class LoadedModel:
    """A model in memory. `Llasa` is one that speaks."""

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
        """Put the parts together; `Llasa.load` finds and opens them.

        Args:
            variant: what else decides how it sounds, such as 8-bit weights, see `identity`.
            voices: the voices that it knows; by default those of the model and of the user.
            batch: parts of texts that are spoken at the same time.
        """
        self.files, self.settings = files, files.settings
        self.vocabulary, self.engine, self.codec = vocabulary, engine, codec
        self._voices = voices or VoiceBook(files, codec)
        self.capabilities = self._voices.capabilities
        self.prompts = Prompts(files.settings, self.capabilities, vocabulary, engine, codec)
        self.batch = batch
        self._variant = variant or {}
        self._turn = Turn()
        self.timer = Timer(self.prompts, self._turn)
        self._clones: dict[str, Voice] = {}

    def __repr__(self) -> str:
        count = len(self.voices())
        voices = f"{count} voice{'s' * (count != 1)}"
        return f"{type(self).__name__}({self.name!r}, {self.rate / 1000:g} kHz, {voices})"

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
    ) -> Self:
        """The same model with another engine, codec or batch; it takes turns of its own."""
        parts = (engine or self.engine, codec or self.codec, self._variant, self._voices)
        return type(self)(self.files, self.vocabulary, *parts, batch or self.batch)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """A loaded model is neither pickled nor copied."""
        raise LlasaError("A loaded model cannot be pickled or copied: load it where it is needed.")

    def voices(self) -> list[str]:
        """Names of the voices that this model can speak with."""
        return self._voices.names()

    def voice(self, voice: VoiceLike = None) -> Voice | None:
        """The voice that a name, a voice file, a recording or None (the default) stands for.

        None as a result means no prompt: the model chooses. Raises `LlasaError` for a voice that
        is unknown or was made for another model.
        """
        if (file := recording_file(voice)) is not None:
            key = file_identity(file) if file.is_file() else ""  # made once while it stays the same
            voice = self._clones[key] = self._clones.get(key) or self.clone(file)
        return self._voices.get(voice)

    def clone(
        self, audio: str | Path | Audio, transcript: str | None = None, name: str | None = None
    ) -> Voice:
        """Make a voice from a recording of 1 to 30 s and its words; see `Voice.from_audio`.

        Words that are not given are taken from the text file beside the recording (`me.txt` beside
        `me.wav`), or else heard by a recogniser (needs the extra `search`).
        """
        model = self.capabilities
        return cloned(audio, transcript, self.codec, name, model.language, model.lm_clones)

    def add_voice(self, voice: Voice) -> None:
        """Make a voice known by its name to this object; `Voice.save` keeps it."""
        self._voices.add(voice)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | None = None,
        commit_message: str | None = None,
    ) -> str:
        """Upload the model folder and its card to the Hugging Face hub; returns the address.

        `load` takes `repo_id` ("owner/name") then. Raises `LlasaError` where the hub refuses.
        """
        return publish(self.files, repo_id, private, token, commit_message)

    def transcribe(self, audio: str | Path | Audio) -> Transcript:
        """The words of a recording; `LlasaError` where the model was not trained to hear."""
        with self._turn:
            return self._recognizer.hear(audio)

    @cached_property
    def _recognizer(self) -> LlamaRecognizer:
        return LlamaRecognizer(self.files, codec=self.codec, variant=self._variant)

    def close(self) -> None:
        """End the processes that the engine vllm has; after that nothing can be said."""
        self.engine.close()

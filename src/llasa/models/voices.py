"""The voices that one loaded model knows, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from llasa.audio.audio import read_audio
from llasa.audio.formats import FORMATS
from llasa.base.errors import LlasaError
from llasa.base.names import did_you_mean, is_mixture, nfc
from llasa.codec.speaker import SpeakerEmbedding
from llasa.models.capabilities import Capabilities, capabilities
from llasa.models.folder import ModelFiles
from llasa.models.mixture import mixed
from llasa.models.recording import check_prompt
from llasa.models.voice import (
    RANDOM,
    SUFFIX,
    Voice,
    user_voices,
    voice_files,
)

if TYPE_CHECKING:
    from llasa.codec.protocol import CodecLike

VoiceLike = Voice | str | Path | None
"""A voice, its name, a mixture (see `mixed`), its file, a recording to clone, or None for the
model's default."""


def recording_file(voice: object) -> Path | None:
    """The file, if `voice` names a recording; else None."""
    named = isinstance(voice, str | Path) and Path(voice).suffix[1:].lower() in FORMATS
    return Path(str(voice)) if named else None


def speaker_embedding_of(codec: CodecLike, find: Callable[[], VoiceLike]) -> SpeakerEmbedding:
    """The speaker embedding of the voice that `find` gives, for decoding codes in that voice.

    `LlasaError` where the codec has no speaker encoder, or the voice was not made from a recording.
    """
    if not codec.speaker_size:
        raise LlasaError("This codec has no speaker embeddings: leave the voice out.")
    voice = find()
    if not isinstance(voice, Voice) or voice.speaker_embedding is None:
        raise LlasaError(
            "This voice has no speaker embedding: name one that was made from a recording."
        )
    return voice.speaker_embedding


def find_voice(name: str, files: Mapping[str, Path]) -> Voice:
    """The voice with this name; `LlasaError`, which suggests the nearest name, if there is none."""
    name = nfc(name)
    if name not in files:
        raise LlasaError(unknown_voice(name, files))
    return Voice.load(files[name]).renamed(name)


def unknown_voice(name: str, valid: Iterable[str]) -> str:
    """The error message for a voice that is not among the valid ones."""
    names = sorted(valid)
    known = f"known are {', '.join(names)}" if names else "no voice has been added yet"
    return f"Voice {name!r} is unknown: {known}.{did_you_mean(name, names)}"


class VoiceBook:
    """Voices added by hand, then the user's own, then those that came with the model.

    Args:
        files: the model.
        codec: its codec, which a voice must have been made with; None where it is not loaded yet,
            then voices of any codec pass.
    """

    def __init__(self, files: ModelFiles, codec: CodecLike | None = None) -> None:
        self._files = files
        self._codec = codec
        self._added: dict[str, Voice] = {}

    @cached_property
    def capabilities(self) -> Capabilities:
        """What the model can do."""
        return capabilities(self._files, self._codec)

    def names(self) -> list[str]:
        """Voices that the model can speak with."""
        files = self._voice_files()
        usable = (name for name, path in files.items() if self._usable(path))
        return sorted({*usable, *self._added})

    def replaced(self) -> list[str]:
        """Names of the model's voices that are hidden by the user's own of the same name."""
        own, models = voice_files(*user_voices()), voice_files(*self._files.voices)
        return sorted(own.keys() & models.keys())

    def _usable(self, path: Path) -> bool:
        try:
            return self.problem(Voice.load(path).renamed(path.stem)) is None
        except LlasaError:  # a damaged file does not keep the others out
            return False

    def get(self, voice: VoiceLike = None) -> Voice | None:
        """The voice, or None if the model shall choose one itself.

        Raises `LlasaError` for a voice that is unknown or was made for another model.
        """
        if voice is None:
            voice = self._files.settings.default_voice
        if voice is None or voice == RANDOM:
            return None
        if isinstance(voice, Voice):
            found = voice
        elif not isinstance(voice, str | Path):
            kind = type(voice).__name__
            raise LlasaError(f"A voice cannot be of type {kind}: give a Voice, a name or a file.")
        elif isinstance(voice, Path) or voice.endswith(SUFFIX):
            found = Voice.load(voice)
        elif (name := nfc(voice)) in self._added:
            found = self._added[name]
        else:
            found = self._find(name)
        self._check(found)
        return found

    def check(self, voice: VoiceLike) -> None:
        """`LlasaError` for a voice, or a recording of one, that the model cannot speak with."""
        if (file := recording_file(voice)) is None:
            self.get(voice)
        else:
            check_prompt(read_audio(file).mono(), str(file))
            self.capabilities.check_cloning()

    def add(self, voice: Voice) -> None:
        """Make a voice known by its name; same errors as `get`."""
        self._check(voice)
        self._added[voice.name] = voice

    def _find(self, name: str) -> Voice:
        files = self._voice_files()
        if name in files:
            return find_voice(name, files)
        if is_mixture(name):
            return mixed(name, self.get)
        names = self.names()
        if names or self.capabilities.can_clone is not False:
            raise LlasaError(unknown_voice(name, [*names, RANDOM]))
        raise LlasaError(
            f"Voice {name!r} is unknown: {self._files.settings.name} has only its own, so leave "
            "the voice out."
        )

    def _voice_files(self) -> dict[str, Path]:
        return voice_files(*user_voices(), *self._files.voices)

    def _check(self, voice: Voice) -> None:
        if (problem := self.problem(voice)) is not None:
            raise LlasaError(problem)

    def problem(self, voice: Voice) -> str | None:
        """Why the model cannot speak with the voice."""
        if len(voice.codes) and self.capabilities.can_clone is False:
            return (
                f"Model {self._files.settings.name} was not trained to clone voices, so it cannot "
                f"speak as {voice.name}: leave the voice out, or take another model."
            )
        if self._codec is not None and not voice.fits(self._codec):
            return (
                f"Voice {voice.name} was made with another codec than that of "
                f"{self._files.settings.name}: make it again from its recording."
            )
        return None

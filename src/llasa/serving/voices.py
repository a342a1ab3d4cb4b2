"""Voices as HTTP resources: one file each in the user's folder, with the consent noted inside."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from llasa.audio.audio import Audio
from llasa.base.errors import LlasaError
from llasa.base.names import check_name, is_mixture, nfc, shorten
from llasa.models.mixture import mixed
from llasa.models.voice import (
    PREVIEW,
    RANDOM,
    Gender,
    Voice,
    read_notes,
    remove_voice,
    user_file,
    user_voices,
    voice_files,
)
from llasa.models.voices import VoiceLike, find_voice, unknown_voice
from llasa.serving.errors import NotFoundError
from llasa.serving.other_names import is_reserved, stand_in, without_prefix
from llasa.serving.schemas import VoiceInfo
from llasa.tts.llasa import Llasa
from llasa.verifiers.content import transcribe


class VoiceStore:
    """The voices of a server; files are read on every request and written atomically."""

    def __init__(self, tts: Llasa) -> None:
        self._tts = tts
        self._homes = user_voices()
        self._adding = threading.Lock()

    def find(self, name: str | None) -> VoiceLike:
        """The voice of this name, None for the model's default. `NotFoundError` where unknown.

        Takes names, mixtures and the voice names of other servers, but no paths, which only Python
        callers may give.
        """
        return RANDOM if name == RANDOM else self._voice(name, self._files())

    def _voice(self, name: str | None, files: dict[str, Path]) -> Voice | None:
        name = None if name is None else nfc(name)
        if name in files:
            return self._tts.voice(find_voice(name, files))
        if name is None:
            return self._tts.voice()
        if is_mixture(name):
            return self._tts.voice(mixed(name, lambda part: self._voice(part, files)))
        if is_reserved(name):
            usable = self._tts.voices()
            own = [one for one in voice_files(*self._tts.files.voices) if one in usable]
            return self._voice(stand_in(name, own, self._tts.settings.default_voice), files)
        if (plain := without_prefix(name)) in files:
            return self._voice(plain, files)
        raise NotFoundError(unknown_voice(shorten(name), [*files, RANDOM]))

    def list(self) -> list[VoiceInfo]:
        """All voices that the model can speak with."""
        usable, found = self._tts.voices(), []
        for name, path in self._files().items():
            if name in usable:
                with suppress(NotFoundError):  # deleted meanwhile
                    found.append(self._info(path))
        return found

    def get(self, name: str) -> VoiceInfo:
        """One voice."""
        return self._info(self._path(name, self._files()))

    def preview(self, name: str) -> bytes:
        """A preview of a voice as Ogg Opus; `NotFoundError` where there is none."""
        path = self._path(name, self._files()).with_suffix(PREVIEW)
        try:
            return path.read_bytes()
        except FileNotFoundError as error:
            raise NotFoundError(
                f"Voice {name!r} has no preview: speak with it to hear it."
            ) from error

    def check_new(self, name: str) -> None:
        """`LlasaError` if no voice of this name can be added."""
        name = check_name(name, "voice name")
        self._tts.capabilities.check_cloning()
        if is_reserved(name.casefold()):
            raise LlasaError(
                f"The name {name!r} stands for a voice of the model here: choose another name."
            )
        if name in self._files():
            raise LlasaError(f"Voice {name!r} exists: delete it first, or choose another name.")

    def add(
        self, name: str, audio: Audio, transcript: str, consent: str, gender: Gender | None = None
    ) -> VoiceInfo:
        """Make and keep a voice; an empty transcript is recognised."""
        if not consent.strip():
            raise LlasaError("consent is empty: say who agreed that this voice is used.")
        self.check_new(name)
        language = self._tts.capabilities.language
        words = transcript if transcript.strip() else transcribe(audio, language)
        voice = Voice.from_audio(audio, words, self._tts.codec, name)
        voice = replace(voice, gender=gender)
        path = user_file(voice.name)
        with self._adding:
            self.check_new(name)  # once more: another may have come first
            voice.save(path, {"consent": consent.strip(), "created_at": str(int(time.time()))})
        return self._info(path)

    def delete(self, name: str) -> None:
        """Remove a voice that was added; those of the model stay."""
        path = self._path(name, self._files())
        if path.parent not in self._homes:
            raise LlasaError(f"Voice {name!r} belongs to the model and cannot be deleted.")
        remove_voice(path)

    def _files(self) -> dict[str, Path]:
        return voice_files(*self._homes, *self._tts.files.voices)

    def _path(self, name: str, files: dict[str, Path]) -> Path:
        name = nfc(name)
        if name not in files:
            raise NotFoundError(unknown_voice(shorten(name), files))
        return files[name]

    def _info(self, path: Path) -> VoiceInfo:
        try:
            voice, notes = Voice.load(path), read_notes(path)
        except (LlasaError, OSError) as error:
            if path.exists():
                raise
            raise NotFoundError(unknown_voice(path.stem, self._files())) from error
        created = notes.get("created_at", "")
        return VoiceInfo(
            id=path.stem,
            name=path.stem,
            seconds=round(voice.seconds, 2),
            transcript=voice.transcript,
            created_at=int(created) if created.isdecimal() else None,
            consent=notes.get("consent"),
            deletable=path.parent in self._homes,
            preview=path.with_suffix(PREVIEW).is_file(),
            gender=voice.gender,
        )

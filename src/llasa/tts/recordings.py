"""Cloning from a recording, as in `voice="me.wav"`; the words need not be given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from llasa.audio.audio import Audio, read_audio
from llasa.base.errors import LlasaError
from llasa.base.files import read_bytes
from llasa.base.names import check_name
from llasa.models.recording import check_prompt
from llasa.models.voice import RANDOM, Voice
from llasa.verifiers.content import transcribe

if TYPE_CHECKING:
    from llasa.codec.protocol import CodecLike

UNNAMED = "clone"
"""Name of a voice whose file name is not a valid voice name."""


def cloned(
    audio: str | Path | Audio,
    transcript: str | None,
    codec: CodecLike,
    name: str | None = None,
    language: str = "en",
    words_needed: bool = True,
) -> Voice:
    """A voice made from a recording; see `Voice.from_audio`.

    Args:
        transcript: None takes the words from the text file beside the recording (`me.txt` beside
            `me.wav`), or else has a recogniser hear them (needs the extra `search`).
        name: None takes that of the file.
        words_needed: whether the model goes on from the words; otherwise it does without them
            where there is no recogniser.
    """
    if transcript is None:
        label = "The recording" if isinstance(audio, Audio) else str(audio)
        sound = audio if isinstance(audio, Audio) else read_audio(audio)
        check_prompt(sound.mono(), label)  # before it is listened to
        try:
            transcript = words_of(audio, language)
        except LlasaError:
            if words_needed:
                raise
    return Voice.from_audio(audio, transcript, codec, name or _name(audio))


def words_of(audio: str | Path | Audio, language: str = "en") -> str:
    """The words of a recording: from the text file beside it, or as a recogniser hears them."""
    label, beside = "the recording", "transcript"
    if not isinstance(audio, Audio):
        file, label = Path(audio).with_suffix(".txt"), str(audio)
        beside = str(file)
        if file.is_file():
            try:
                return read_bytes(file, "a text file").decode("utf-8-sig")
            except UnicodeDecodeError as error:
                raise LlasaError(f"{file} is not UTF-8 text: save it as UTF-8.") from error
        audio = read_audio(audio)
    try:
        words = transcribe(audio.mono(), language)
    except LlasaError as error:
        raise LlasaError(
            f"The words of {label} are not given, and there is no recogniser to hear them. {error} "
            f"Or write them in {beside}."
        ) from error
    if not words:
        raise LlasaError(f"No words were heard in {label}: write them in {beside}.")
    return words


def _name(audio: str | Path | Audio) -> str:
    if isinstance(audio, Audio) or Path(audio).stem == RANDOM:
        return UNNAMED
    try:
        return check_name(Path(audio).stem, "voice name")
    except LlasaError:
        return UNNAMED

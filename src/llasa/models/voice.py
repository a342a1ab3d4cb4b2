"""Voices: codes and transcript of a recording in one file, and where such files are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from llasa.audio.audio import Audio, read_audio
from llasa.base.errors import LlasaError
from llasa.base.files import data_folder, make_folder, write_atomic
from llasa.base.names import check_name, is_mixture, nfc, shorten, weighted_names
from llasa.codec.speaker import SpeakerEmbedding
from llasa.models.recording import check_prompt
from llasa.text import clean_text

if TYPE_CHECKING:
    from llasa.codec.protocol import CodecLike

SUFFIX = ".safetensors"
PREVIEW = ".opus"
"""Suffix of the audio preview beside a voice file."""
RANDOM = "random"
"""The name that stands for no voice: the model picks one at random."""
CHARS_PER_SECOND = (0.5, 40.0)
"""Nobody speaks slower or faster: a transcript outside belongs to another recording."""
Gender = Literal["female", "male"]
_FORMAT, _VERSION = "llasa_voice", "1"
_WORDS = ("name", "transcript", "codec", "speaker")
_NOTE = "note."


@dataclass(frozen=True, eq=False, repr=False)
class Voice:
    """A voice to speak with: the codes of a recording and its words, a trained speaker, or both.

    For a model whose codec alone clones, the speaker embedding of a recording is enough.

    `codes` is int64 (n,) of the codec with the id `codec`, at `frame_rate` codes a second.
    `speaker` is a name that the model was fine-tuned on. `speaker_embedding` is how
    the recording sounds to a codec that has a speaker encoder. `gender` is how the voice sounds to
    people, None where nobody said.
    """

    name: str
    transcript: str = ""
    codes: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    codec: str = ""
    frame_rate: float = 50.0
    speaker: str | None = None
    speaker_embedding: SpeakerEmbedding | None = None
    sound: Audio | Path | None = None
    """What lets people hear it, where there is something: not kept by `save`."""
    gender: Gender | None = None

    def __post_init__(self) -> None:
        if is_mixture(self.name):
            weighted_names(self.name, "voice name")
        else:
            object.__setattr__(self, "name", check_name(self.name, "voice name"))
        if self.name == RANDOM:
            raise LlasaError(f"A voice cannot be called {RANDOM}: that name asks for none.")
        if self.name.endswith(SUFFIX):
            raise LlasaError(f"A voice cannot be called {self.name}: that is the name of a file.")
        if bool(self.transcript) != bool(len(self.codes)):
            lacking = "codes" if self.transcript else "transcript"
            raise LlasaError(f"Voice {self.name} lacks its {lacking}: a recording needs both.")
        if not (len(self.codes) or self.speaker or self.speaker_embedding is not None):
            raise LlasaError(f"Voice {self.name} has neither a recording nor a speaker's name.")

    def __repr__(self) -> str:
        recording = f", {self.seconds:.1f} s" if len(self.codes) else ""
        words = f", {shorten(self.transcript)!r}" if self.transcript else ""
        speaker = f", speaker {self.speaker!r}" if self.speaker else ""
        return f"Voice({self.name!r}{recording}{words}{speaker})"

    def _repr_html_(self) -> str:
        """A player for notebooks, if there is audio."""
        sound = read_audio(self.sound) if isinstance(self.sound, Path) else self.sound
        return escape(repr(self)) if sound is None else sound.to_html(repr(self))

    @property
    def seconds(self) -> float:
        """Length of the recording."""
        return len(self.codes) / self.frame_rate

    @classmethod
    def from_audio(
        cls,
        audio: str | Path | Audio,
        transcript: str | None,
        codec: CodecLike,
        name: str = "clone",
    ) -> Voice:
        """Make a voice from a recording and the words spoken in it.

        Any file format, rate and number of channels; silence at both ends is cut off. Without a
        transcript there are no codes to go on from, only how the voice sounds to a codec that has
        a speaker encoder. Raises `LlasaError` where the recording is silent, shorter than 1 s or
        longer than 30 s, or where the transcript is empty or cannot belong to it.
        """
        check_name(name, "voice name")
        label = "The recording" if isinstance(audio, Audio) else str(audio)
        words = "" if transcript is None else _words(transcript, label)
        sound = (audio if isinstance(audio, Audio) else read_audio(audio)).mono()
        speech = check_prompt(sound, label)
        embedding = codec.speaker_embedding(speech.samples, speech.rate)
        if transcript is None:
            return cls(name, codec=codec.id, speaker_embedding=embedding, sound=speech)
        pace = len(words) / speech.duration
        if not CHARS_PER_SECOND[0] <= pace <= CHARS_PER_SECOND[1]:
            raise LlasaError(
                f"The transcript has {len(words)} characters but {label} {speech.duration:.1f} s "
                "of sound: give exactly the words that are spoken in it."
            )
        (codes,) = codec.encode([speech.samples], speech.rate)
        return cls(name, words, codes, codec.id, codec.frame_rate, None, embedding, speech)

    def fits(self, codec: CodecLike) -> bool:
        """Whether the voice can be used with this codec."""
        if self.codec not in ("", codec.id) or self.codes.max(initial=0) >= codec.codebook_size:
            return False
        if self.speaker_embedding is None:
            return not (codec.speaker_size and len(self.codes))
        same = self.speaker_embedding.id == codec.speaker_encoder_id
        return same and len(self.speaker_embedding.values) == codec.speaker_size

    def renamed(self, name: str) -> Voice:
        """The same voice under another name."""
        return replace(self, name=name)

    def save(self, path: str | Path, notes: Mapping[str, str] | None = None) -> None:
        """Write one safetensors file, in one step; `read_notes` gives the notes back."""
        from safetensors.numpy import save

        path = _with_suffix(path)
        about = {f"{_NOTE}{key}": value for key, value in (notes or {}).items()}
        about |= {_FORMAT: _VERSION, "frame_rate": repr(self.frame_rate)}
        about |= {key: getattr(self, key) or "" for key in _WORDS}
        if self.gender is not None:
            about["gender"] = self.gender
        tensors: dict[str, NDArray[Any]] = {"codes": self.codes.astype(np.int32)}
        if self.speaker_embedding is not None:
            tensors["timbre"] = self.speaker_embedding.values.astype(np.float32)
            about["timbre"] = self.speaker_embedding.id
        write_atomic(path, save(tensors, metadata=about))

    @classmethod
    def load(cls, path: str | Path) -> Voice:
        """Read a file that `save` wrote; `LlasaError` where it is missing, damaged or foreign."""
        from safetensors import SafetensorError, safe_open

        path = _with_suffix(path)
        if not path.is_file():
            raise LlasaError(f"{path} does not exist: give a voice file.")
        damaged = LlasaError(f"{path} is damaged: make the voice again.")
        try:
            with safe_open(path, framework="numpy") as file:
                about: Mapping[str, str] = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, TypeError, AttributeError) as error:
            raise damaged from error
        if about.get(_FORMAT) != _VERSION:
            raise LlasaError(
                f"{path} is not a voice file: make one with 'llasa voices add' or Voice.save."
            )
        try:
            codes, rate = tensors["codes"], float(about["frame_rate"])
            embedding = (
                SpeakerEmbedding(tensors["timbre"], about["timbre"]) if "timbre" in about else None
            )
            name, words, maker, speaker = (about[key] for key in _WORDS)
        except (KeyError, ValueError) as error:
            raise damaged from error
        whole = codes.ndim == 1 and codes.dtype.kind in "iu" and codes.min(initial=0) >= 0
        if (
            not whole
            or not 0 < rate < float("inf")
            or not (embedding is None or embedding.is_valid)
        ):
            raise damaged
        codes = codes.astype(np.int64)
        try:
            preview = path.with_suffix(PREVIEW)
            sound = preview if preview.is_file() else None
            voice = cls(name, words, codes, maker, rate, speaker or None, embedding, sound)
        except LlasaError as error:
            raise LlasaError(f"{path} is damaged: {error}") from error
        gender = next((one for one in get_args(Gender) if one == about.get("gender")), None)
        return replace(voice, gender=gender)


def _words(transcript: str, label: str) -> str:
    try:
        return clean_text(transcript)
    except LlasaError as error:
        raise LlasaError(f"The transcript of {label} cannot be used. {error}") from error


def read_notes(path: Path) -> dict[str, str]:
    """The notes in a voice file, such as the consent of the speaker."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        about: Mapping[str, str] = file.metadata() or {}
    return {k.removeprefix(_NOTE): v for k, v in about.items() if k.startswith(_NOTE)}


def user_folder() -> Path:
    """Where the user's voices are kept: `LLASA_VOICES`, or the platform's folder for data.

    `LlasaError` for a user who has no home.
    """
    return data_folder("LLASA_VOICES", "voices")


def user_file(name: str) -> Path:
    """The file of a user's voice, in a folder that is made where it does not exist."""
    return make_folder(user_folder()) / f"{check_name(name, 'voice name')}{SUFFIX}"


def user_voices() -> list[Path]:
    """A list with the folder of the user's voices; empty for a user without a home."""
    try:
        return [user_folder()]
    except LlasaError:
        return []


def voice_files(*folders: Path) -> dict[str, Path]:
    """Voice files by name; the first folder wins if two hold the same name."""
    found: dict[str, Path] = {}
    for folder in folders:
        for path in _listed(folder):
            if not path.name.startswith(".") and path.is_file():
                found.setdefault(nfc(path.stem), path)
    return found


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.glob(f"*{SUFFIX}"))
    except OSError:  # it may not be read by this user
        return []


def remove_voice(path: Path) -> None:
    """Delete a voice file and its preview."""
    path.unlink(missing_ok=True)
    path.with_suffix(PREVIEW).unlink(missing_ok=True)


def _with_suffix(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix != SUFFIX:
        raise LlasaError(f"{path} does not end in {SUFFIX}, as voice files do.")
    return path

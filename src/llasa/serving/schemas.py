"""Bodies of requests and answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from llasa.base.errors import LlasaError
from llasa.base.names import did_you_mean
from llasa.models.voice import Gender
from llasa.serving.other_names import language_of
from llasa.serving.timestamps import Granularity
from llasa.text import MAX_CHARS, READING, TextFormat
from llasa.text.sentences import LONGEST_SILENCE

Format = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "repetition_window")
_SEED = 2**63 - 1
_LONGEST_NAME, _MOST_NOTES = 100, 10
_Verifiers = Annotated[list[str], Field(min_length=1, max_length=32, fail_fast=True)]


class _Body(BaseModel):
    """Unknown fields are refused with the nearest known one."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for name in values:
                if name not in cls.model_fields:
                    raise _unknown(name, cls.model_fields)
        return values


def _unknown(name: str, fields: Iterable[str]) -> LlasaError:
    name, known = name[:_LONGEST_NAME], list(fields)
    return LlasaError(
        f"{name!r} is not a field of this request: valid are {', '.join(known)}."
        f"{did_you_mean(name, known)}"
    )


class VoiceId(BaseModel):
    """OpenAI's other way to name a voice."""

    id: str


class SpeechSettings(BaseModel):
    """How to speak; fields that are not here are kept, see `notes`."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    model: str = Field("", description="The served model; OpenAI's names mean it, too.")
    voice: str | VoiceId | None = Field(
        None,
        description="From /v1/audio/voices, a mixture such as heart(2)+sky, or random; each of "
        "OpenAI's names stands for one of the model's voices.",
    )
    instructions: str | None = Field(
        None, description="OpenAI's wishes for the manner of speaking; named in a warning."
    )
    response_format: Format = "mp3"
    speed: Annotated[float, Field(ge=0.25, le=4, description="The pitch stays.")] = 1.0
    pause: Annotated[float, Field(ge=0, le=LONGEST_SILENCE)] | None = Field(
        None, description="Seconds between sentences; left out: as their ends suggest."
    )
    seed: Annotated[int, Field(ge=0, le=_SEED)] | None = Field(
        None, description="Repeats a result; drawn and told in the header x-llasa-seed."
    )
    max_seconds: Annotated[float, Field(gt=0)] | None = None
    best_of: Annotated[int, Field(ge=1, description="Candidates, of which one is chosen.")] = 1
    verifiers: _Verifiers | None = Field(
        None, description="Who judges candidates; left out: content. See /v1/models."
    )
    strategy: Literal["best-of", "beam", "partial"] | None = Field(
        None, description="How candidates are searched; left out: best-of."
    )
    check: bool = Field(
        False, description="Have each sentence heard, and speak it again where a word is not right."
    )
    tries: Annotated[int, Field(ge=1)] | None = Field(
        None, description="How often check speaks a sentence, at most; left out: 8, or less."
    )
    force: bool = Field(
        False, description="Speak scripts and languages that the model does not know, too."
    )
    normalize: bool = Field(True, description="Spell out numbers, dates, money, signs.")
    language: str | None = Field(
        None, description="Of what is spelled out: en, de, fr, es, zh; left out: by the letters."
    )
    lang_code: str | None = Field(None, description="Kokoro's name for language.")
    format_in: TextFormat = Field("text", description="How the text is marked up.")
    lexicon: Annotated[dict[str, str], Field(max_length=1000)] | None = Field(
        None, description="Words and how they are said."
    )
    cast: Annotated[dict[str, str], Field(min_length=1, max_length=100)] | None = Field(
        None, description="Voices by name, for a script with lines such as 'ANNA: Hello.'"
    )
    timestamp_granularities: Annotated[list[Granularity], Field(max_length=3)] | None = Field(
        None, description="What is timed: words, segments (sentences), phones; in the events."
    )
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    repetition_window: int | None = None

    def sampling(self) -> dict[str, Any]:
        """The sampling settings that were given."""
        return {name: value for name in SAMPLING if (value := getattr(self, name)) is not None}

    def reading(self) -> dict[str, Any]:
        """How the text is read."""
        found = {name: getattr(self, name) for name in READING}
        if self.language is None and self.lang_code:
            found["language"] = language_of(self.lang_code)
        return found

    @property
    def timed(self) -> tuple[Granularity, ...] | None:
        """What is timed at the end of each part; None: nobody is told where one ends."""
        return tuple(self.timestamp_granularities) if self.timestamp_granularities else None

    def notes(self, strict: bool) -> list[str]:
        """What was sent and changes nothing, in sentences.

        `strict`: `LlasaError` for a field that is unknown.
        """
        fields = type(self).model_fields
        unknown = [name[:_LONGEST_NAME] for name in self.model_extra or ()]
        if unknown and strict:
            raise _unknown(unknown[0], fields)
        notes = [
            f"{name!r} is not a field of this request and is ignored.{did_you_mean(name, fields)}"
            for name in unknown[:_MOST_NOTES]
        ]
        if (more := len(unknown) - _MOST_NOTES) > 0:
            notes.append(f"Nor do {more} more fields.")
        if self.instructions:
            notes.append("'instructions' change nothing: the model has no styles.")
        return notes

    def voice_name(self) -> str | None:
        """The voice's name, however it was given."""
        return self.voice.id if isinstance(self.voice, VoiceId) else self.voice


class SpeechRequest(SpeechSettings):
    """``POST /v1/audio/speech``."""

    input: Annotated[str, Field(max_length=MAX_CHARS)]
    stream_format: Literal["audio", "sse"] | None = Field(
        None,
        description="Left out: wav and flac come whole, the others are streamed.",
    )
    return_candidates: bool = Field(
        False, description="Answer in JSON, with all candidates, their scores and their sound."
    )

    @model_validator(mode="after")
    def _fit(self) -> SpeechRequest:
        if self.return_candidates and self.stream_format is not None:
            raise LlasaError("return_candidates answers in one go: leave stream_format out.")
        told = self.stream_format == "sse" or self.return_candidates
        if self.timestamp_granularities and not told:
            raise LlasaError(
                "timestamp_granularities are told in events: add stream_format sse (or "
                "return_candidates), or ask /dev/captioned_speech."
            )
        return self

    @property
    def whole(self) -> bool:
        """Whether the file comes in one go, with its length in its header."""
        file = self.stream_format is None and self.response_format in ("wav", "flac")
        return file or self.return_candidates


class CaptionedRequest(SpeechSettings):
    """``POST /dev/captioned_speech``, as Kokoro-FastAPI has it."""

    input: Annotated[str, Field(max_length=MAX_CHARS)]
    stream: bool = Field(True, description="A line of JSON for each part, else one for all.")
    return_timestamps: bool = Field(True, description="Else null in their place.")

    @model_validator(mode="after")
    def _words(self) -> CaptionedRequest:
        if self.timestamp_granularities is not None:
            raise LlasaError(
                "/dev/captioned_speech times words alone: leave timestamp_granularities out, or "
                "ask /v1/audio/speech with stream_format sse."
            )
        return self

    @property
    def timed(self) -> tuple[Granularity, ...]:
        """Words, where stamps are wanted; the ends of parts in any case."""
        return ("word",) if self.return_timestamps else ()


class WordTime(BaseModel):
    """When a word is heard, as Kokoro-FastAPI says it."""

    word: str
    start_time: float
    end_time: float


class Captioned(BaseModel):
    """An answer of ``POST /dev/captioned_speech``, or a line of one."""

    audio: str
    audio_format: str
    timestamps: list[WordTime] | None


class TextFragment(_Body):
    """A message of a conversation: more of the text, and whether it ends."""

    text: str = ""
    end: bool = False


class DecodeRequest(_Body):
    """``POST /v1/audio/tokens/decode``."""

    codes: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1, fail_fast=True)]
    voice: Annotated[
        str | None, Field(description="Whose speaker embedding; default: of the codes.")
    ] = None
    response_format: Format = "wav"


class Tokens(BaseModel):
    """Codes of a recording."""

    codes: list[int]
    codec: str
    frame_rate: float


class VoiceInfo(BaseModel):
    """A voice as a resource."""

    id: str
    name: str
    object: Literal["audio.voice"] = "audio.voice"
    seconds: float
    transcript: str
    created_at: int | None
    consent: str | None
    deletable: bool
    preview: bool
    gender: Gender | None
    """How it sounds to people; null where nobody said."""


class VoiceName(BaseModel):
    """A voice in a list, as Open WebUI and Kokoro's clients read it."""

    id: str
    name: str


class VoiceList(BaseModel):
    """``GET /v1/audio/voices``."""

    object: Literal["list"] = "list"
    data: list[VoiceInfo]
    voices: list[VoiceName]


class Deleted(BaseModel):
    """``DELETE /v1/audio/voices/{name}``."""

    id: str
    object: Literal["audio.voice.deleted"] = "audio.voice.deleted"
    deleted: bool = True


class ModelLimits(BaseModel):
    """Of a request."""

    chars: int
    seconds: float
    candidates: int


class ModelCapabilities(BaseModel):
    """What the model can do, see `llasa.models.capabilities`; null where that is not known."""

    cloning: bool | None
    languages: list[str]
    capitals: bool
    quotes: bool
    digits: bool
    rate: int | None
    exact_streaming: bool | None
    hearing: bool


class Model(BaseModel):
    """A model as OpenAI lists it."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "llasa"
    limits: ModelLimits
    capabilities: ModelCapabilities
    default_voice: str | None
    """Who speaks where a request names no voice; null: whoever the model chooses."""
    verifiers: dict[str, str]
    """Who can judge candidates, and how."""
    response_formats: list[Format]
    """What the server can write."""


class ModelList(BaseModel):
    """``GET /v1/models``."""

    object: Literal["list"] = "list"
    data: list[Model]


class ErrorDetail(BaseModel):
    """What went wrong, in a sentence."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """Every answer that is no success."""

    error: ErrorDetail

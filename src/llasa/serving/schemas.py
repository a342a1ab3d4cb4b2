"""Bodies of requests and answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from llasa.base.errors import LlasaError
from llasa.base.names import did_you_mean
from llasa.text import MAX_CHARS, READING, TextFormat

Format = Literal["wav", "mp3", "flac", "opus", "pcm"]
SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "repetition_window")
_SEED = 2**63 - 1
_LONGEST_NAME = 100
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
                    name = name[:_LONGEST_NAME]
                    raise LlasaError(
                        f"{name!r} is no field of this request: valid are "
                        f"{', '.join(cls.model_fields)}.{did_you_mean(name, cls.model_fields)}"
                    )
        return values


class VoiceId(BaseModel):
    """OpenAI's other way to name a voice."""

    id: str


class SpeechSettings(_Body):
    """How to speak."""

    model: str = Field("", description="The served model; OpenAI's names mean it, too.")
    voice: str | VoiceId | None = Field(
        None, description="From /v1/audio/voices, or random; OpenAI's names mean the default."
    )
    response_format: Format = "mp3"
    speed: Annotated[float, Field(ge=0.25, le=4, description="The pitch stays.")] = 1.0
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
    format_in: TextFormat = Field("text", description="How the text is marked up.")
    lexicon: Annotated[dict[str, str], Field(max_length=1000)] | None = Field(
        None, description="Words and how they are said."
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
        return {name: getattr(self, name) for name in READING}

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
        return self

    @property
    def whole(self) -> bool:
        """Whether the file comes in one go, with its length in its header."""
        file = self.stream_format is None and self.response_format in ("wav", "flac")
        return file or self.return_candidates


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


class VoiceList(BaseModel):
    """``GET /v1/audio/voices``."""

    object: Literal["list"] = "list"
    data: list[VoiceInfo]


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


class Model(BaseModel):
    """A model as OpenAI lists it."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "llasa"
    limits: ModelLimits
    capabilities: ModelCapabilities
    verifiers: dict[str, str]
    """Who can judge candidates, and how."""


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

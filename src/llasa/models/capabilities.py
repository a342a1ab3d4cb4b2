"""What a model can do, asked here by speech, server, command line and evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llasa.base import hub
from llasa.base.errors import LlasaError, first_line
from llasa.base.files import read_json
from llasa.codec.config import CodecConfig
from llasa.models.find import RELEASED_EXAMPLE
from llasa.models.folder import ModelFiles

if TYPE_CHECKING:
    from llasa.codec.protocol import CodecLike

CODEC_CONFIG = "config.json"


@dataclass(frozen=True)
class Capabilities:
    """What a model can do; None where that is known only once the codec is downloaded."""

    name: str
    can_clone: bool | None
    """Whether it speaks in the voice of a recording, by its language model or its codec."""
    lm_clones: bool
    """Whether its language model continues a voice prompt: the recording's words and codes."""
    languages: tuple[str, ...]
    """ISO 639-1 codes of its languages; empty if unknown, and then no text is refused."""
    capitals: bool
    quotes: bool
    digits: bool
    """Whether it can read words in capitals, quotation marks and digits; what it cannot read is
    respelled first."""
    rate: int | None
    """Sample rate of its speech in Hz."""
    exact_streaming: bool | None
    """Whether a stream is sample for sample what the whole speech is."""
    hears: bool = False
    """Whether its language model writes down what is said."""

    @property
    def language(self) -> str:
        """Language for recognisers: the model's, or English if it speaks several."""
        return self.only_language or "en"

    @property
    def only_language(self) -> str | None:
        """Its only language; None if it speaks several or they are unknown."""
        return self.languages[0] if len(self.languages) == 1 else None

    def check_cloning(self) -> None:
        """`LlasaError` where the model cannot speak in the voice of a recording."""
        if self.can_clone is False:
            raise LlasaError(
                f"Model {self.name} was not trained to clone voices: take one that was, such as "
                f"{RELEASED_EXAMPLE}."
            )

    def check_hearing(self) -> None:
        """`LlasaError` where the model cannot write down what is said."""
        if not self.hears:
            raise LlasaError(
                f"Model {self.name} was not trained to hear: take one that was (packed with "
                "--hearing after training with data.hear), or a recogniser such as whisper."
            )

    def to_dict(self) -> dict[str, Any]:
        """For JSON; what is not known is null."""
        return {
            "cloning": self.can_clone,
            "languages": list(self.languages),
            "capitals": self.capitals,
            "quotes": self.quotes,
            "digits": self.digits,
            "rate": self.rate,
            "exact_streaming": self.exact_streaming,
            "hearing": self.hears,
        }


def capabilities(files: ModelFiles, codec: CodecLike | None = None) -> Capabilities:
    """What a model can do, with `codec` where that is loaded; no weights are read for it.

    `LlasaError` where the settings of its codec are damaged.
    """
    settings, folder = files.settings, _downloaded(files.codec)
    sizes = None if folder is None else _read_config(folder / CODEC_CONFIG)
    conditioned = None if folder is None else sizes is not None and sizes.speaker_size > 0
    rate = None if sizes is None else sizes.output_rate
    if codec is not None:
        conditioned, rate = codec.speaker_size > 0, codec.sample_rate
    return Capabilities(
        name=settings.name,
        can_clone=settings.cloning or conditioned,
        lm_clones=settings.cloning,
        languages=settings.languages,
        capitals=settings.form.capitals,
        quotes=settings.form.has('"'),
        digits=settings.form.has("0"),
        rate=rate,
        exact_streaming=None if folder is None else sizes is not None and sizes.reach is not None,
        hears=settings.hearing,
    )


def _downloaded(codec: str | Path) -> Path | None:
    """The folder of a codec, which may be a hub id; None where it is not on this machine."""
    folder = hub.expand(codec)
    if folder.is_dir():
        return folder
    try:
        return hub.downloaded(str(codec)) if hub.is_hub_id(str(codec)) else None
    except hub.NotDownloadedError:
        return None


def _read_config(path: Path) -> CodecConfig | None:
    """The settings of a codec of ours; None for other layouts, which have no speaker embeddings."""
    values = read_json(path).get("codec")
    if values is None:
        return None
    try:
        return CodecConfig.from_dict(values)
    except (TypeError, ValueError) as error:
        raise LlasaError(f"{path} is damaged: bad codec settings ({first_line(error)}).") from error

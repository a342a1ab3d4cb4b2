"""A model folder: its layout and its settings.

<model>/config.json           names and defaults, see `ModelConfig`
        lm/                   config.json, model.safetensors, tokenizer.json, vocabulary.json
        codec/                config.json, model.safetensors
        draft.safetensors     where there is one, a draft head: faster speech, and the same
        voices/NAME.safetensors   and NAME.opus, which lets people hear it
        README.md             model card
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llasa.base.errors import LlasaError
from llasa.base.files import read_json
from llasa.base.names import check_choice, number, whole
from llasa.text import CHUNK_CHARS, PLAIN, Form
from llasa.text.languages import language_code

if TYPE_CHECKING:
    from llasa.codec.protocol import CodecLike
    from llasa.lm.config import LlamaConfig
    from llasa.lm.sampling import SamplingParams
    from llasa.vocabulary.vocabulary import Vocabulary

MODEL_TYPE = "llasa"
DESCRIPTOR, CARD = "config.json", "README.md"
DRAFT = "draft.safetensors"
MOST = 1 << 24
"""More tokens or characters than any model takes."""
_MOST_LAYERS, _MOST_HEADS = 1024, 1024


@dataclass(frozen=True)
class ReadingHeads:
    """Attention heads that look at the place in the text that is being spoken.

    The first heads of `layer` (from 0) do, each so many text tokens past that place as its number
    in `offsets` says; see `training.auxiliary.alignment`, which teaches them.
    """

    layer: int
    offsets: tuple[float, ...]

    @classmethod
    def of(cls, values: Any) -> ReadingHeads:
        """From the values of a config; `LlasaError` for those that are not valid."""
        if not isinstance(values, dict) or set(values) != {"layer", "offsets"}:
            raise LlasaError(f"alignment must have a layer and offsets, not be {values!r}.")
        offsets = values["offsets"]
        if not isinstance(offsets, list | tuple) or not 1 <= len(offsets) <= _MOST_HEADS:
            raise LlasaError("alignment.offsets must be a list with a number for each head.")
        layer = whole("alignment.layer", values["layer"], 0, _MOST_LAYERS)
        return cls(layer, tuple(number("alignment.offsets", n, -100, 100) for n in offsets))


@dataclass(frozen=True)
class ModelConfig:
    """The settings in a model folder's `config.json`; what they mean is up to `Capabilities`.

    `lm` and `codec` are paths inside the folder (`codec` may also be a hub id). `sampling` holds
    defaults for `SamplingParams`, `max_tokens` is the longest prompt and speech together, and
    `chunk_chars` about how long the parts of a text are at most. `cloning` says whether the
    language model was trained to continue a voice prompt, and `form` what kind of writing it was
    trained on: text is brought to that form before it is spoken. `languages` are the ISO 639-1
    codes of all languages that it speaks; where the list is empty, no text is refused. A model is
    cut off when it takes `pace` times as long as an average reader. `alignment` names the attention
    heads that say when each word is spoken, and `hearing` says whether it was trained to write down
    speech.
    """

    name: str
    lm: str = "lm"
    codec: str = "codec"
    sampling: dict[str, Any] = field(default_factory=dict)
    max_tokens: int = 2048
    chunk_chars: int = CHUNK_CHARS
    default_voice: str | None = None
    cloning: bool = True
    form: Form = field(default_factory=Form)
    languages: tuple[str, ...] = ()
    pace: float = 1.75
    hearing: bool = False
    alignment: ReadingHeads | None = None

    @classmethod
    def read(cls, path: Path) -> ModelConfig:
        """Read and check; `LlasaError` where the file is missing or damaged."""
        values = read_json(path)
        values.pop("model_type", None)
        if values.pop("quotes", True) is False:  # of a model packed before 0.2
            values.setdefault("form", asdict(PLAIN))
        try:
            for key in values:
                check_choice(key, [f.name for f in fields(cls)], "key")
            if "form" in values:
                values["form"] = Form.of(values["form"])
            if values.get("alignment") is not None:
                values["alignment"] = ReadingHeads.of(values["alignment"])
            config = cls(**values)
            config.check()
        except TypeError as error:
            raise LlasaError(f"{path} is damaged: it has no name.") from error
        except LlasaError as error:
            raise LlasaError(f"{path} is damaged: {error}") from error
        return replace(config, languages=tuple(config.languages))

    def check(self) -> None:
        """`LlasaError` for a value of the wrong kind."""
        languages = self.languages
        listed = isinstance(languages, list | tuple)
        if not listed or not all(isinstance(code, str) for code in languages):
            raise LlasaError(f"languages cannot be {languages!r}.")
        for code in languages:
            if code != language_code(code):
                raise LlasaError(f"languages has {code!r}: write {language_code(code)!r}.")
        number("pace", self.pace, 1)
        kinds: dict[str, Any] = {"max_tokens": int, "chunk_chars": int, "sampling": dict}
        kinds |= {"name": str, "lm": str, "codec": str, "cloning": bool, "form": Form}
        kinds["hearing"] = bool
        for key, kind in kinds.items():
            value = getattr(self, key)
            if type(value) is not kind or (kind is int and not 1 <= value <= MOST):
                raise LlasaError(f"{key} cannot be {value!r}.")
        if not isinstance(self.default_voice, str | None):
            raise LlasaError("default_voice must be a name.")
        if not isinstance(self.alignment, ReadingHeads | None):
            raise LlasaError(f"alignment cannot be {self.alignment!r}.")
        self.form.check()

    def after_speaking(self, **changes: Any) -> ModelConfig:
        """The settings of what this model becomes by training on rows of speech alone.

        What is not trained is forgotten: it no longer says that it hears.
        """
        return replace(self, **{"hearing": False, **changes})

    def rule(self) -> SamplingParams:
        """The sampling defaults; `LlasaError` where they are not valid."""
        from llasa.lm.sampling import SamplingParams

        try:
            return SamplingParams(**self.sampling)
        except TypeError as error:
            raise LlasaError(
                f"Model {self.name} has unknown sampling defaults: {self.sampling}; valid are "
                f"{', '.join(SamplingParams.__dataclass_fields__)}."
            ) from error


@dataclass(frozen=True)
class ModelFiles:
    """A model's settings and the places of its parts, as `find_model` gives them."""

    settings: ModelConfig
    lm: Path
    codec: str | Path
    root: Path | None = None
    """The model folder; None where language model and codec were named separately."""

    @property
    def voices(self) -> list[Path]:
        """Folders with voices that came with the model."""
        return [self.root / "voices"] if self.root else []

    @property
    def draft(self) -> Path | None:
        """The draft head that came with the language model."""
        path = None if self.root is None else self.root / DRAFT
        return path if path is not None and path.is_file() else None

    def card(self) -> str:
        """The model card, or an empty string."""
        path = (self.root or self.lm) / CARD
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def is_model_folder(path: Path) -> bool:
    """Whether it is a model folder with a config.json of ours."""
    descriptor = path / DESCRIPTOR
    return descriptor.is_file() and read_json(descriptor).get("model_type") == MODEL_TYPE


def check_fit(vocabulary: Vocabulary, rows: int, codec: CodecLike) -> None:
    """`LlasaError` unless vocabulary, language model (its `rows`) and codec belong together."""
    if vocabulary.codebook_size != codec.codebook_size:
        raise LlasaError(
            f"The language model speaks {vocabulary.codebook_size:,} codes, but the codec has "
            f"{codec.codebook_size:,}: they do not belong together."
        )
    if vocabulary.codec not in ("", codec.id):
        raise LlasaError(
            f"The language model speaks the codes of the codec {vocabulary.codec}, but this "
            f"codec is {codec.id}: take the one that made its training tokens."
        )
    if rows < vocabulary.size:
        raise LlasaError(
            f"The vocabulary has {vocabulary.size:,} tokens, but the language model only {rows:,}: "
            "the two files belong to different models."
        )


def check_heads(heads: ReadingHeads | None, config: LlamaConfig) -> None:
    """`LlasaError` where a language model has no such attention heads."""
    layers, count = config.num_hidden_layers, config.num_attention_heads
    if heads is not None and not (heads.layer < layers and len(heads.offsets) <= count):
        raise LlasaError(
            f"alignment names {len(heads.offsets)} heads of layer {heads.layer}, but the language "
            f"model has {layers} layers (from 0) of {count} heads."
        )

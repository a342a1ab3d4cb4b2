"""Model folders: what a Llasa model consists of, and where it is found.

<model>/config.json           descriptor: names and defaults
        lm/                   config.json, model.safetensors, tokenizer.json, vocabulary.json
        codec/                config.json, model.safetensors
        voices/NAME.safetensors   and NAME.opus, how it sounds
        README.md             model card
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llasa.base import hub
from llasa.base.errors import LlasaError
from llasa.base.files import read_json
from llasa.base.names import check_choice, did_you_mean, number
from llasa.text import CHUNK_CHARS, PLAIN, Form
from llasa.text.languages import language_code

if TYPE_CHECKING:
    from llasa.codec.codec import Codec
    from llasa.lm.sampling import SamplingParams
    from llasa.vocabulary.vocabulary import Vocabulary

MODEL_TYPE = "llasa"
MOST = 1 << 24
"""Tokens and characters that no model takes."""
DESCRIPTOR, CARD = "config.json", "README.md"
CODEC_CONFIG = "config.json"
DEFAULT_MODEL = "nano"
RELEASED_CODEC = "HKUSTAudio/xcodec2"
"""Codec of the released language models; taken for a hub id where no codec is named."""
RELEASED_EXAMPLE = "HKUSTAudio/Llasa-1B"
RELEASED_SAMPLING = {"temperature": 0.9, "top_p": 0.95}
"""What the released model cards advise as the more stable setting (note of 2025-05-10)."""
RELEASED_CHUNK_CHARS = 250


@dataclass(frozen=True)
class ModelConfig:
    """The settings in a model folder's `config.json`.

    `lm` and `codec` are paths inside the folder (`codec` may also be a hub id). `sampling` holds
    defaults for `SamplingParams`, `max_tokens` the longest prompt and speech together,
    `chunk_chars` the length of the parts of a text, at most about. `cloning` says whether the
    language model was trained to go on in the voice of a prompt, and `form` what it has seen of
    writing: text is brought to it before it is spoken. `languages` are ISO 639-1 codes of all that
    it speaks; where there are none, nothing is refused. `pace` says how many times slower than the
    average reader it may be before it is cut off.
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

    @property
    def language(self) -> str:
        """The one that recognisers listen for: English, unless it speaks another one only."""
        return self.only_language or "en"

    @property
    def only_language(self) -> str | None:
        """The one that texts are in; None where it speaks several, or nobody has said which."""
        return self.languages[0] if len(self.languages) == 1 else None

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
            descriptor = cls(**values)
            descriptor.check()
            descriptor = replace(descriptor, languages=tuple(descriptor.languages))
        except TypeError as error:
            raise LlasaError(f"{path} is damaged: it has no name.") from error
        except LlasaError as error:
            raise LlasaError(f"{path} is damaged: {error}") from error
        return descriptor

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
        for key, kind in kinds.items():
            value = getattr(self, key)
            if type(value) is not kind or (kind is int and not 1 <= value <= MOST):
                raise LlasaError(f"{key} cannot be {value!r}.")
        if not isinstance(self.default_voice, str | None):
            raise LlasaError("default_voice must be a name.")
        self.form.check()

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
    """A model that has been found: its settings and where its parts lie."""

    settings: ModelConfig
    lm: Path
    codec: str | Path
    root: Path | None = None
    """The model folder; None where language model and codec were named one by one."""

    @property
    def voices(self) -> list[Path]:
        """Folders with voices that came with the model."""
        return [self.root / "voices"] if self.root else []

    @cached_property
    def clones(self) -> bool:
        """Whether it can speak in the voice of a recording.

        By its language model, or by a codec that has speaker embeddings.
        """
        if self.settings.cloning:
            return True
        config = Path(self.codec) / CODEC_CONFIG
        sizes = read_json(config).get("codec") if config.is_file() else None
        return isinstance(sizes, dict) and any(
            sizes.get(name) for name in ("speaker_size", "timbre_size")
        )

    def check_cloning(self) -> None:
        """`LlasaError` where the model cannot speak in the voice of a recording."""
        if not self.clones:
            raise LlasaError(
                f"Model {self.settings.name} was not trained to clone voices: take one that was, "
                f"such as {RELEASED_EXAMPLE}."
            )

    def card(self) -> str:
        """The model card, or nothing."""
        path = (self.root or self.lm) / CARD
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def shipped_models() -> dict[str, Path]:
    """Models inside the package, by name."""
    assets = Path(str(files("llasa"))) / "assets"
    return {path.parent.name: path.parent for path in sorted(assets.glob(f"*/{DESCRIPTOR}"))}


def find_model(
    name_or_path: str | Path = DEFAULT_MODEL,
    codec: str | Path | None = None,
    download: bool = True,
) -> ModelFiles:
    """Find a shipped model, a model folder, a folder with a language model, or a hub id.

    A folder that holds nothing but a language model needs `codec` (a codec folder, a model to take
    it from, or a hub id); for a hub id it defaults to the released X-codec2. Only a hub id leads
    to a download, and not without `download`. Raises `LlasaError` where nothing fits, and
    `NotDownloadedError` where only a download is missing.
    """
    if codec is not None:
        codec = find_codec(codec)
    shipped = shipped_models()
    if str(name_or_path) in shipped:
        return _open(shipped[str(name_or_path)], codec)
    path = hub.expand(name_or_path)
    named = str(name_or_path) != ""
    if named and path.is_dir():
        return _open(path, codec)
    if named and path.exists():
        raise LlasaError(f"{path} is a file: give the folder of a model.")
    if hub.is_hub_id(str(name_or_path)):
        fetch = hub.download if download else hub.downloaded
        return _open(fetch(str(name_or_path)), codec, str(name_or_path))
    if str(name_or_path) == DEFAULT_MODEL:
        raise LlasaError(
            f"The default model {DEFAULT_MODEL} is not part of this installation: install the "
            "wheel, or give a model folder or a hub id."
        )
    known = ", ".join(shipped) or "a model's name"
    raise LlasaError(
        f"Model {str(name_or_path)!r} is unknown: give {known}, the folder of a model, or a hub id "
        f"such as {RELEASED_EXAMPLE}.{did_you_mean(str(name_or_path), shipped)}"
    )


def find_codec(name_or_path: str | Path) -> str | Path:
    """What to give to `Codec.load`: for a shipped model or a model folder the codec inside it."""
    if str(name_or_path) == "":
        raise LlasaError("The name of the codec is empty: give a folder, a model or a hub id.")
    model = _own_model(name_or_path)
    return name_or_path if model is None else model.codec


def find_lm(name_or_path: str | Path) -> Path:
    """Folder of a language model: for a shipped model or a model folder the one inside it."""
    model = _own_model(name_or_path)
    return hub.expand(name_or_path) if model is None else model.lm


def _own_model(name_or_path: str | Path) -> ModelFiles | None:
    """A shipped model or a model folder of ours; None for anything else."""
    path = shipped_models().get(str(name_or_path), hub.expand(name_or_path))
    return _open(path, None) if is_model_folder(path) else None


def is_model_folder(path: Path) -> bool:
    """Whether it is a whole model, with a descriptor of ours."""
    descriptor = path / DESCRIPTOR
    return descriptor.is_file() and read_json(descriptor).get("model_type") == MODEL_TYPE


def _open(folder: Path, codec: str | Path | None, hub_id: str | None = None) -> ModelFiles:
    if not (folder / DESCRIPTOR).is_file():
        raise LlasaError(f"{folder} is no model folder: it has no {DESCRIPTOR}.")
    kind = read_json(folder / DESCRIPTOR).get("model_type")
    if kind == MODEL_TYPE:
        settings = ModelConfig.read(folder / DESCRIPTOR)
        own = folder / settings.codec
        codec = codec or (own if own.is_dir() else settings.codec)
        return ModelFiles(settings, folder / settings.lm, codec, folder)
    if kind != "llama":
        raise LlasaError(
            f"{folder} is no model: its {DESCRIPTOR} has model_type {kind!r}, valid are "
            f"{MODEL_TYPE!r} and 'llama'."
        )
    if codec is None and hub_id is not None:
        codec = RELEASED_CODEC
    if codec is None:
        raise LlasaError(
            f"{folder} holds a language model but no codec: name its codec, too (codec=..., "
            f"--codec ...), for the released models {RELEASED_CODEC}."
        )
    name = hub_id or folder.resolve().name
    settings = ModelConfig(name, sampling=dict(RELEASED_SAMPLING), chunk_chars=RELEASED_CHUNK_CHARS)
    return ModelFiles(settings, folder, codec)


def check_fit(vocabulary: Vocabulary, rows: int, codec: Codec) -> None:
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

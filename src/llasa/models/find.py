"""Finds the model that a user names: a shipped model, a folder, or a hub id."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from llasa.base import hub
from llasa.base.errors import LlasaError
from llasa.base.files import read_json
from llasa.base.names import did_you_mean
from llasa.models.folder import DESCRIPTOR, MODEL_TYPE, ModelConfig, ModelFiles, is_model_folder

if TYPE_CHECKING:
    from llasa.codec.codec import Codec

DEFAULT_MODEL = "nano"
RELEASED_CODEC = "HKUSTAudio/xcodec2"
"""Codec of the released language models, the default for a hub id."""
RELEASED_EXAMPLE = "HKUSTAudio/Llasa-1B"
RELEASED_SAMPLING = {"temperature": 0.9, "top_p": 0.95}
"""What the released model cards advise as the more stable setting (note of 2025-05-10)."""
RELEASED_CHUNK_CHARS = 250


def shipped_models() -> dict[str, Path]:
    """Models inside the package, by name."""
    assets = Path(str(files("llasa"))) / "assets"
    return {path.parent.name: path.parent for path in sorted(assets.glob(f"*/{DESCRIPTOR}"))}


def find_model(
    name_or_path: str | Path = DEFAULT_MODEL, codec: str | Path | None = None, download: bool = True
) -> ModelFiles:
    """Find a shipped model, a model folder, a folder with a language model, or a hub id.

    A folder that holds nothing but a language model needs `codec` (a codec folder, a model to take
    it from, or a hub id); for a hub id it defaults to the released X-codec2. Only a hub id is
    downloaded, and only with `download`. Raises `LlasaError` where nothing fits, and
    `NotDownloadedError` where only a download is missing.
    """
    name, shipped = str(name_or_path), shipped_models()
    if codec is not None:
        codec = find_codec(codec)
    if name in shipped:
        return _open(shipped[name], codec)
    path = hub.expand(name_or_path)
    if name and path.is_dir():
        return _open(path, codec)
    if name and path.exists():
        raise LlasaError(f"{path} is a file: give the folder of a model.")
    if hub.is_hub_id(name):
        fetch = hub.download if download else hub.downloaded
        return _open(fetch(name), codec, name)
    if name == DEFAULT_MODEL:
        raise LlasaError(
            f"The default model {DEFAULT_MODEL} is not part of this installation: install the "
            "wheel, or give a model folder or a hub id."
        )
    known = ", ".join(shipped) or "a model's name"
    raise LlasaError(
        f"Model {name!r} is unknown: give {known}, the folder of a model, or a hub id such as "
        f"{RELEASED_EXAMPLE}.{did_you_mean(name, shipped)}"
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


def _open(folder: Path, codec: str | Path | None, hub_id: str | None = None) -> ModelFiles:
    if not (folder / DESCRIPTOR).is_file():
        raise LlasaError(f"{folder} is not a model folder: it has no {DESCRIPTOR}.")
    kind = read_json(folder / DESCRIPTOR).get("model_type")
    if kind == MODEL_TYPE:
        settings = ModelConfig.read(folder / DESCRIPTOR)
        own = folder / settings.codec
        codec = codec or (own if own.is_dir() else settings.codec)
        return ModelFiles(settings, folder / settings.lm, codec, folder)
    if kind != "llama":
        raise LlasaError(
            f"{folder} is not a model: its {DESCRIPTOR} has model_type {kind!r}, valid are "
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


def load_codec(name_or_path: str | Path = DEFAULT_MODEL, device: str | None = None) -> Codec:
    """Open the codec of a shipped model or a model folder, a codec folder, or a hub id of one."""
    from llasa.codec.codec import Codec

    return Codec.load(find_codec(name_or_path), device)

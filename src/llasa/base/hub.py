"""Finds models by name: local folders and files, and the Hugging Face hub."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from llasa.base.errors import LlasaError, first_line

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")
MODEL_FILES = ("*.json", "*.safetensors", "lm/*.onnx", "codec/*.onnx", "*.opus", "README.md")
"""Patterns of the files that a model is made of, as the hub reads them: `*` is any folders, too.

Other graphs stay where they are: repositories have gigabytes of variants for other programs.
"""
_CHECKPOINTS = ("*.pt", "*.pth", "*.bin", "*.ckpt")


class NotDownloadedError(LlasaError):
    """A hub id whose files are not here, where nothing may be downloaded."""


def is_hub_id(name: str) -> bool:
    """Whether a name that is not a folder here may be one on the hub ("owner/name")."""
    return _HUB_ID.fullmatch(name) is not None


def expand(name: str | Path) -> Path:
    """A path with its ~ replaced; `LlasaError` for a user who has no home."""
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise LlasaError(f"{name} cannot be found: this user has no home folder.") from error


def find_folder(name: str | Path, files: Iterable[str] = MODEL_FILES) -> Path:
    """The folder of a model: a local one, or that of a hub id, which is downloaded.

    `files` are the patterns to download. Raises `LlasaError` where there is no such model.
    """
    folder = expand(name)
    if folder.is_dir():
        return folder
    if folder.exists():
        raise LlasaError(f"{folder} is a file: give the folder of a model.")
    if not is_hub_id(str(name)):
        raise LlasaError(f"{name} does not exist: give a local folder or a hub id (owner/name).")
    return download(str(name), files)


def find_checkpoint(name: str | Path) -> Path:
    """One file of weights: named itself, or the only one in a local folder or of a hub id."""
    if expand(name).is_file():
        return expand(name)
    folder = find_folder(name, _CHECKPOINTS)
    found = sorted(path for kind in _CHECKPOINTS for path in folder.glob(kind))
    if len(found) != 1:
        raise LlasaError(
            f"{folder} holds {len(found)} checkpoints ({', '.join(_CHECKPOINTS)}): name the file "
            "to take."
        )
    return found[0]


def download(hub_id: str, files: Iterable[str] = MODEL_FILES) -> Path:
    """The local folder of a model, after downloading what is not here yet.

    `files` are the patterns of those it needs. Raises `LlasaError` where that fails.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(hub_id, allow_patterns=[*files]))
    except (OSError, ValueError) as error:
        raise LlasaError(
            f"{hub_id} is not a local folder and could not be downloaded from the hub "
            f"({first_line(error)}): check the name and the connection; for a gated model accept "
            "its terms on the hub and log in with 'hf auth login'."
        ) from error


def downloaded(hub_id: str) -> Path:
    """The local folder without downloading anything; `NotDownloadedError` where there is none."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(hub_id, "config.json")
    if not isinstance(found, str):
        raise NotDownloadedError(
            f"{hub_id} has not been downloaded yet; that happens when the model first speaks."
        )
    return Path(found).parent

"""The Hugging Face hub: names of what lies there, and downloads."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from llasa.errors import LlasaError

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")
_FILES = ("*.json", "*.safetensors", "README.md")


class NotDownloadedError(LlasaError):
    """A hub id whose files are not here, where nothing may be downloaded."""


def is_hub_id(name: str) -> bool:
    """Whether a name that is no folder here may be one on the hub ("owner/name")."""
    return _HUB_ID.fullmatch(name) is not None


def download(hub_id: str, files: Iterable[str] = _FILES) -> Path:
    """The local folder of a model, after downloading what is not here yet.

    `files` are the patterns of those it needs. Raises `LlasaError` where that fails.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(hub_id, allow_patterns=[*files]))
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise LlasaError(
            f"{hub_id} is no local folder and could not be downloaded from the hub ({reason}): "
            "check the name and the connection; for a gated model accept its terms on the hub and "
            "log in with 'hf auth login'."
        ) from error


def downloaded(hub_id: str) -> Path:
    """The local folder without downloading anything; `NotDownloadedError` where there is none."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(hub_id, "config.json")
    if not isinstance(found, str):
        raise NotDownloadedError(
            f"{hub_id} has not been downloaded, and is not for this: the first speech does it."
        )
    return Path(found).parent

"""The settings with which work in stages was begun, kept in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from llasa.base.errors import LlasaError
from llasa.base.files import read_json, write_json

SETTINGS_FILE = "settings.json"


def pin(work: Path, values: Mapping[str, str]) -> None:
    """Keep in a folder what was asked for; `LlasaError` where it was begun with something else."""
    path = work / SETTINGS_FILE
    if not path.exists():
        write_json(path, values)
    before = read_json(path)
    for key in sorted(values.keys() | before.keys()):
        if (old := before.get(key)) != (new := values.get(key)):
            raise LlasaError(
                f"{work} was begun with other settings ({key}: {old!r}, now {new!r}): use "
                "the same ones to go on, or remove it to begin anew."
            )

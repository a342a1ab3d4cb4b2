"""Reading and writing small files: errors in one sentence, never half a file."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llasa.errors import LlasaError


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary name beside `path` that becomes `path` when the block ends well.

    Whatever ends the block early (Ctrl-C included) removes the temporary file and leaves an older
    `path` as it was. A missing folder, a full disk or missing rights raise `LlasaError`.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise LlasaError(f"{path} cannot be written: {_reason(error, path)}.") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_atomic(path: str | Path, data: bytes) -> None:
    """Write `data` to `path` in one step; raises `LlasaError` where that is not possible."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; raises `LlasaError` where it is missing or damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise LlasaError(f"{path} does not exist.") from error
    except OSError as error:
        raise LlasaError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise LlasaError(f"{path} is damaged: it is not valid JSON.") from error
    if not isinstance(value, dict):
        raise LlasaError(f"{path} is damaged: it must hold a JSON object.")
    return value


def digest(*places: Path) -> str:
    """16 hexadecimal digits of all weights (safetensors) in folders and below.

    A place that is no folder, such as a hub id, counts by its name.
    """
    total = hashlib.sha256()
    for place in places:
        paths = sorted(place.rglob("*.safetensors")) if place.is_dir() else []
        if not paths:
            total.update(str(place).encode())
        for path in paths:
            with path.open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()[:16]


def folder_megabytes(folder: Path) -> float:
    """Size of all files in a folder and below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def _reason(error: OSError, path: Path) -> str:
    if path.is_dir():
        return "it is a folder, give a file name"
    if not path.parent.is_dir():
        return f"the folder {path.parent} does not exist"
    return error.strerror or str(error)

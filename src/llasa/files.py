"""Reading and writing small files: errors in one sentence, never half a file."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Callable, Hashable, Iterator
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
        reason = unwritable(path) or error.strerror or error
        raise LlasaError(f"{path} cannot be written: {reason}.") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_atomic(path: str | Path, data: bytes) -> None:
    """Write `data` to `path` in one step; raises `LlasaError` where that is not possible."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_json(path: str | Path, value: object, indent: int | None = 2) -> None:
    """Write JSON and a line end in one step; see `write_atomic`."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    write_atomic(path, f"{text}\n".encode(errors="replace"))


def data_folder(variable: str, name: str) -> Path:
    """Where the user's data of a kind is kept: as a variable of the environment says, or a folder
    `name` where the platform has data."""
    if chosen := os.environ.get(variable):
        return Path(chosen)
    base = os.environ.get("XDG_DATA_HOME") or os.environ.get("LOCALAPPDATA")
    return Path(base or os.path.expanduser("~/.local/share")) / "llasa" / name


def make_folder(folder: Path) -> Path:
    """The folder itself, which is made where it does not exist; `LlasaError` if it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LlasaError(f"{folder} cannot be used as a folder: {error.strerror}.") from error
    return folder


def read_bytes(path: Path, wanted: str = "") -> bytes:
    """All of a file; `LlasaError`, which asks for what is `wanted`, where it cannot be read."""
    advice = f": give {wanted}" if wanted else ""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise LlasaError(f"{path} does not exist{advice}.") from error
    except IsADirectoryError as error:
        raise LlasaError(f"{path} is a folder{advice}.") from error
    except OSError as error:
        raise LlasaError(f"{path} cannot be read: {error.strerror}.") from error


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; raises `LlasaError` where it is missing or damaged."""
    data = read_bytes(path)
    try:
        value = json.loads(data)
    except ValueError as error:
        raise LlasaError(f"{path} is damaged: it is not valid JSON.") from error
    if not isinstance(value, dict):
        raise LlasaError(f"{path} is damaged: it must hold a JSON object.")
    return value


class Rows:
    """JSON objects by key, kept in a file, one a line, each as soon as it is finished.

    `key` raises KeyError, TypeError or ValueError for a row that is of no use. That goes with the
    first new row, as does a line that a crash cut off; before, the file is not touched.
    """

    def __init__(self, path: Path, key: Callable[[dict[str, Any]], Hashable]) -> None:
        self._path, self._key, self._clean = path, key, True
        self._rows: dict[Hashable, dict[str, Any]] = {}
        for line in read_bytes(path).splitlines(True) if path.exists() else ():
            try:
                self._put(json.loads(line))
            except (ValueError, KeyError, TypeError):
                self._clean = False
            self._clean &= line.endswith(b"\n")

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._rows

    def __getitem__(self, key: Hashable) -> dict[str, Any]:
        return self._rows[key]

    def add(self, row: dict[str, Any]) -> None:
        """Keep a row, in place of an older one with its key."""
        self._put(row)
        rows = [row] if self._clean else self._rows.values()
        lines = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
        data = lines.encode(errors="replace")
        if not self._clean:
            write_atomic(self._path, data)
            self._clean = True
            return
        try:
            with self._path.open("ab") as file:
                file.write(data)
        except OSError as error:
            raise LlasaError(f"{self._path} cannot be written: {error.strerror}.") from error

    def _put(self, row: dict[str, Any]) -> None:
        key = self._key(row)
        self._clean &= self._rows.pop(key, None) is None
        self._rows[key] = row


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


def unwritable(path: Path) -> str | None:
    """Why a file cannot be written there; None where nothing speaks against it."""
    if path.is_dir():
        return "it is a folder, give a file name"
    if not path.parent.is_dir():
        return f"the folder {path.parent} does not exist"
    return None if os.access(path.parent, os.W_OK) else f"the folder {path.parent} is read-only"

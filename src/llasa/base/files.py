"""Reading and writing files: clear errors, atomic writes, one writer at a time."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from llasa.base import jsonl
from llasa.base.errors import LlasaError

CONFIG = "config.json"
"""Settings of a model, a language model or a codec, in its folder."""
_LONGEST_NAME = 255
"""Bytes of a file name on all usual file systems."""


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary name beside `path` that becomes `path` when the block ends well.

    If the block ends early (an error, Ctrl-C), the temporary file is removed and an existing `path`
    stays as it was. The data is flushed to disk before the rename. Links are followed; devices and
    pipes are written to, not replaced. Raises `LlasaError` for a missing folder, a full disk or
    missing permissions.
    """
    path = Path(path)
    try:
        target = Path(os.path.realpath(path))
        special = _is_special(path)
    except (OSError, ValueError) as error:
        raise LlasaError(f"{path} cannot be written: {reason(error)}.") from error
    temporary = temporary_name(Path(tempfile.gettempdir()) if special else target.parent)
    try:
        yield temporary
        if special:
            with temporary.open("rb") as file, path.open("wb") as device:
                shutil.copyfileobj(file, device)
        else:
            sync(temporary)
            os.replace(temporary, target)
            sync(target.parent)
    except OSError as error:
        why = unwritable(path) or reason(error)
        raise LlasaError(f"{path} cannot be written: {why}.") from error
    finally:
        with suppress(OSError):  # it may never have been made
            temporary.unlink()


def temporary_name(folder: Path, own: str | None = None) -> Path:
    """A short temporary name in `folder`, whatever the final name will be.

    `own` makes it the same for all processes that write together.
    """
    return folder / f".llasa-{own or uuid.uuid4().hex[:8]}.tmp"


def beside(path: Path, suffix: str) -> Path:
    """The helper file of `path` with this suffix: its name plus the suffix, or a short hashed name
    where that would be too long for the file system.
    """
    name = f"{path.name}{suffix}"
    fits = len(os.fsencode(name)) <= _LONGEST_NAME
    return path.with_name(name if fits else f"{_own_name(path)}{suffix}")


def lock_beside(path: Path) -> Path:
    """The lock file (see `locked`) for a path that is about to be written."""
    return path.with_name(f"{_own_name(path)}.lock")


def _own_name(path: Path) -> str:
    return f".llasa-{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8]}"


def sync(path: Path) -> None:
    """Flush a file, or a folder's directory entries, to disk where the system allows it."""
    with suppress(OSError):  # not every system syncs folders
        place = os.open(path, os.O_RDONLY)
        try:
            os.fsync(place)
        finally:
            os.close(place)


@contextmanager
def locked(
    lock: Path, wait: bool = False, done: Callable[[], bool] = lambda: True
) -> Iterator[bool | None]:
    """Hold a lock file, as one process can at a time; a process that dies loses it.

    Yields True if the lock is held, False if another process holds it (only without `wait`), None
    if the file system has no locks. The lock file is deleted at the end if `done()` says so: as
    long as others may still want this lock it must stay, since a process waiting for a deleted file
    and one that creates it anew would both hold it. Raises `LlasaError` where the file cannot be
    written.
    """
    from filelock import FileLock, Timeout

    held = FileLock(lock, blocking=wait)
    try:
        held.acquire()
    except Timeout:
        yield False
        return
    except NotImplementedError:
        yield None
        return
    except OSError as error:
        raise LlasaError(f"{lock.parent} cannot be written: {reason(error)}.") from error
    try:
        yield True
    finally:
        if done():
            with suppress(OSError):  # Windows cannot remove it yet, and does so on release
                lock.unlink()
        held.release()


@contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Claim `path`, a file or a folder, for writing; one process at a time can.

    Raises `LlasaError` if another process has claimed it; see `locked`.
    """
    if not path.is_dir() and (why := unwritable(path)) is not None:
        raise LlasaError(f"{path} cannot be written: {why}.")
    lock = path / ".llasa.lock" if path.is_dir() else lock_beside(path)
    with locked(lock) as held:
        if held is False:
            raise LlasaError(
                f"Another process is writing {path}: wait for it to end, or choose another name."
            )
        yield


def write_atomic(path: str | Path, data: bytes) -> None:
    """Write `data` to `path` in one step; raises `LlasaError` where that is not possible."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(data)


def write_json(path: str | Path, value: object, indent: int | None = 2) -> None:
    """Write JSON and a line end in one step; see `write_atomic`."""
    write_atomic(path, jsonl.render(value, indent))


def data_folder(variable: str, name: str) -> Path:
    """The folder of some kind of user data: that of the environment variable, or `name` in the
    platform's data folder.

    Raises `LlasaError` for a user without a home folder.
    """
    if chosen := os.environ.get(variable):
        return Path(chosen)
    base = os.environ.get("XDG_DATA_HOME") or os.environ.get("LOCALAPPDATA")
    try:
        folder = Path(base) if base else Path.home() / ".local" / "share"
    except RuntimeError as error:
        raise LlasaError(
            f"This user has no home folder to keep {name} in: set {variable} to a folder."
        ) from error
    return folder / "llasa" / name


def make_folder(folder: Path) -> Path:
    """Create the folder if it does not exist, and return it; `LlasaError` if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise LlasaError(f"{folder} cannot be used as a folder: {reason(error)}.") from error
    return folder


def read_bytes(path: Path, wanted: str = "") -> bytes:
    """The content of a file; `LlasaError`, which says what is `wanted`, if it cannot be read."""
    advice = f": give {wanted}" if wanted else ""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise LlasaError(f"{path} does not exist{advice}.") from error
    except IsADirectoryError as error:
        raise LlasaError(f"{path} is a folder{advice}.") from error
    except (OSError, ValueError) as error:
        raise LlasaError(f"{path} cannot be read: {reason(error)}.") from error


def reason(error: BaseException) -> str:
    """Why the system refused a file; Python raises ValueError for invalid file names."""
    if isinstance(error, OSError):
        return str(error.strerror or error)
    return "no file can have this name"


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; raises `LlasaError` where it is missing or damaged."""
    return jsonl.parse_object(read_bytes(path), f"{path} is damaged")


@contextmanager
def published_folder(out: Path) -> Iterator[Path]:
    """A temporary folder that takes the place of `out` when the block ends well.

    If the block ends early, the temporary folder is removed and an existing `out` stays as it was.
    All files are flushed to disk before the rename.
    """
    temporary = temporary_name(out.parent)
    replaced = temporary.with_suffix(".old")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        for path in (*temporary.rglob("*"), temporary):
            sync(path)
        if out.exists():
            os.replace(out, replaced)
        os.replace(temporary, out)
        sync(out.parent)
        shutil.rmtree(replaced, ignore_errors=True)
    except OSError as error:
        raise LlasaError(f"{out} cannot be written: {reason(error)}.") from error
    finally:
        if replaced.exists() and not out.exists():
            os.replace(replaced, out)
        shutil.rmtree(temporary, ignore_errors=True)


def remove_unfinished(folder: Path) -> None:
    """Delete what killed processes left of `published_folder`, while nobody else writes there."""
    for left in folder.glob(".llasa-*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)


def digest(*places: Path) -> str:
    """16 hexadecimal digits of all weights and settings in folders and below.

    A place that is not a folder, such as a hub id, counts by its name.
    """
    total = hashlib.sha256()
    for place in places:
        found = place.rglob("*") if place.is_dir() else ()
        paths = sorted(path for path in found if path.suffix in (".safetensors", ".onnx", ".json"))
        if not paths:
            total.update(os.fsencode(place))
        for path in paths:
            with path.open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()[:16]


def folder_megabytes(folder: Path) -> float:
    """Size of all files in a folder and below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def unwritable(path: Path) -> str | None:
    """Why no file can be written there, found out by trying; None if it can."""
    try:
        if path.is_dir():
            return "it is a folder, give a file name"
        if _is_special(path):
            return None if os.access(path, os.W_OK) else "it is read-only"
        target = Path(os.path.realpath(path))
        if not target.parent.is_dir():
            return f"the folder {path.parent} does not exist"
        with suppress(FileNotFoundError):
            os.lstat(target)  # complains of a name that is too long
        probe = temporary_name(target.parent)
        probe.touch()
        probe.unlink()
    except PermissionError:
        return f"the folder {path.parent} is read-only"
    except (OSError, ValueError) as error:
        return reason(error).lower()
    return None


def _is_special(path: Path) -> bool:
    """Whether it is a device or a pipe."""
    return path.exists() and not path.is_file() and not path.is_dir()

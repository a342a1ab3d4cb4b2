"""What the importers share: tables, finding files, and putting recordings into files."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from llasa.base.errors import LlasaError
from llasa.base.files import make_folder, reason, write_atomic
from llasa.data.manifest import Utterance

AUDIO_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".aiff")
AUDIO = ("audio", "audio_path", "audio_file", "file_name", "filename", "file", "path", "wav")
TEXT = ("text", "transcript", "transcription", "sentence", "normalized_text")
SPEAKER = ("speaker", "speaker_id", "speaker_name", "client_id")
LANGUAGE = ("language", "lang", "locale")
SECONDS = ("seconds", "duration")
_MAGIC = {b"RIFF": ".wav", b"fLaC": ".flac", b"OggS": ".ogg", b"ID3": ".mp3", b"\xff": ".mp3"}


def text_of(row: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """The first of these fields that is not empty, as a string."""
    for name in names:
        value = row.get(name)
        if not isinstance(value, list | dict | None) and (text := str(value).strip()):
            return text
    return None


def utterance(audio: Path, row: Mapping[str, Any]) -> Utterance:
    """A recording with the facts that a row gives under any of the usual column names."""
    text, speaker, language = (text_of(row, names) for names in (TEXT, SPEAKER, LANGUAGE))
    return Utterance(audio, text, speaker, _seconds(row), language)


def _seconds(row: Mapping[str, Any]) -> float | None:
    """The length that a row gives; None if there is no valid one."""
    try:
        seconds = float(text_of({k: str(row.get(k) or "") for k in SECONDS}, SECONDS) or 0)
    except ValueError:
        return None
    return seconds if 0 < seconds < float("inf") else None


def read_lines(path: Path) -> Iterator[str]:
    """Lines of a UTF-8 file that are not blank, without their ends."""
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            for line in file:
                if line.strip():
                    yield line.rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise LlasaError(f"{path} is not UTF-8 text: save it as UTF-8.") from error
    except OSError as error:
        raise LlasaError(f"{path} cannot be read: {reason(error)}.") from error


def read_rows(
    path: Path, delimiter: str, quoting: Literal[0, 3] = csv.QUOTE_MINIMAL
) -> Iterator[list[str]]:
    """Rows of a table."""
    csv.field_size_limit(sys.maxsize)
    lines = (f"{line}\n" for line in read_lines(path))
    try:
        yield from csv.reader(lines, delimiter=delimiter, quoting=quoting)
    except csv.Error as error:
        raise LlasaError(f"{path} is not a table: {error}.") from error


def read_table(
    path: Path,
    delimiter: str,
    needed: Sequence[Sequence[str]],
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL,
) -> Iterator[dict[str, str]]:
    """Rows of a table by the names in its header, which must hold one of each of `needed`."""
    rows = read_rows(path, delimiter, quoting)
    header = [name.strip().lower() for name in next(rows, [])]
    for names in needed:
        if not set(names) & set(header):
            raise LlasaError(
                f"{path} has no column {names[0]}: its header is {', '.join(header) or 'missing'}."
            )
    for row in rows:
        yield dict(zip(header, row, strict=False))


def found(folder: Path, pattern: str) -> list[Path]:
    """Files below a folder, sorted."""
    return sorted(path for path in folder.rglob(pattern) if path.is_file())


def files_of(path: Path, suffix: str) -> list[Path]:
    """The file itself, or those with the suffix in a folder and below."""
    return found(path, f"*{suffix}") if path.is_dir() else [path]


def save_clip(clips: Path, name: str, data: bytes) -> Path:
    """Put the bytes of a recording into a file; its suffix is that of the name, or by the bytes."""
    path = clips / re.sub(r"[^\w.-]+", "_", name).lstrip(".")
    if path.suffix.lower() not in AUDIO_SUFFIXES:
        suffix = next((end for start, end in _MAGIC.items() if data.startswith(start)), ".wav")
        path = path.with_name(path.name + suffix)
    make_folder(clips)
    write_atomic(path, data)
    return path

"""WebDataset tar files, as Emilia comes: the files of one sample have one name and follow."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from llasa.base import jsonl
from llasa.base.errors import LlasaError
from llasa.data.importers.common import AUDIO_SUFFIXES, files_of, save_clip, utterance
from llasa.data.manifest import Utterance


def read(path: Path, clips: Path) -> Iterator[Utterance]:
    """Recordings are written to a folder for each tar file."""
    for archive in files_of(path, ".tar"):
        for name, parts in _samples(archive):
            audio = next((s for s in parts if f".{s}" in AUDIO_SUFFIXES), None)
            if audio is None:
                continue
            about = jsonl.parse_object(parts.get("json", b"{}"), f"{archive}, {name}.json")
            beside = parts.get("txt", b"").decode("utf-8", "replace").strip()
            clip = save_clip(clips / archive.stem, f"{name}.{audio}", parts[audio])
            row = utterance(clip, about)
            yield replace(row, text=row.text or beside or None)


def _samples(archive: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Names and, by suffix, the files of each sample."""
    current, parts = "", dict[str, bytes]()
    try:
        with tarfile.open(archive, "r|*") as tar:
            for member in tar:
                file = tar.extractfile(member) if member.isfile() else None
                if file is None:
                    continue
                folder, _, base = member.name.rpartition("/")
                stem, _, suffix = base.partition(".")
                name = f"{folder}/{stem}" if folder else stem
                if name != current and parts:
                    yield current, parts
                    parts = {}
                current = name
                parts[suffix.lower()] = file.read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise LlasaError(f"{archive} is not a complete tar file: {error}.") from error
    if parts:
        yield current, parts

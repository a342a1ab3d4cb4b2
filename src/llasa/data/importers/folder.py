"""Recordings in a folder and below, each with its text in a file of the same name beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from llasa.base.errors import LlasaError
from llasa.data.importers.common import AUDIO_SUFFIXES, found, read_lines
from llasa.data.manifest import Utterance

_TEXT_SUFFIXES = (".txt", ".normalized.txt", ".lab")


def read(path: Path, clips: Path) -> Iterator[Utterance]:
    """Texts are missing where there is no file with one."""
    if not path.is_dir():
        raise LlasaError(f"{path} is not a folder of recordings.")
    for audio in found(path, "*"):
        if audio.suffix.lower() in AUDIO_SUFFIXES:
            beside = (audio.with_suffix(suffix) for suffix in _TEXT_SUFFIXES)
            text = next((" ".join(read_lines(file)) for file in beside if file.exists()), None)
            yield Utterance(audio, text or None)

"""LJSpeech and corpora laid out like it: metadata.csv and wavs/."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from llasa.base.errors import LlasaError
from llasa.data.importers.common import read_rows
from llasa.data.manifest import Utterance


def read(path: Path, clips: Path) -> Iterator[Utterance]:
    """The normalized text, which is the last column, is the one that is spoken."""
    table = path / "metadata.csv" if path.is_dir() else path
    if not table.exists():
        raise LlasaError(f"{path} is not an LJSpeech corpus: it has no metadata.csv.")
    for number, row in enumerate(read_rows(table, "|", csv.QUOTE_NONE), 1):
        if len(row) < 2:
            raise LlasaError(f"{table}, line {number}: it must be ID|TEXT or ID|TEXT|NORMALIZED.")
        name = row[0] if row[0].lower().endswith(".wav") else f"{row[0]}.wav"
        yield Utterance(table.parent / "wavs" / name, row[-1].strip() or row[1].strip() or None)

"""A table with a header: one column names the recording, others say what is in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from llasa.base.errors import LlasaError
from llasa.data.importers.common import AUDIO, TEXT, read_table, text_of, utterance
from llasa.data.manifest import Utterance


def read(path: Path, clips: Path) -> Iterator[Utterance]:
    """Paths count from the folder of the table."""
    if path.is_dir():
        raise LlasaError(f"{path} is a folder: give the .csv or .tsv file in it.")
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    for row in read_table(path, delimiter, [AUDIO, TEXT]):
        if (audio := text_of(row, AUDIO)) is not None:
            yield utterance(path.parent / audio, row)

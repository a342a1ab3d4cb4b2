"""Common Voice: a .tsv file a split, and all recordings in clips/."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from llasa.base.errors import LlasaError
from llasa.data.importers.common import read_table, utterance
from llasa.data.manifest import Utterance


def read(path: Path, clips: Path) -> Iterator[Utterance]:
    """The splits are files of their own: train.tsv, dev.tsv, test.tsv, validated.tsv."""
    if path.is_dir():
        raise LlasaError(f"{path} is a folder: give one of its splits, as {path / 'train.tsv'}.")
    for row in read_table(path, "\t", [["path"], ["sentence"]], csv.QUOTE_NONE):
        yield utterance(path.parent / "clips" / row["path"], row)

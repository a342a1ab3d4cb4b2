"""How far a shard had come that is being written, for whoever goes on with it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np

from llasa.base import jsonl
from llasa.base.errors import LlasaError
from llasa.base.files import read_bytes, read_json, write_json

JOURNAL_FILE = "journal.json"
GROWING = ("codes.bin", "rows.jsonl", "skipped.jsonl", "index.part")
"""Files that grow with every utterance; the last holds the index without its first row."""

Position = tuple[list[tuple[int, int]], list[str | None], int]
"""The index, the speaker of each utterance, and how many recordings were left out."""


def write_journal(folder: Path, files: Sequence[IO[bytes]], utterances: int, skipped: int) -> None:
    """Have the files, those of `GROWING`, on the disk, and then how far they go."""
    for file in files:
        file.flush()
        os.fsync(file.fileno())
    sizes = [file.tell() for file in files]
    journal = {"utterances": utterances, "skipped": skipped, "sizes": sizes}
    write_json(folder / JOURNAL_FILE, journal)


def last_commit(folder: Path) -> Position | None:
    """Cut the files back to the last journal; None where there is none, or they are shorter."""
    try:
        journal = read_json(folder / JOURNAL_FILE)
        for name, size in zip(GROWING, journal["sizes"], strict=True):
            if (folder / name).stat().st_size < size:
                return None
            os.truncate(folder / name, size)
        ends = np.fromfile(folder / GROWING[-1], "<i8").reshape(-1, 2).tolist()
        rows = jsonl.read(read_bytes(folder / "rows.jsonl"), str(folder))
        speakers = [row.get("speaker") for _, row in rows]
        skipped = int(journal["skipped"])
    except (LlasaError, OSError, ValueError, KeyError, TypeError):
        return None
    if not len(ends) == len(speakers) == journal["utterances"]:
        return None
    return [(0, 0), *map(tuple, ends)], speakers, skipped

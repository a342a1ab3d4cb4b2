"""Columns of a finished data set: what a trainer asks of all utterances, in mapped arrays.

They lie in `columns/` beside the shards, one `.npy` file each, so that a data set of any size opens
at once and all processes of a machine share one copy. They are made from the shards and invalid
once one of those has changed, which the CRC-32 in `shards.crc` shows.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from llasa.base.files import lock_beside, locked, published_folder

COLUMNS, STAMP_FILE, SUMS_FILE = "columns", "shards.crc", "sums.json"


class Columns(NamedTuple):
    """Of n utterances in s shards, said by k speakers."""

    starts: NDArray[np.int64]
    """First utterance of each shard, and n; (s + 1,)."""
    lengths: NDArray[np.int32]
    """Codes of each utterance, (n,)."""
    by_speaker: NDArray[np.int64]
    """Utterances that have a speaker, those of one speaker together; (m,)."""
    speaker_starts: NDArray[np.int64]
    """Where each speaker begins in `by_speaker`, and m; (k + 1,)."""

    def speakers(self) -> list[NDArray[np.int64]]:
        """Numbers of the utterances of each speaker; views of the mapped column."""
        ends = self.speaker_starts.tolist()
        return [self.by_speaker[start:stop] for start, stop in pairwise(ends)]


def load_columns(folder: Path, shards: Sequence[Path]) -> Columns | None:
    """The columns of a folder, mapped; None where it has none or its shards have changed since."""
    place = folder / COLUMNS
    try:
        if (place / STAMP_FILE).read_text() != _stamp(shards):
            return None
        columns = Columns(*(np.load(place / f"{name}.npy", "r") for name in Columns._fields))
    except (OSError, ValueError, EOFError):
        return None
    whole = len(columns.starts) == len(shards) + 1 and columns.starts[-1] == len(columns.lengths)
    return columns if whole else None


ShardColumns = tuple[NDArray[np.int32], list[str], NDArray[np.int32]]
"""Of one shard: lengths, names, and for each utterance the number of its speaker's name, or -1."""


def make_columns(parts: Iterable[ShardColumns]) -> Columns:
    """Join those of the shards, in their order; equal names are one speaker."""
    starts, lengths, numbers = [0], [], []
    known: dict[str, int] = {}
    for some, names, own in parts:
        starts.append(starts[-1] + len(some))
        lengths.append(some)
        places = np.array([known.setdefault(name, len(known)) for name in names] + [-1])
        numbers.append(places[own].astype(np.int32))
    none = np.zeros(0, np.int32)
    of = np.concatenate([none, *numbers])
    order = np.argsort(of, kind="stable")
    counts = np.bincount(of + 1, minlength=len(known) + 1)
    return Columns(
        np.array(starts, np.int64),
        np.concatenate([none, *lengths]),
        order[counts[0] :].astype(np.int64, copy=False),
        np.concatenate([np.zeros(1, np.int64), np.cumsum(counts[1:])]),
    )


def save_columns(folder: Path, columns: Columns, shards: Sequence[Path]) -> None:
    """Write them in one step, in place of older ones; several workers may do so at a time."""
    place = folder / COLUMNS
    with locked(lock_beside(place), wait=True), published_folder(place) as temporary:
        for name, column in columns._asdict().items():
            np.save(temporary / f"{name}.npy", column)
        (temporary / STAMP_FILE).write_text(_stamp(shards))


def _stamp(shards: Sequence[Path]) -> str:
    crc = 0
    for shard in shards:
        crc = zlib.crc32((shard / SUMS_FILE).read_bytes(), crc)
    return f"{len(shards)} {crc:08x}"

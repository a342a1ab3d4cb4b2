"""Reads the token shards of a folder, of which only a few are open at a time."""

from __future__ import annotations

import mmap
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llasa.base import jsonl
from llasa.base.errors import LlasaError
from llasa.base.files import read_bytes, read_json, reason
from llasa.data.columns import Columns, load_columns, make_columns

AGAIN = "run llasa data tokenize again"
SPEAKERS_FILE = "speakers.json"
_OPEN_SHARDS = 64
"""Shards that a source keeps open, three mappings each."""


class TokenItem(NamedTuple):
    """One utterance of a data set; the released data has its text as ids of Llama 3's tokenizer."""

    text: str | list[int]
    codes: NDArray[np.int64]
    speaker: str | None
    timing: Sequence[tuple[float, float]] = ()
    """Pairs of a share of the text and the codes after which it is said."""
    phones: Sequence[tuple[str, float]] = ()
    """Symbols, each with the codes after which it ends."""


class ShardReader:
    """One shard, mapped; `LlasaError` where it is damaged or cannot be opened."""

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self.path = path
        try:
            self._index = _mapped(path / "index.npy", np.dtype("<i8"), header=True).reshape(-1, 2)
            self._rows = _mapped(path / "rows.jsonl", np.dtype(np.uint8))
            self._codes = _mapped(path / "codes.bin", dtype)
        except (FileNotFoundError, ValueError, EOFError) as error:
            raise LlasaError(
                f"The shard {path} is damaged ({error}): remove it and {AGAIN}."
            ) from error
        except OSError as error:
            raise LlasaError(f"The shard {path} cannot be opened: {reason(error)}.") from error
        if tuple(self._index[-1]) != (len(self._codes), len(self._rows)):
            raise LlasaError(f"The shard {path} is cut short: remove it and {AGAIN}.")

    def __len__(self) -> int:
        return len(self._index) - 1

    def __getitem__(self, position: int) -> TokenItem:
        (first, row_start), (last, row_stop) = self._index[position : position + 2]
        line = self._rows[row_start:row_stop].tobytes()
        row = jsonl.parse_object(line, f"{self.path}, utterance {position}")
        codes = np.array(self._codes[first:last], dtype=np.int64)
        optional = (row.get("timing", ()), row.get("phones", ()))
        return TokenItem(row["text"], codes, row.get("speaker"), *optional)

    def lengths(self) -> NDArray[np.int32]:
        """Codes of each utterance."""
        return np.diff(np.load(self.path / "index.npy")[:, 0]).astype(np.int32)

    def speakers(self) -> tuple[list[str], NDArray[np.int32]]:
        """Names, and for each utterance the number of its speaker's name, or -1."""
        if (self.path / SPEAKERS_FILE).exists():
            found = read_json(self.path / SPEAKERS_FILE)
            return found["names"], np.array(found["numbers"], np.int32)
        rows = jsonl.read(read_bytes(self.path / "rows.jsonl"), str(self.path / "rows.jsonl"))
        return number_speakers(row.get("speaker") for _, row in rows)


class TokenFolder:
    """The utterances of a folder of shards, opened when they are asked for.

    Safe to use from several threads.
    """

    def __init__(self, folder: Path, paths: Sequence[Path], dtype: np.dtype[Any]) -> None:
        self._paths, self._dtype = paths, dtype
        self._open: OrderedDict[int, ShardReader] = OrderedDict()
        self._lock = threading.Lock()
        self._columns = load_columns(folder, paths)
        self.mapped = self._columns is not None
        """Whether the folder has its columns."""
        if self._columns is not None:
            starts = np.array(self._columns.starts)
        else:
            starts = np.cumsum([0, *(len(self.shard(number)) for number in range(len(paths)))])
        self._starts = starts

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> TokenItem:
        number = int(self._starts.searchsorted(index, "right")) - 1
        return self.shard(number)[index - int(self._starts[number])]

    def shard(self, number: int) -> ShardReader:
        """A shard, which stays open until `_OPEN_SHARDS` others have been used."""
        with self._lock:
            if number not in self._open:
                self._open[number] = ShardReader(self._paths[number], self._dtype)
                if len(self._open) > _OPEN_SHARDS:
                    self._open.popitem(last=False)
            self._open.move_to_end(number)
            return self._open[number]

    def columns(self) -> Columns:
        """The columns, mapped if the folder has them, else read once from the shards."""
        if self._columns is None:
            shards = map(self.shard, range(len(self._paths)))
            self._columns = make_columns((shard.lengths(), *shard.speakers()) for shard in shards)
        return self._columns

    def lengths(self) -> NDArray[np.int32]:
        """Codes of every utterance."""
        return self.columns().lengths

    def speakers(self) -> list[NDArray[np.int64]]:
        """Numbers of the utterances of each speaker."""
        return self.columns().speakers()


def number_speakers(speakers: Any) -> tuple[list[str], NDArray[np.int32]]:
    """Names in order of appearance, and the number of each utterance's speaker, -1 for none."""
    known: dict[str, int] = {}
    numbers = [known.setdefault(name, len(known)) if name else -1 for name in speakers]
    return list(known), np.array(numbers, np.int32)


def _mapped(path: Path, dtype: np.dtype[Any], header: bool = False) -> NDArray[Any]:
    """Map a file for random access; with a `header` it is an .npy file."""
    with path.open("rb") as file:
        if header:
            np.lib.format.read_magic(file)
            np.lib.format.read_array_header_1_0(file)
        offset = file.tell()
        if os.fstat(file.fileno()).st_size == offset:  # an empty file cannot be mapped
            return np.zeros(0, dtype)
        area = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if hasattr(area, "madvise"):
        area.madvise(mmap.MADV_RANDOM)  # else each row costs a hundred pages that nobody wants
    return np.frombuffer(area, dtype, offset=offset)

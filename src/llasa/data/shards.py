"""Token shards: utterances as text and codes, in flat files that are mapped, not loaded.

A data set is a folder with `meta.json` and one folder a shard:

    codes.bin     all codes end to end, little-endian uint16 (uint32 above 65,536 codes)
    rows.jsonl    one {"text": ..., "speaker": ...} a line
    index.npy     int64 (n + 1, 2): where each utterance starts in codes.bin (codes) and
                  rows.jsonl (bytes)
    skipped.jsonl recordings that were left out, each with the reason
    shard.json    counts and the CRC-32 of codes.bin

A shard is written under a temporary name and renamed when complete: its folder is its done-marker.
"""

from __future__ import annotations

import bisect
import json
import os
import shutil
import uuid
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llasa.errors import LlasaError
from llasa.files import read_json, write_atomic

META_FILE = "meta.json"
AGAIN = "run llasa tokenize again"


@dataclass(frozen=True)
class ShardMeta:
    """What all shards of a data set share."""

    codec: str
    """Name of the codec that made the codes."""
    codebook_size: int
    frame_rate: float
    """Codes a second."""
    shards: int
    """Number of shards when complete."""
    source: str = ""
    """What the shards were made from, so that a rerun with something else is refused."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Storage type of a code."""
        return np.dtype("<u2" if self.codebook_size <= 1 << 16 else "<u4")

    def save(self, folder: Path) -> None:
        """Write meta.json; refuses a folder that already belongs to a different data set."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / META_FILE
        if not path.exists():
            write_atomic(path, (json.dumps(asdict(self), indent=2) + "\n").encode())
        found = ShardMeta.load(folder)
        for key, value in asdict(self).items():
            if (other := getattr(found, key)) != value:
                raise LlasaError(
                    f"{folder} holds another data set ({key} is {other!r}, not {value!r}): "
                    "choose a new folder or remove the old one."
                )

    @classmethod
    def load(cls, folder: Path) -> ShardMeta:
        """Read meta.json; `LlasaError` where it is missing or damaged."""
        if not (folder / META_FILE).exists():
            raise LlasaError(f"{folder} holds no token shards: make them with llasa tokenize.")
        try:
            return cls(**read_json(folder / META_FILE))
        except TypeError as error:
            raise LlasaError(f"{folder / META_FILE} is damaged: {error}.") from error


class ShardWriter:
    """Writes one shard; leaving the `with` block normally publishes it, an error discards it."""

    def __init__(self, folder: str | Path, number: int, meta: ShardMeta) -> None:
        self.path = shard_path(Path(folder), number)
        self.meta = meta
        self.codes = 0
        self.utterances = 0
        self.skipped = 0
        self.reason = ""
        """Why the last recording was left out."""
        self._crc = 0
        self._index = [(0, 0)]
        self._temporary = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            self._temporary.mkdir(parents=True)
            self._code_file = (self._temporary / "codes.bin").open("wb")
            self._row_file = (self._temporary / "rows.jsonl").open("wb")
            self._skip_file = (self._temporary / "skipped.jsonl").open("wb")
        except OSError as error:
            raise LlasaError(f"{folder} cannot be written: {error.strerror}.") from error

    def add(
        self, text: str, codes: Sequence[int] | NDArray[Any], speaker: str | None = None
    ) -> None:
        """Append one utterance; codes of shape (n,), 0 to codebook_size - 1."""
        array = np.asarray(codes)
        if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "iu":
            raise LlasaError(f"Codes must be whole numbers of shape (n,), not {array.shape}.")
        if array.min() < 0 or array.max() >= self.meta.codebook_size:
            raise LlasaError(
                f"Codes run from {array.min()} to {array.max()}, but the codec "
                f"{self.meta.codec} has {self.meta.codebook_size} (0 to "
                f"{self.meta.codebook_size - 1})."
            )
        data = array.astype(self.meta.dtype).tobytes()
        row = {"text": text} if speaker is None else {"text": text, "speaker": speaker}
        line = (json.dumps(row, ensure_ascii=False) + "\n").encode()
        self._code_file.write(data)
        self._row_file.write(line)
        self._crc = zlib.crc32(data, self._crc)
        self._index.append((self._index[-1][0] + array.size, self._index[-1][1] + len(line)))
        self.codes += array.size
        self.utterances += 1

    def skip(self, audio: str | Path, reason: str) -> None:
        """Note a recording that was left out."""
        line = json.dumps({"audio": str(audio), "reason": reason}, ensure_ascii=False) + "\n"
        self._skip_file.write(line.encode())
        self.skipped += 1
        self.reason = reason

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        try:
            for file in (self._code_file, self._row_file, self._skip_file):
                file.close()
            if error is None:
                self._publish()
        except OSError as failure:
            raise LlasaError(f"{self.path} cannot be written: {failure.strerror}.") from failure
        finally:
            shutil.rmtree(self._temporary, ignore_errors=True)
        if isinstance(error, OSError):
            raise LlasaError(f"{self.path} cannot be written: {error.strerror}.") from error

    def _publish(self) -> None:
        np.save(self._temporary / "index.npy", np.array(self._index, dtype=np.int64))
        summary = {
            "utterances": self.utterances,
            "codes": self.codes,
            "skipped": self.skipped,
            "crc32": self._crc,
        }
        write_atomic(self._temporary / "shard.json", (json.dumps(summary) + "\n").encode())
        try:
            os.rename(self._temporary, self.path)
        except OSError:
            # Another worker finished the same shard first; both hold the same data.
            if not self.path.is_dir():
                raise


class TokenItem(NamedTuple):
    """One utterance of a data set."""

    text: str
    codes: NDArray[np.int64]
    speaker: str | None


class _Shard:
    """One mapped shard."""

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self.path = path
        try:
            self.index = np.load(path / "index.npy", mmap_mode="r")
            self._rows = np.memmap(path / "rows.jsonl", dtype=np.uint8, mode="r")
            self._codes = np.memmap(path / "codes.bin", dtype=dtype, mode="r")
        except (OSError, ValueError) as error:
            raise LlasaError(
                f"The shard {path} is damaged ({error}): remove it and {AGAIN}."
            ) from (error)
        if tuple(self.index[-1]) != (len(self._codes), len(self._rows)):
            raise LlasaError(f"The shard {path} is cut short: remove it and {AGAIN}.")

    def __getitem__(self, position: int) -> TokenItem:
        (first, row_start), (last, row_stop) = self.index[position : position + 2]
        row = json.loads(self._rows[row_start:row_stop].tobytes())
        codes = np.array(self._codes[first:last], dtype=np.int64)
        return TokenItem(row["text"], codes, row.get("speaker"))

    def crc32(self) -> int:
        return zlib.crc32(self._codes.tobytes())


class TokenDataset:
    """Random access to the utterances of one or more data sets made by the same codec.

    Shards are mapped on first use. Raises `LlasaError` where shards are missing (unless `partial`),
    damaged, or made by different codecs.
    """

    def __init__(self, *folders: str | Path, partial: bool = False) -> None:
        if not folders:
            raise LlasaError("Name at least one folder of token shards.")
        metas = [ShardMeta.load(Path(folder)) for folder in folders]
        first = metas[0]
        for folder, meta in zip(folders, metas, strict=True):
            for key in ("codec", "codebook_size", "frame_rate"):
                if getattr(meta, key) != getattr(first, key):
                    raise LlasaError(
                        f"{folder} and {folders[0]} were made by different codecs ({key} is "
                        f"{getattr(meta, key)!r} and {getattr(first, key)!r})."
                    )
        self.codec = first.codec
        self.codebook_size = first.codebook_size
        self.frame_rate = first.frame_rate
        self._dtype = first.dtype
        self._paths: list[Path] = []
        counts: list[int] = []
        for folder, meta in zip(folders, metas, strict=True):
            done = finished_shards(Path(folder), meta)
            if len(done) < meta.shards and not partial:
                raise LlasaError(
                    f"{folder} lacks {meta.shards - len(done)} of {meta.shards} shards: {AGAIN} "
                    "to finish it."
                )
            for number in done:
                path = shard_path(Path(folder), number)
                if count := int(read_json(path / "shard.json")["utterances"]):
                    self._paths.append(path)
                    counts.append(count)
        self._starts = [0, *np.cumsum(counts, dtype=np.int64).tolist()]
        self._open: dict[int, _Shard] = {}

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> TokenItem:
        if not -len(self) <= index < len(self):
            raise IndexError(f"utterance {index} of {len(self)}")
        index %= len(self)
        number = bisect.bisect_right(self._starts, index) - 1
        return self._shard(number)[index - self._starts[number]]

    def lengths(self) -> NDArray[np.int64]:
        """Codes of every utterance, shape (len(self),), without reading the codes."""
        parts = [np.diff(self._shard(number).index[:, 0]) for number in range(len(self._paths))]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)

    def verify(self) -> None:
        """Read all codes and compare checksums; `LlasaError` names the first damaged shard."""
        for number, path in enumerate(self._paths):
            if self._shard(number).crc32() != read_json(path / "shard.json")["crc32"]:
                raise LlasaError(f"The shard {path} is damaged: remove it and {AGAIN}.")

    def _shard(self, number: int) -> _Shard:
        if number not in self._open:
            self._open[number] = _Shard(self._paths[number], self._dtype)
        return self._open[number]

    def __getstate__(self) -> dict[str, Any]:
        # Worker processes map the files themselves instead of receiving copies.
        return {**self.__dict__, "_open": {}}


def shard_path(folder: Path, number: int) -> Path:
    """Folder of one shard."""
    return folder / f"{number:06d}"


def finished_shards(folder: Path, meta: ShardMeta) -> list[int]:
    """Numbers of the complete shards, in order."""
    return [number for number in range(meta.shards) if shard_path(folder, number).is_dir()]

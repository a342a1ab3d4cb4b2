"""Token shards: utterances as text and codes, in flat files that are mapped, not loaded.

A data set is a folder with `meta.json` and one folder a shard, which may be empty:

    codes.bin     all codes end to end, little-endian uint16 (uint32 above 65,536 codes)
    rows.jsonl    one {"text": ..., "speaker": ..., "timing": ..., "phones": ...} a line
    index.npy     int64 (n + 1, 2): where each utterance starts in codes.bin (codes) and
                  rows.jsonl (bytes)
    skipped.jsonl recordings that were left out, each with the reason
    sums.json     CRC-32 of each of the first three

A shard is written under a temporary name and renamed when complete: its folder is its done-marker.
"""

from __future__ import annotations

import bisect
import os
import shutil
import uuid
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llasa.base import jsonl
from llasa.base.errors import LlasaError
from llasa.base.files import make_folder, read_json, sync, write_json
from llasa.data.official import OFFICIAL_SUFFIX, OfficialRows

META_FILE, SUMS_FILE = "meta.json", "sums.json"
_SUMMED = ("codes.bin", "rows.jsonl", "index.npy")
AGAIN = "run llasa tokenize again"
UNKNOWN_CODEC = ""
"""Name of a codec that may be any."""


@dataclass(frozen=True)
class ShardMeta:
    """What all shards of a data set share."""

    codec: str
    """Id of the codec that made the codes (`Codec.id`)."""
    codebook_size: int
    frame_rate: float
    """Codes a second."""
    shards: int
    """Number of shards when complete."""
    source: str = ""
    """What the shards were made from, so that a rerun with something else is refused."""

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype("<u2" if self.codebook_size <= 1 << 16 else "<u4")

    def save(self, folder: Path) -> None:
        """Write meta.json; refuses a folder that already belongs to a different data set."""
        path = make_folder(folder) / META_FILE
        if not path.exists():
            write_json(path, asdict(self))
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
            raise LlasaError(
                f"{folder} holds no token shards: make them with llasa tokenize, or of released "
                f"data name a file such as train{OFFICIAL_SUFFIX}."
            )
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
        self,
        text: str,
        codes: Sequence[int] | NDArray[Any],
        speaker: str | None = None,
        timing: Sequence[tuple[float, float]] = (),
        phones: Sequence[tuple[str, float]] = (),
    ) -> None:
        """Append one utterance; codes of shape (n,), 0 to codebook_size - 1.

        ``timing`` pairs a share of the text, 0 to 1, with the codes after which it is said;
        ``phones`` are symbols, each with the codes after which it ends.
        """
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
        row: dict[str, Any] = {"text": text}
        if speaker is not None:
            row["speaker"] = speaker
        if timing:
            row["timing"] = [(round(share, 4), round(codes, 1)) for share, codes in timing]
        if phones:
            row["phones"] = [(symbol, round(codes, 1)) for symbol, codes in phones]
        line = jsonl.render(row)
        self._code_file.write(data)
        self._row_file.write(line)
        self._index.append((self._index[-1][0] + array.size, self._index[-1][1] + len(line)))
        self.codes += array.size
        self.utterances += 1

    def add_timed(
        self,
        text: str,
        codes: Sequence[int] | NDArray[Any],
        speaker: str | None,
        timing: Sequence[tuple[int, float]],
        phones: Sequence[tuple[str, float]],
    ) -> None:
        """The same with times as a manifest has them: characters of the text, and seconds."""
        rate = self.meta.frame_rate
        shares = [(character / len(text), seconds * rate) for character, seconds in timing]
        ends = [(symbol, seconds * rate) for symbol, seconds in phones]
        self.add(text, codes, speaker, shares, ends)

    def skip(self, audio: str | Path, reason: str) -> None:
        """Note a recording that was left out."""
        self._skip_file.write(jsonl.render({"audio": str(audio), "reason": reason}))
        self.skipped += 1

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
        write_json(self._temporary / SUMS_FILE, _sums(self._temporary))
        for name in (*_SUMMED, "skipped.jsonl"):
            sync(self._temporary / name)
        try:
            os.rename(self._temporary, self.path)
            sync(self.path.parent)
        except OSError:
            # Another worker finished the same shard first; both hold the same data.
            if not self.path.is_dir():
                raise


class TokenItem(NamedTuple):
    """One utterance of a data set; the released data has its text as ids of Llama 3's tokenizer."""

    text: str | list[int]
    codes: NDArray[np.int64]
    speaker: str | None
    timing: Sequence[tuple[float, float]] = ()
    """Pairs of a share of the text and the codes after which it is said."""
    phones: Sequence[tuple[str, float]] = ()
    """Symbols, each with the codes after which it ends."""


class _Shard:
    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self.path = path
        try:
            self._index = np.load(path / "index.npy", mmap_mode="r")
            self._rows = _mapped(path / "rows.jsonl", np.dtype(np.uint8))
            self._codes = _mapped(path / "codes.bin", dtype)
        except (OSError, ValueError) as error:
            raise LlasaError(
                f"The shard {path} is damaged ({error}): remove it and {AGAIN}."
            ) from error
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

    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self._index[:, 0])

    def speakers(self) -> list[str | None]:
        rows = jsonl.read(self._rows.tobytes(), str(self.path / "rows.jsonl"))
        return [row.get("speaker") for _, row in rows]


class TokenDataset:
    """Random access to the utterances of one or more sources.

    A source is a folder that `llasa tokenize` made, or a `*_input_ids.memmap` of the released data.
    Raises `LlasaError` where shards are missing or damaged, or sources were made by different
    codecs.
    """

    def __init__(self, *sources: str | Path) -> None:
        if not sources:
            raise LlasaError("Name at least one folder of token shards.")
        opened = [_open(Path(source)) for source in sources]
        metas = [meta for meta, _ in opened]
        for key in ("codec", "codebook_size", "frame_rate"):
            values = {getattr(meta, key) for meta in metas} - {UNKNOWN_CODEC}
            if len(values) > 1:
                raise LlasaError(
                    f"{', '.join(map(str, sources))} were made by different codecs ({key} is "
                    f"{' or '.join(map(repr, sorted(values)))})."
                )
        self.codec = max(meta.codec for meta in metas)
        """Its id, or UNKNOWN_CODEC."""
        self.codebook_size = metas[0].codebook_size
        self._parts = [part for _, parts in opened for part in parts]
        self._sources = [number for number, (_, parts) in enumerate(opened) for _ in parts]
        official = any(isinstance(part, OfficialRows) for part in self._parts)
        self.text_base = OfficialRows.BASE_SIZE if official else None
        """Size of the base vocabulary, where texts are stored as its ids."""
        self._starts = [0, *np.cumsum([len(part) for part in self._parts]).tolist()]

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> TokenItem:
        if not 0 <= index < len(self):
            raise IndexError(f"utterance {index} of {len(self)}")
        number = bisect.bisect_right(self._starts, index) - 1
        return TokenItem(*self._parts[number][index - self._starts[number]])

    def __iter__(self) -> Iterator[TokenItem]:
        return (self[index] for index in range(len(self)))

    def check(self) -> None:
        """Read everything once; `LlasaError` where a shard is not what was written."""
        for part in self._parts:
            if isinstance(part, _Shard) and not is_whole(part.path):
                raise LlasaError(f"The shard {part.path} is damaged: {AGAIN}.")

    def lengths(self) -> NDArray[np.int64]:
        """Codes of every utterance, shape (len(self),)."""
        return np.concatenate([np.zeros(0, np.int64), *(part.lengths() for part in self._parts)])

    def speakers(self) -> list[NDArray[np.int64]]:
        """Numbers of the utterances of each speaker; equal names in two sources are two people."""
        groups: dict[tuple[int, str], list[int]] = {}
        for source, start, part in zip(self._sources, self._starts, self._parts, strict=False):
            for index, speaker in enumerate(part.speakers(), start):
                if speaker:
                    groups.setdefault((source, speaker), []).append(index)
        return [np.array(group, dtype=np.int64) for group in groups.values()]


def shard_path(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}"


def is_whole(shard: Path) -> bool:
    """Whether a finished shard still has the bytes that were written."""
    try:
        return not (shard / SUMS_FILE).exists() or read_json(shard / SUMS_FILE) == _sums(shard)
    except (LlasaError, OSError):
        return False


def _sums(shard: Path) -> dict[str, str]:
    sums = {}
    for name in _SUMMED:
        crc = 0
        with (shard / name).open("rb") as file:
            while block := file.read(1 << 20):
                crc = zlib.crc32(block, crc)
        sums[name] = f"{crc:08x}"
    return sums


def finished_shards(folder: Path, meta: ShardMeta) -> list[int]:
    """Numbers of the complete shards, in order."""
    return [number for number in range(meta.shards) if shard_path(folder, number).is_dir()]


def _open(source: Path) -> tuple[ShardMeta, list[_Shard | OfficialRows]]:
    if source.name.endswith(OFFICIAL_SUFFIX):
        meta = ShardMeta(UNKNOWN_CODEC, OfficialRows.CODEBOOK_SIZE, OfficialRows.FRAME_RATE, 1)
        return meta, [OfficialRows(source)]
    meta = ShardMeta.load(source)
    done = finished_shards(source, meta)
    if len(done) < meta.shards:
        raise LlasaError(
            f"{source} lacks {meta.shards - len(done)} of {meta.shards} shards: {AGAIN} to finish "
            "it."
        )
    return meta, [_Shard(shard_path(source, number), meta.dtype) for number in done]


def _mapped(path: Path, dtype: np.dtype[Any]) -> NDArray[Any]:
    if path.stat().st_size == 0:  # cannot be mapped
        return np.zeros(0, dtype)
    return np.memmap(path, dtype=dtype, mode="r")

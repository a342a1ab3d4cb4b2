"""Token shards: utterances as text and codes, in flat memory-mapped files.

A data set is a folder with `meta.json` and one folder a shard, which may be empty:

    codes.bin     all codes end to end, little-endian uint16 (uint32 above 65,536 codes)
    rows.jsonl    one {"text": ..., "speaker": ..., "timing": ..., "phones": ...} a line
    index.npy     int64 (n + 1, 2): where each utterance starts in codes.bin (codes) and
                  rows.jsonl (bytes)
    speakers.json names, and for each utterance the number of its speaker's name, -1 for none
    skipped.jsonl recordings that were left out, each with the reason
    sums.json     CRC-32 of each of the first four

A shard is written under a hidden name and renamed when complete, so its folder's existence marks it
as done. A complete data set also has its columns (see `columns.py`), without which it opens more
slowly.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llasa.base.errors import LlasaError
from llasa.base.files import make_folder, read_json, write_json
from llasa.data.columns import SUMS_FILE, save_columns
from llasa.data.official import OFFICIAL_SUFFIX, OfficialRows
from llasa.data.reader import (
    AGAIN,
    SPEAKERS_FILE,
    TokenFolder,
    TokenItem,
)

META_FILE = "meta.json"
SUMMED = ("codes.bin", "rows.jsonl", "index.npy", SPEAKERS_FILE)
UNKNOWN_CODEC = ""
"""The codec id of data that does not name its codec."""


@dataclass(frozen=True)
class ShardMeta:
    """Metadata common to all shards of a data set."""

    codec: str
    """Id of the codec that made the codes (`Codec.id`)."""
    codebook_size: int
    frame_rate: float
    """Codes a second."""
    shards: int
    """Number of shards when complete."""
    source: str = ""
    """What the shards were made from; a rerun with another source is refused."""

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
                f"{folder} holds no token shards: make them with llasa data tokenize, or, "
                f"for released data, give a file such as train{OFFICIAL_SUFFIX}."
            )
        try:
            return cls(**read_json(folder / META_FILE))
        except TypeError as error:
            raise LlasaError(f"{folder / META_FILE} is damaged: {error}.") from error


class TokenDataset:
    """Random access to the utterances of one or more sources.

    A source is a folder that `llasa data tokenize` made, or a `*_input_ids.memmap` of the released
    data. It may be of any size: shards are opened when they are asked for, a bounded number at a
    time. Threads may share it, and it can be passed to other processes.

    Raises `LlasaError` where shards are missing or damaged, or sources were made by different
    codecs.
    """

    def __init__(self, *sources: str | Path) -> None:
        if not sources:
            raise LlasaError("Name at least one folder of token shards.")
        self._paths = sources
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
        """Id of the codec, or UNKNOWN_CODEC."""
        self.codebook_size = metas[0].codebook_size
        self.frame_rate = metas[0].frame_rate
        """Codes a second."""
        self._sources = [source for _, source in opened]
        official = any(isinstance(source, OfficialRows) for source in self._sources)
        self.text_base = OfficialRows.BASE_SIZE if official else None
        """Size of the base vocabulary if texts are stored as token ids."""
        self._starts = np.cumsum([0, *map(len, self._sources)])

    def __reduce__(self) -> tuple[Callable[..., TokenDataset], tuple[str | Path, ...]]:
        return TokenDataset, self._paths

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> TokenItem:
        if not 0 <= index < len(self):
            raise IndexError(f"utterance {index} of {len(self)}")
        number = int(self._starts.searchsorted(index, "right")) - 1
        return TokenItem(*self._sources[number][index - int(self._starts[number])])

    def __iter__(self) -> Iterator[TokenItem]:
        return (self[index] for index in range(len(self)))

    def check(self) -> None:
        """Read everything once; `LlasaError` if a checksum of a shard is wrong."""
        for path in map(Path, self._paths):
            shards = [] if path.name.endswith(OFFICIAL_SUFFIX) else shard_paths(path)
            for shard in shards:
                if not is_whole(shard):
                    raise LlasaError(f"The shard {shard} is damaged: {AGAIN}.")

    def lengths(self) -> NDArray[np.int32]:
        """Codes of every utterance, shape (len(self),); not to be written to."""
        lengths = [source.lengths() for source in self._sources]
        return lengths[0] if len(lengths) == 1 else np.concatenate(lengths)

    def speakers(self) -> list[NDArray[np.int64]]:
        """Numbers of the utterances of each speaker; equal names in two sources are two people."""
        return [
            group + start if start else group
            for start, source in zip(self._starts.tolist(), self._sources, strict=False)
            for group in source.speakers()
        ]


def shard_path(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}"


def is_whole(shard: Path) -> bool:
    """Whether a finished shard still has the bytes that were written."""
    try:
        found = read_json(shard / SUMS_FILE)
        return found == crc_sums(shard, tuple(found))
    except (LlasaError, OSError):
        return False


def crc_sums(shard: Path, names: Sequence[str]) -> dict[str, str]:
    """CRC-32 of files of a shard, by name."""
    sums = {}
    for name in names:
        crc = 0
        with (shard / name).open("rb") as file:
            while block := file.read(1 << 20):
                crc = zlib.crc32(block, crc)
        sums[name] = f"{crc:08x}"
    return sums


def finished_shards(folder: Path, meta: ShardMeta) -> list[int]:
    """Numbers of the complete shards, in order."""
    return [number for number in range(meta.shards) if shard_path(folder, number).is_dir()]


def shard_paths(folder: Path) -> list[Path]:
    """The shards of a complete data set; `LlasaError` if it is incomplete."""
    meta = ShardMeta.load(folder)
    done = finished_shards(folder, meta)
    if len(done) < meta.shards:
        raise LlasaError(
            f"{folder} lacks {meta.shards - len(done)} of {meta.shards} shards: {AGAIN} to finish "
            "it."
        )
    return [shard_path(folder, number) for number in done]


def add_columns(folder: Path) -> None:
    """Write the columns of a complete data set, unless they exist."""
    paths, dtype = shard_paths(folder), ShardMeta.load(folder).dtype
    source = TokenFolder(folder, paths, dtype)
    if not source.mapped:
        save_columns(folder, source.columns(), paths)


def _open(source: Path) -> tuple[ShardMeta, TokenFolder | OfficialRows]:
    if source.name.endswith(OFFICIAL_SUFFIX):
        meta = ShardMeta(UNKNOWN_CODEC, OfficialRows.CODEBOOK_SIZE, OfficialRows.FRAME_RATE, 1)
        return meta, OfficialRows(source)
    meta = ShardMeta.load(source)
    return meta, TokenFolder(source, shard_paths(source), meta.dtype)

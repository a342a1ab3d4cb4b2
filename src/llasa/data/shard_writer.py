"""Writes one shard of a data set; after an interruption at any moment it can be resumed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from llasa.base import jsonl
from llasa.base.errors import LlasaError
from llasa.base.files import read_bytes, read_json, sync, write_json
from llasa.data.columns import SUMS_FILE
from llasa.data.reader import SPEAKERS_FILE, ShardReader, number_speakers
from llasa.data.shards import SUMMED, ShardMeta, crc_sums, shard_path

_JOURNAL = "journal.json"
"""Sizes and counts at the last commit."""
_GROWING = ("codes.bin", "rows.jsonl", "skipped.jsonl", "index.part")
"""Files that grow with every utterance; the last holds the index without its first row."""

_Position = tuple[list[tuple[int, int]], list[str | None], int]
"""The index, the speaker of each utterance, and how many recordings were left out."""


class ShardWriter:
    """Writes one shard; leaving the `with` block normally publishes it, an error discards it.

    With `resume`, the state at the last `commit` survives an error or a crash, and the next writer
    continues from there; without, it starts afresh. A shard may have one writer at a time.
    """

    def __init__(
        self, folder: str | Path, number: int, meta: ShardMeta, resume: bool = False
    ) -> None:
        self.path = shard_path(Path(folder), number)
        self.meta = meta
        self.utterances = 0
        self.skipped = 0
        self._index = [(0, 0)]
        self._speakers: list[str | None] = []
        self._temporary = self.path.with_name(f".{self.path.name}.partial")
        try:
            found = _last_commit(self._temporary) if resume else None
            if found is not None:
                self._index, self._speakers, self.skipped = found
                self.utterances = len(self._speakers)
            else:
                shutil.rmtree(self._temporary, ignore_errors=True)
                self._temporary.mkdir(parents=True)
            files = [(self._temporary / name).open("ab") for name in _GROWING]
        except OSError as error:
            raise LlasaError(f"{folder} cannot be written: {error.strerror}.") from error
        self._code_file, self._row_file, self._skip_file, self._index_file = files

    @property
    def _files(self) -> tuple[IO[bytes], ...]:
        return self._code_file, self._row_file, self._skip_file, self._index_file

    @property
    def codes(self) -> int:
        """Codes written so far."""
        return self._index[-1][0]

    def commit(self) -> None:
        """Flush everything added and skipped so far to disk."""
        for file in self._files:
            file.flush()
            os.fsync(file.fileno())
        sizes = [file.tell() for file in self._files]
        journal = {"utterances": self.utterances, "skipped": self.skipped, "sizes": sizes}
        write_json(self._temporary / _JOURNAL, journal)

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
        end = (self._index[-1][0] + array.size, self._index[-1][1] + len(line))
        self._index_file.write(np.array(end, "<i8").tobytes())
        self._index.append(end)
        self._speakers.append(speaker)
        self.utterances += 1

    def add_timed(
        self,
        text: str,
        codes: Sequence[int] | NDArray[Any],
        speaker: str | None,
        timing: Sequence[tuple[int, float]],
        phones: Sequence[tuple[str, float]],
    ) -> None:
        """The same, with times as in manifests: characters of the text, and seconds."""
        rate = self.meta.frame_rate
        shares = [(character / len(text), seconds * rate) for character, seconds in timing]
        ends = [(symbol, seconds * rate) for symbol, seconds in phones]
        self.add(text, codes, speaker, shares, ends)

    def skip(self, audio: str | Path, reason: str) -> None:
        """Note a recording that was left out."""
        self._skip_file.write(jsonl.render({"audio": str(audio), "reason": reason}))
        self.skipped += 1

    def append(self, shard: Path) -> None:
        """Append all of another shard whose codes have the same byte width, unchanged."""
        index = np.load(shard / "index.npy")
        for name, file in zip(_GROWING, self._files[:3], strict=False):
            with (shard / name).open("rb") as source:
                shutil.copyfileobj(source, file)
        ends = index[1:] + self._index[-1]
        self._index_file.write(ends.astype("<i8").tobytes())
        self._index += map(tuple, ends.tolist())
        self.utterances += len(ends)
        names, numbers = ShardReader(shard, self.meta.dtype).speakers()
        self._speakers += [names[number] if number >= 0 else None for number in numbers]
        self.skipped += (shard / "skipped.jsonl").read_bytes().count(b"\n")

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        try:
            for file in self._files:
                file.close()
            if error is None:
                self._publish()
        except OSError as failure:
            raise LlasaError(f"{self.path} cannot be written: {failure.strerror}.") from failure
        finally:
            if error is None or not (self._temporary / _JOURNAL).exists():
                shutil.rmtree(self._temporary, ignore_errors=True)
        if isinstance(error, OSError):
            raise LlasaError(f"{self.path} cannot be written: {error.strerror}.") from error

    def _publish(self) -> None:
        np.save(self._temporary / "index.npy", np.array(self._index, dtype=np.int64))
        names, numbers = number_speakers(self._speakers)
        speakers = {"names": names, "numbers": numbers.tolist()}
        write_json(self._temporary / SPEAKERS_FILE, speakers, None)
        write_json(self._temporary / SUMS_FILE, crc_sums(self._temporary, SUMMED))
        for name in (_JOURNAL, "index.part"):
            (self._temporary / name).unlink(missing_ok=True)
        for name in (*SUMMED, "skipped.jsonl"):
            sync(self._temporary / name)
        try:
            os.rename(self._temporary, self.path)
            sync(self.path.parent)
        except OSError:
            # Another worker finished the same shard first; both hold the same data.
            if not self.path.is_dir():
                raise


def _last_commit(folder: Path) -> _Position | None:
    """Truncate the files to the last commit; None if there was none, or they are shorter."""
    try:
        journal = read_json(folder / _JOURNAL)
        for name, size in zip(_GROWING, journal["sizes"], strict=True):
            if (folder / name).stat().st_size < size:
                return None
            os.truncate(folder / name, size)
        ends = np.fromfile(folder / "index.part", "<i8").reshape(-1, 2).tolist()
        rows = jsonl.read(read_bytes(folder / "rows.jsonl"), str(folder))
        speakers = [row.get("speaker") for _, row in rows]
        skipped = int(journal["skipped"])
    except (LlasaError, OSError, ValueError, KeyError, TypeError):
        return None
    if not len(ends) == len(speakers) == journal["utterances"]:
        return None
    return [(0, 0), *map(tuple, ends)], speakers, skipped

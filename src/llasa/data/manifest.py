"""Manifests: one JSON object a line naming a recording and what is said in it.

    {"audio": "clips/0001.flac", "text": "Good morning.", "speaker": "ann", "seconds": 1.2,
     "language": "en", "timing": [[0, 0.06], [4, 0.41], [5, 0.44], [12, 1.13]],
     "phones": [["G", 0.12], ["UH", 0.25], ...]}

Only `audio` is required. Its path counts from the manifest's folder or from a given root. `timing`
says at which second which character of the text is spoken, for instance at both ends of each word.
`phones` are symbols and the second at which each ends. Both help only in training.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llasa.base import jsonl
from llasa.base.errors import LlasaError
from llasa.base.files import atomic_path, reason

_STRIDE = 64
"""The offset of every 64th line is kept."""
_BLOCK = 1 << 24
"""Bytes of a manifest that are read at once."""


@dataclass(frozen=True)
class Utterance:
    """One recording: path, and where known what is said, by whom, how long (s) and when."""

    path: Path
    text: str | None = None
    speaker: str | None = None
    seconds: float | None = None
    language: str | None = None
    timing: tuple[tuple[int, float], ...] = ()
    """(character, seconds) pairs, neither of which ever falls."""
    phones: tuple[tuple[str, float], ...] = ()
    """Symbols in order and the second at which each ends."""

    def with_defaults(self, language: str | None, speaker: str | None) -> Utterance:
        """The same, with these values where it has none."""
        return replace(self, language=self.language or language, speaker=self.speaker or speaker)


class Manifest:
    """Random access to a manifest of any length; a line is read when it is asked for.

    Opening takes one pass over the file, and memory for one line in `_STRIDE`. Blank lines are
    ignored. Raises `LlasaError`, with the line's number, for a line that is not
    what the format asks for.
    """

    def __init__(self, path: str | Path, root: str | Path | None = None) -> None:
        self.path = Path(path)
        self.root = self.path.parent if root is None else Path(root)
        self._count, self.crc, self._lines, self._offsets = _scan(self.path)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, row: int) -> Utterance:
        """Of those lines that are not blank the one of this number, from 0."""
        return next(self.read(row, row + 1))

    def rows(
        self, start: int = 0, stop: int | None = None
    ) -> Iterator[tuple[int, Utterance | LlasaError]]:
        """Lines `start` to `stop` of those that are not blank: their numbers (from 1) in the file,
        and what they say or why they are wrong.
        """
        stop = len(self) if stop is None else min(stop, len(self))
        if start >= stop:
            return
        with self.path.open("rb") as file:
            file.seek(self._offsets[start // _STRIDE])
            index, number = start - start % _STRIDE - 1, self._lines[start // _STRIDE] - 1
            while index < stop - 1:
                line, number = file.readline(), number + 1
                if jsonl.blank(line):
                    continue
                index += 1
                if index < start:
                    continue
                try:
                    yield number, self._parse(line, number)
                except LlasaError as error:
                    yield number, error

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[Utterance]:
        """Utterances `start` to `stop`, in order; the first wrong line raises its error."""
        for _, row in self.rows(start, stop):
            if isinstance(row, LlasaError):
                raise row
            yield row

    def __iter__(self) -> Iterator[Utterance]:
        return self.read()

    def _parse(self, line: bytes, number: int) -> Utterance:
        where = f"{self.path}, line {number}"
        row = jsonl.parse_object(line, where, '{"audio": ..., "text": ...}')
        audio = row.get("audio")
        if not isinstance(audio, str) or not audio:
            raise LlasaError(f'{where}: "audio" must be the path of a recording.')
        seconds = row.get("seconds")
        if seconds is not None and (type(seconds) not in (int, float) or not 0 < seconds < np.inf):
            raise LlasaError(f'{where}: "seconds" must be a number above 0, not {seconds!r}.')
        check_strings(row, ("text", "speaker", "language"), where)
        return Utterance(
            path=self.root / audio,
            text=row.get("text"),
            speaker=row.get("speaker"),
            seconds=None if seconds is None else float(seconds),
            language=row.get("language"),
            timing=_pairs(row, "timing", int, where),
            phones=_pairs(row, "phones", str, where),
        )


def check_strings(row: dict[str, Any], keys: Iterable[str], where: str) -> None:
    """Raise `LlasaError` for a value that is neither missing nor a string."""
    for key in keys:
        if not isinstance(row.get(key), str | None):
            raise LlasaError(f'{where}: "{key}" must be a string, not {row[key]!r}.')


def _pairs(row: dict[str, Any], key: str, kind: type, where: str) -> tuple[Any, ...]:
    """Pairs of a whole number (or a string) and seconds; no number may fall from pair to pair."""
    if not row.get(key):
        return ()
    try:
        pairs = tuple((first, float(second)) for first, second in row[key])
        if kind is int:
            pairs = tuple((int(first), second) for first, second in pairs)
        elif not all(isinstance(first, str) for first, _ in pairs):
            raise ValueError
        numbers = np.array([(0, 0), *((n if kind is int else 0, x) for n, x in pairs)], float)
        if not np.isfinite(numbers).all() or (np.diff(numbers, axis=0) < 0).any():
            raise ValueError
    except (ValueError, TypeError, OverflowError) as error:
        first = "character" if kind is int else "symbol"
        raise LlasaError(
            f'{where}: "{key}" must be a list of [{first}, seconds] pairs that never fall.'
        ) from error
    return pairs


def read_manifest(path: str | Path, root: str | Path | None = None) -> list[Utterance]:
    """All utterances of a manifest that fits in memory."""
    return list(Manifest(path, root))


def write_manifest(path: str | Path, utterances: Iterable[Utterance]) -> int:
    """Write a manifest in one step; paths inside its folder become relative. Returns the count."""
    path = Path(path)
    folder = path.parent.resolve()
    count = 0
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        for utterance in utterances:
            audio = Path(os.path.abspath(utterance.path))
            if audio.is_relative_to(folder):
                audio = audio.relative_to(folder)
            row: dict[str, Any] = {"audio": audio.as_posix()}
            for key in ("text", "speaker", "seconds", "language", "timing", "phones"):
                if (value := getattr(utterance, key)) not in (None, ()):
                    row[key] = value
            file.write(jsonl.render(row))
            count += 1
    return count


def _scan(path: Path) -> tuple[int, int, list[int], list[int]]:
    """How many lines are not blank, a CRC-32 of the file, and of every `_STRIDE`-th such line the
    number (from 1) and the byte at which it begins.
    """
    count = crc = position = number = 0
    lines: list[int] = []
    offsets: list[int] = []
    rest = b""
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                crc = zlib.crc32(block, crc)
                block = rest + block
                end = block.rfind(b"\n") + 1
                rest = block[end:]
                found = _full_lines(block[:end])
                places = np.arange(-count % _STRIDE, len(found), _STRIDE)
                lines += (found[places, 0] + number + 1).tolist()
                offsets += (found[places, 1] + position).tolist()
                count += len(found)
                position, number = position + end, number + block.count(b"\n")
    except (OSError, ValueError) as error:
        raise LlasaError(f"The manifest {path} cannot be read: {reason(error)}.") from error
    if not jsonl.blank(rest):
        if count % _STRIDE == 0:
            lines.append(number + 1)
            offsets.append(position)
        count += 1
    if not count:
        raise LlasaError(f"The manifest {path} is empty: it needs one JSON object a line.")
    return count, crc, lines, offsets


def _full_lines(block: bytes) -> NDArray[np.int64]:
    """Numbers and offsets, from 0, of the lines of a block that are not blank; (n, 2)."""
    data = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(data == ord("\n"))
    starts = np.concatenate([[0], ends[:-1] + 1])[: len(ends)]
    doubtful = np.flatnonzero(np.isin(data[starts], np.frombuffer(b" \t\r\n\v\f\xef", np.uint8)))
    kept = np.ones(len(starts), bool)
    kept[[n for n in doubtful.tolist() if jsonl.blank(block[starts[n] : ends[n]])]] = False
    return np.stack([np.flatnonzero(kept), starts[kept]], axis=1)

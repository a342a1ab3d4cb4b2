"""The released training data: rows of token ids in one raw int32 file a split.

`{split}_input_ids.memmap` holds the rows end to end (little-endian, no header) and
`{split}_input_ids_shape.npy` their shape. A row is TEXT_UNDERSTANDING_START, text,
TEXT_UNDERSTANDING_END, SPEECH_GENERATION_START, codes with the token offset added,
SPEECH_GENERATION_END, then end-of-turn as padding; a longer one is cut on the right. There is no
chat text in it. As read from HKUSTAudio/Llasa_opensource_speech_data_160k_hours_tokenized and the
released `get_memmap_from_token.py`.

How many codes each row has is found in one pass over the file, once: it is kept beside it in
`{split}_input_ids_codes.npy`, where the folder may be written to.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from llasa.base.errors import LlasaError
from llasa.base.files import atomic_path, lock_beside, locked

OFFICIAL_SUFFIX = "_input_ids.memmap"
ROW_TOKENS = 2048
"""Tokens of a released row."""
_BLOCK = 4096
"""Rows looked at together."""


class OfficialRows:
    """The rows of one split, mapped; the ids are those of the released models.

    Rows whose text leaves no room for codes are left out.
    """

    BASE_SIZE: ClassVar = 128_256
    CODEBOOK_SIZE: ClassVar = 65_536
    FRAME_RATE: ClassVar = 50.0
    _TEXT_START, _TEXT_END, _SPEECH_START = BASE_SIZE + 2, BASE_SIZE + 3, BASE_SIZE + 4
    _SPEECH_END, _FIRST_CODE = BASE_SIZE + 5, BASE_SIZE + 8
    _END_OF_TURN = 128_009

    def __init__(self, path: Path) -> None:
        self._path = path
        shape_path = path.with_name(f"{path.stem}_shape.npy")
        try:
            rows, length = (int(n) for n in np.load(shape_path))
            if path.stat().st_size != rows * length * 4:
                raise ValueError
            self._rows = np.memmap(path, dtype="<i4", mode="r", shape=(rows, length))
        except (OSError, ValueError, TypeError) as error:
            raise LlasaError(
                f"{path} cannot be read, or does not have the shape that {shape_path.name} beside "
                "it says: one of them is missing or incomplete."
            ) from error
        counts = self._counts(path.with_name(f"{path.stem}_codes.npy"))
        self._kept = None if (counts > 0).all() else np.flatnonzero(counts)
        """Rows with codes; None where all have."""
        self._lengths = counts if self._kept is None else counts[self._kept]

    def _counts(self, path: Path) -> NDArray[np.int32]:
        """Codes of each row, kept in `path`; the first process counts, others wait for it."""
        with suppress(OSError, ValueError, EOFError):
            return self._kept_counts(path)
        try:
            with locked(lock_beside(path), wait=True):
                with suppress(OSError, ValueError, EOFError):
                    return self._kept_counts(path)
                with atomic_path(path) as temporary, temporary.open("wb") as file:
                    np.save(file, self._counted())
            return self._kept_counts(path)
        except (OSError, ValueError):  # the folder is read-only
            return self._counted()

    def _kept_counts(self, path: Path) -> NDArray[np.int32]:
        if path.stat().st_mtime_ns < self._path.stat().st_mtime_ns:
            raise ValueError
        counts = np.load(path, mmap_mode="r")
        if counts.shape != (len(self._rows),) or counts.dtype != np.int32:
            raise ValueError
        return counts

    def _counted(self) -> NDArray[np.int32]:
        counts = np.zeros(len(self._rows), np.int32)
        for start in range(0, len(counts), _BLOCK):
            part = slice(start, start + _BLOCK)
            counts[part] = (self._rows[part] >= self._FIRST_CODE).sum(1)
        return counts

    def __len__(self) -> int:
        return len(self._lengths)

    def __getitem__(self, index: int) -> tuple[list[int], NDArray[np.int64], None]:
        """Ids of the text, and codes without the offset."""
        number = index if self._kept is None else int(self._kept[index])
        ids = np.array(self._rows[number], dtype=np.int64)
        stop = int((ids == self._TEXT_END).argmax())
        marks = [ids[0], *ids[stop : stop + 2]]
        if marks != [self._TEXT_START, self._TEXT_END, self._SPEECH_START]:
            raise LlasaError(
                f"Row {number} of {self._path} is not text followed by speech in the "
                "released vocabulary: the file was made with another tokenizer."
            )
        return ids[1:stop].tolist(), ids[ids >= self._FIRST_CODE] - self._FIRST_CODE, None

    def lengths(self) -> NDArray[np.int32]:
        return self._lengths

    def speakers(self) -> list[NDArray[np.int64]]:
        """Nobody: the rows do not say."""
        return []

    @classmethod
    def render(cls, text: Iterable[int], codes: NDArray[np.int64]) -> NDArray[np.int32]:
        """The row of one utterance, (ROW_TOKENS,): ids of its text, and codes."""
        row = np.full(ROW_TOKENS, cls._END_OF_TURN, "<i4")
        opening = [cls._TEXT_START, *text, cls._TEXT_END, cls._SPEECH_START]
        ids = np.array([*opening, *(codes + cls._FIRST_CODE), cls._SPEECH_END])[:ROW_TOKENS]
        row[: len(ids)] = ids
        return row


def write_official(path: Path, rows: Iterable[NDArray[np.int32]]) -> int:
    """Write the two files of a split from rows of `OfficialRows.render`, byte for byte as the
    released script does. Returns the number of rows.

    Raises `LlasaError` for a name that is not `*_input_ids.memmap`, or a file that cannot be
    written.
    """
    if not path.name.endswith(OFFICIAL_SUFFIX):
        raise LlasaError(f"{path} must end in {OFFICIAL_SUFFIX}, as train{OFFICIAL_SUFFIX}.")
    count = 0
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        for row in rows:
            file.write(row.tobytes())
            count += 1
    with (
        atomic_path(path.with_name(f"{path.stem}_shape.npy")) as temporary,
        temporary.open("wb") as file,
    ):
        np.save(file, (count, ROW_TOKENS))
    return count

"""The released training data: rows of token ids in one raw int32 file a split.

`{split}_input_ids.memmap` holds the rows end to end (little-endian, no header) and
`{split}_input_ids_shape.npy` their shape. A row is TEXT_UNDERSTANDING_START, text,
TEXT_UNDERSTANDING_END, SPEECH_GENERATION_START, codes with the token offset added,
SPEECH_GENERATION_END, then end-of-turn as padding; a longer one is cut on the right. There is no
chat text in it. As read from HKUSTAudio/Llasa_opensource_speech_data_160k_hours_tokenized and the
released `get_memmap_from_token.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from llasa.base.errors import LlasaError

OFFICIAL_SUFFIX = "_input_ids.memmap"
_BLOCK = 4096
"""Rows looked at together."""


class OfficialRows:
    """The rows of one split, mapped; the ids are those of the released models.

    Opening takes one pass over the file. Rows whose text leaves no room for codes are left out.
    """

    BASE_SIZE: ClassVar = 128_256
    CODEBOOK_SIZE: ClassVar = 65_536
    FRAME_RATE: ClassVar = 50.0
    _TEXT_START, _TEXT_END, _SPEECH_START = BASE_SIZE + 2, BASE_SIZE + 3, BASE_SIZE + 4
    _FIRST_CODE = BASE_SIZE + 8

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
        counts = np.zeros(rows, np.int64)
        for start in range(0, rows, _BLOCK):
            part = slice(start, start + _BLOCK)
            counts[part] = (self._rows[part] >= self._FIRST_CODE).sum(1)
        self._kept = np.flatnonzero(counts)
        self._lengths = counts[self._kept]

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, index: int) -> tuple[list[int], NDArray[np.int64], None]:
        """Ids of the text, and codes without the offset."""
        ids = np.array(self._rows[self._kept[index]], dtype=np.int64)
        stop = int((ids == self._TEXT_END).argmax())
        marks = [ids[0], *ids[stop : stop + 2]]
        if marks != [self._TEXT_START, self._TEXT_END, self._SPEECH_START]:
            raise LlasaError(
                f"Row {self._kept[index]} of {self._path} is no text followed by speech in the "
                "released vocabulary: the file was made with another tokenizer."
            )
        return ids[1:stop].tolist(), ids[ids >= self._FIRST_CODE] - self._FIRST_CODE, None

    def lengths(self) -> NDArray[np.int64]:
        return self._lengths

    def speakers(self) -> list[str | None]:
        """Nobody: the rows do not say."""
        return []

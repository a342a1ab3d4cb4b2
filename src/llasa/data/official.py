"""The released data format: rows of 2,048 token ids in one raw int32 file a split.

`{split}_input_ids.memmap` holds the rows end to end (little-endian int32, no header) and
`{split}_input_ids_shape.npy` their shape. A row is TEXT_UNDERSTANDING_START, text,
TEXT_UNDERSTANDING_END, SPEECH_GENERATION_START, codes with the token offset added,
SPEECH_GENERATION_END, then end-of-turn as padding; a longer one is cut on the right. There is no
chat text in it. As read from HKUSTAudio/Llasa_opensource_speech_data_160k_hours_tokenized and the
released `get_memmap_from_token.py`.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llasa.errors import LlasaError
from llasa.files import atomic_path, write_atomic
from llasa.vocabulary import MAX_TOKENS, Codes, Vocabulary

ROW_TYPE = np.dtype("<i4")


class OfficialItem(NamedTuple):
    """One stored utterance: ids of its text, codes without the offset, and whether END is there."""

    text_ids: list[int]
    codes: NDArray[np.int64]
    complete: bool


class OfficialDataset:
    """Random access to one split; rows are mapped, not loaded.

    Train on exact released rows with
    `vocabulary.training_row(item.text_ids, item.codes, released=True)`.
    """

    def __init__(self, folder: str | Path, vocabulary: Vocabulary, split: str = "train") -> None:
        self.vocabulary = vocabulary
        self.path, shape_path = _paths(Path(folder), split)
        try:
            shape = tuple(int(n) for n in np.load(shape_path))
            stored = self.path.stat().st_size
        except (OSError, ValueError, TypeError) as error:
            raise LlasaError(
                f"{folder} does not hold a readable split {split!r}: {self.path.name} and "
                f"{shape_path.name} are needed."
            ) from error
        if len(shape) != 2 or min(shape) < 1 or shape[0] * shape[1] * ROW_TYPE.itemsize != stored:
            raise LlasaError(
                f"{self.path} has {stored:,} bytes, which does not fit the shape {list(shape)} in "
                f"{shape_path.name}: one of them is incomplete."
            )
        self.rows: NDArray[np.int32] = np.memmap(
            self.path, dtype=ROW_TYPE, mode="r", shape=(shape[0], shape[1])
        )

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> OfficialItem:
        return parse_row(self.vocabulary, self.rows[index])


def stored_row(
    vocabulary: Vocabulary, text: str | Sequence[int], codes: Codes, length: int = MAX_TOKENS
) -> NDArray[np.int32]:
    """The row of one utterance, shape (length,), as the released script stores it."""
    pad = _pad_id(vocabulary)
    ids = [
        vocabulary.text_understanding_start,
        *(vocabulary.encode_text(text) if isinstance(text, str) else text),
        vocabulary.text_understanding_end,
        vocabulary.speech_generation_start,
        *vocabulary.codes_to_ids(codes).tolist(),
        vocabulary.end,
    ][:length]
    row = np.full(length, pad, dtype=np.int32)
    row[: len(ids)] = ids
    return row


def parse_row(vocabulary: Vocabulary, row: NDArray[np.integer[Any]]) -> OfficialItem:
    """Take a stored row apart; `LlasaError` where it was made with another vocabulary."""
    ids = np.asarray(row, dtype=np.int64)
    starts = np.flatnonzero(ids == vocabulary.speech_generation_start)
    ends = np.flatnonzero(ids == vocabulary.end)
    if (
        len(starts) != 1
        or len(ends) > 1
        or starts[0] < 2
        or ids[0] != vocabulary.text_understanding_start
        or ids[starts[0] - 1] != vocabulary.text_understanding_end
    ):
        raise LlasaError(
            "The row is not a text followed by speech in this vocabulary: the data was made with "
            "another tokenizer, or the text filled the whole row."
        )
    stop = int(ends[0]) if len(ends) else len(ids)
    codes = vocabulary.ids_to_codes(ids[starts[0] + 1 : stop])
    return OfficialItem(ids[1 : starts[0] - 1].tolist(), codes, bool(len(ends)))


def write_official(
    folder: str | Path, split: str, rows: Iterable[NDArray[np.integer[Any]]]
) -> tuple[int, int]:
    """Write rows of one length as a split; returns the shape. The shape file comes last."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path, shape_path = _paths(folder, split)
    count, length = 0, 0
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        for row in rows:
            if row.ndim != 1 or (count and len(row) != length):
                raise LlasaError(f"Row {count} has shape {row.shape}, the first has ({length},).")
            length = len(row)
            file.write(row.astype(ROW_TYPE).tobytes())
            count += 1
        if not count:
            raise LlasaError(f"There are no rows to write for the split {split!r}.")
    buffer = io.BytesIO()
    np.save(buffer, (count, length))
    write_atomic(shape_path, buffer.getvalue())
    return count, length


def _paths(folder: Path, split: str) -> tuple[Path, Path]:
    return folder / f"{split}_input_ids.memmap", folder / f"{split}_input_ids_shape.npy"


def _pad_id(vocabulary: Vocabulary) -> int:
    if vocabulary.eot is None:
        raise LlasaError("The released format needs a tokenizer with <|eot_id|>.")
    return vocabulary.eot

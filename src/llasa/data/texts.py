"""Texts without speech: JSON lines, mapped, of which only the places of the lines are in memory."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from llasa.base import jsonl
from llasa.base.errors import LlasaError
from llasa.base.files import reason

EXAMPLE = '{"text": ...} or {"prompt": ..., "text": ...}'
_BLOCK = 1 << 26
"""Bytes that are searched for line ends together."""


class TextItem(NamedTuple):
    """A text, and what it answers if it is an answer."""

    text: str
    prompt: str | None


class TextDataset:
    """Random access to the lines of JSON files, each `{"text": ...}` or with a `prompt` beside it.

    Raises `LlasaError` for a file that cannot be read or is empty, or a line of another kind.
    """

    def __init__(self, *paths: str | Path) -> None:
        self._paths = [Path(path) for path in paths]
        self._files = [_mapped(path) for path in self._paths]
        self._spans = [_lines(file) for file in self._files]
        self._starts = np.cumsum([0, *map(len, self._spans)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> TextItem:
        number = int(self._starts.searchsorted(index, "right")) - 1
        place = index - int(self._starts[number])
        first, stop = self._spans[number][place]
        where = f"{self._paths[number]}, text {place + 1}"
        value = jsonl.parse_object(self._files[number][first:stop], where, EXAMPLE)
        text, prompt = value.get("text"), value.get("prompt")
        if not isinstance(text, str) or not text.strip() or not isinstance(prompt, str | None):
            raise LlasaError(f"{where}: give {EXAMPLE}.")
        return TextItem(text, prompt)

    def sizes(self) -> NDArray[np.int64]:
        """Bytes of each line, (len(self),)."""
        return np.concatenate([spans[:, 1] - spans[:, 0] for spans in self._spans])


def _mapped(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        why = "it is empty" if isinstance(error, ValueError) else reason(error)
        raise LlasaError(f"{path} cannot be read as texts: {why}.") from error


def _lines(file: mmap.mmap) -> NDArray[np.int64]:
    """First byte and end of each line that is not blank, (lines, 2)."""
    ends: Sequence[NDArray[np.int64]] = [
        at + np.flatnonzero(np.frombuffer(file[at : at + _BLOCK], np.uint8) == ord("\n"))
        for at in range(0, len(file), _BLOCK)
    ]
    stops = np.concatenate([*ends, [len(file)]])
    spans = np.stack([np.concatenate([[0], stops[:-1] + 1]), stops], 1)
    short = spans[:, 1] - spans[:, 0] < len(EXAMPLE)
    blank = [n for n in np.flatnonzero(short) if jsonl.blank(file[spans[n, 0] : spans[n, 1]])]
    return np.delete(spans, blank, axis=0)

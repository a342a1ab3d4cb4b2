"""Training rows side by side or packed: what a language model learns from at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llasa.base.arrays import Floats, Integers
from llasa.lm.packed import Packed
from llasa.training.auxiliary.phones import phones_at
from llasa.vocabulary.ids import Moments
from llasa.vocabulary.rows import IGNORE, TrainingRow


class Batch(NamedTuple):
    """Rows side by side; all (batch, length) but ``spans``.

    ``text`` holds the places of a row's text tokens, 0.5, 1.5 and on; ``speech`` says for the
    positions that predict codes at which place the text is then read: by the timing of the
    utterance, or else in proportion. Both are -1 outside. Where a row is heard, ``text`` is what
    its codes say, and ``speech`` the text tokens that are predicted. ``phones`` numbers the phone
    that is to be heard in the code these positions predict, or is IGNORE.
    ``row`` numbers the row of a packed token, -1 is padding, which comes last. ``spans`` are those
    of ``Packed``; None for rows side by side, whose padding causality hides from them.
    """

    ids: Tensor
    labels: Tensor
    positions: Tensor
    text: Tensor
    speech: Tensor
    phones: Tensor
    row: Tensor
    spans: Tensor | None

    def targets(self) -> Tensor:
        """What each position but the last is to predict, (batch, length - 1), or IGNORE."""
        # A packed row's first token must not be predicted from the row before it.
        follows = self.row[:, 1:] == self.row[:, :-1]
        return torch.where(follows, self.labels[:, 1:], IGNORE)

    def mask(self) -> Packed | None:
        """What ``Llama.hidden`` takes."""
        return None if self.spans is None else Packed(self.row, self.spans)

    def seen(self) -> Tensor:
        """What each position may attend to beside causality, (batch, 1, 1 or length, length)."""
        real = (self.row >= 0)[:, None, None, :]
        if self.spans is None:
            return real
        return real & (self.row[:, None, :, None] == self.row[:, None, None, :])

    def silent(self) -> Batch:
        """The same rows with nothing to learn."""
        nothing = self.labels.new_full(self.labels.shape, IGNORE)
        speech = torch.full_like(self.speech, -1)
        return self._replace(labels=nothing, phones=nothing, speech=speech)

    def learnt(self) -> int:
        """Number of positions that have a target."""
        return int((self.targets() != IGNORE).sum())

    def to(self, device: torch.device) -> Batch:
        moved = [t.to(device, non_blocking=True) for t in self[:-1] if t is not None]
        return Batch._make([*moved, self.spans])  # which are read on the CPU


def collate(rows: Sequence[TrainingRow], phones: Mapping[str, int], packed: int = 0) -> Batch:
    """Rows to one batch: padded, or packed into lines of so many tokens.

    Tokens that a row hides from all others are left out: nothing is learnt there, and the others
    keep their places.

    Args:
        phones: numbers of the phone symbols.
    """
    columns = [_Columns.of(row, phones) for row in rows]
    lines = _pack(columns, packed) if packed else [[row] for row in columns]
    shape = (len(lines), max(sum(len(row.ids) for row in line) for line in lines))
    filled = [np.full(shape, value, kind) for value, kind in _PADDING]
    owner = np.full(shape, -1, np.int64)
    spans = []
    for number, line in enumerate(lines):
        at = 0
        for place, row in enumerate(line):
            here = slice(at, at + len(row.ids))
            for array, column in zip(filled, row, strict=True):
                array[number, here] = column
            owner[number, here] = place
            spans.append((number, at, here.stop))
            at = here.stop
    tensors = [torch.from_numpy(array) for array in (*filled, owner)]
    return Batch._make([*tensors, torch.tensor(spans) if packed else None])


_PADDING = (
    (0, np.int64),
    (IGNORE, np.int64),
    (0, np.int64),
    (-1, np.float32),
    (-1, np.float32),
    (IGNORE, np.int64),
)
"""What fills up the lines of a batch, in the order of its fields."""


class _Columns(NamedTuple):
    """One row as a batch has it, all (length,)."""

    ids: Integers
    labels: Integers
    positions: Integers
    text: Floats
    speech: Floats
    phones: Integers

    @classmethod
    def of(cls, row: TrainingRow, symbols: Mapping[str, int]) -> _Columns:
        length = len(row.ids)
        text, speech = np.full(length, -1, np.float32), np.full(length, -1, np.float32)
        phones = np.full(length, IGNORE, np.int64)
        if row.heard:
            _place_heard(row, text, speech)
        else:
            first, last = (min(end, length) for end in row.text_span)
            text[first:last] = np.arange(last - first) + 0.5
            spoken = max(0, int((row.labels != IGNORE).sum()) - 1)
            moments = row.moments[:spoken]
            here = slice(row.speech_start, row.speech_start + len(moments))
            speech[here] = _reading(row, last - first, moments)
            phones[here] = _phone_numbers(row, moments, symbols)
        columns = cls(row.ids, row.labels, np.arange(length), text, speech, phones)
        shown = row.attention_mask.astype(bool)
        return columns if shown.all() else cls._make(column[shown] for column in columns)


def _phone_numbers(row: TrainingRow, moments: Moments, symbols: Mapping[str, int]) -> Integers:
    """Number of the phone at each moment; IGNORE where it is not known."""
    before = row.prompt[1]
    early = moments < before
    return np.concatenate(
        [
            phones_at(moments[early], row.prompt_phones, symbols),
            phones_at(moments[~early] - before, row.phones, symbols),
        ]
    )


def _place_heard(row: TrainingRow, codes: Floats, letters: Floats) -> None:
    """Writes the places in the text of a row's codes, and where its text tokens are predicted."""
    first, last = row.text_span
    begin, spoken = row.speech_start + 1, len(row.moments)
    codes[begin : begin + spoken] = _places(row.timing, last - first, row.moments, spoken)
    letters[first - 1 : last - 1] = np.arange(last - first) + 0.5


def _reading(row: TrainingRow, words: int, moments: Moments) -> NDArray[np.float64]:
    """Place in the ``words`` text tokens at each moment, the prompt's included."""
    prompt_words, prompt_codes = row.prompt
    early = moments < prompt_codes
    prompt = _places(row.prompt_timing, prompt_words, moments[early], prompt_codes)
    codes = math.ceil(moments[-1]) - prompt_codes if len(moments) else 0
    target = _places(row.timing, words - prompt_words, moments[~early] - prompt_codes, codes)
    return np.concatenate([prompt, prompt_words + target])


def _places(
    timing: Sequence[tuple[float, float]], words: int, moments: Moments, codes: int
) -> NDArray[np.float64]:
    """Place in the text at each moment of ``codes`` codes, in proportion without a timing."""
    share, after = np.array(timing or [(0, 0), (1, codes)], np.float64).T
    return np.interp(moments, after, share) * words


def _pack(rows: list[_Columns], width: int) -> list[list[_Columns]]:
    """First-fit decreasing: whole rows into sequences of at most ``width`` tokens."""
    lines: list[list[_Columns]] = []
    room: list[int] = []
    for row in sorted(rows, key=lambda r: -len(r.ids)):
        place = next((i for i, free in enumerate(room) if free >= len(row.ids)), None)
        if place is None:
            lines.append([])
            room.append(width)
            place = len(lines) - 1
        lines[place].append(row)
        room[place] -= len(row.ids)
    return lines

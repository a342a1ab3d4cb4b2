"""Batches of training rows for the language model, a pure function of (seed, step)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llasa.data.shards import TokenDataset
from llasa.errors import LlasaError
from llasa.vocabulary import IGNORE, Row, Vocabulary

Numbers = NDArray[np.int64]


@dataclass
class LMDataSettings:
    """Token shards and how they become batches.

    ``layout``: ``bucket`` pads rows of similar length together; ``pack`` fills sequences of
    ``max_tokens`` with whole rows that do not see each other. ``tokens`` is the size of a batch of
    one worker, padding included. ``short_first`` plays the first epoch from the shortest rows to
    the longest. ``released`` builds rows as the released trainer does (one padded row a
    sequence). ``valid_rows`` of the ``valid`` shards are scored at each evaluation.
    """

    train: list[str] = field(default_factory=list)
    valid: list[str] = field(default_factory=list)
    valid_rows: int = 64
    layout: Literal["bucket", "pack"] = "bucket"
    tokens: int = 16_384
    max_tokens: int = 2048
    short_first: bool = False
    released: bool = False
    task: Literal["tts", "asr"] = "tts"

    def __post_init__(self) -> None:
        for name in ("valid_rows", "tokens", "max_tokens"):
            if getattr(self, name) < 1:
                raise LlasaError(f"data.{name} must be 1 or more, not {getattr(self, name)}")
        if self.released and self.layout == "pack":
            raise LlasaError("data.released rows fill a sequence each; use data.layout=bucket")


class Batch(NamedTuple):
    """Rows side by side; all (batch, length) but ``mask``.

    ``text`` and ``speech`` hold each token's place in its text or speech as a fraction in
    [0, 1), or -1 outside; ``row`` numbers the row of a packed token. ``mask`` is what
    ``Llama.hidden`` takes.
    """

    ids: Tensor
    labels: Tensor
    positions: Tensor
    text: Tensor
    speech: Tensor
    row: Tensor
    mask: Tensor

    def targets(self) -> Tensor:
        """What each position but the last is to predict, (batch, length - 1), or IGNORE."""
        # A packed row's first token must not be predicted from the row before it.
        follows = self.row[:, 1:] == self.row[:, :-1]
        return torch.where(follows, self.labels[:, 1:], IGNORE)

    def learnt(self) -> int:
        """Number of positions that have a target."""
        return int((self.targets() != IGNORE).sum())

    def to(self, device: torch.device) -> Batch:
        return Batch(*(t.to(device, non_blocking=True) for t in self))


class LMBatches:
    """Plans each epoch from (seed, epoch) and builds the batch of any step."""

    def __init__(
        self, settings: LMDataSettings, dataset: TokenDataset, vocabulary: Vocabulary, seed: int
    ) -> None:
        if vocabulary.codebook_size < dataset.codebook_size:
            raise LlasaError(
                f"the data has {dataset.codebook_size} codes, the vocabulary only "
                f"{vocabulary.codebook_size}; tokenize with the codec of this vocabulary"
            )
        if len(dataset) == 0:
            raise LlasaError("the token shards hold no utterances; run llasa tokenize again")
        self.settings, self.dataset = settings, dataset
        self.vocabulary, self.seed = vocabulary, seed
        self.lengths = dataset.lengths()
        self._plans: dict[int, list[Numbers]] = {}
        self._starts = [0]
        self._overhead = len(vocabulary.tts_prompt("a")) + 1

    def plan(self, epoch: int) -> list[Numbers]:
        """Batches of utterance numbers of one epoch."""
        if epoch not in self._plans:
            rng = np.random.default_rng((self.seed, epoch))
            order = rng.permutation(len(self.lengths))
            ascending = epoch == 0 and self.settings.short_first
            # Rows of like length waste little padding; sorting windows keeps the order random.
            window = len(order) if ascending else 4096
            batches: list[Numbers] = []
            for start in range(0, len(order), window):
                part = order[start : start + window]
                part = part[np.argsort(self.lengths[part], kind="stable")]
                batches += self._split(part)
            if not ascending:
                batches = [batches[i] for i in rng.permutation(len(batches))]
            self._plans = {epoch: batches}
        return self._plans[epoch]

    def _split(self, part: Numbers) -> list[Numbers]:
        batches: list[Numbers] = []
        current = 0
        # An estimate of text and control tokens; the exact length needs the text.
        longest = self.settings.max_tokens
        widths = np.minimum(self.lengths[part] * 1.4 + self._overhead, longest)
        if self.settings.released:
            widths[:] = longest  # every row is padded to it
        for end in range(1, len(part) + 1):
            full = end < len(part) and widths[end] * (end + 1 - current) > self.settings.tokens
            if full or end == len(part):
                batches.append(part[current:end])
                current = end
        return batches

    def batch(self, index: int) -> Batch:
        """The ``index``-th batch since the start of training."""
        while index >= self._starts[-1]:
            count = len(self.plan(len(self._starts) - 1))
            self._starts.append(self._starts[-1] + count)
        epoch = int(np.searchsorted(self._starts, index, side="right")) - 1
        chosen = self.plan(epoch)[index - self._starts[epoch]]
        return self.collate([self.row(int(i)) for i in chosen])

    def row(self, index: int, text_of: int | None = None) -> Row:
        """Training row of one utterance; ``text_of`` takes the text of another one."""
        item = self.dataset[index]
        text = item.text if text_of is None else self.dataset[text_of].text
        try:
            return self.vocabulary.training_row(
                text,
                item.codes,
                task=self.settings.task,
                max_tokens=self.settings.max_tokens,
                released=self.settings.released,
            )
        except LlasaError as error:
            raise LlasaError(
                f"utterance {index} of the token shards ({text!r}): {error}"
            ) from error

    def collate(self, rows: list[Row]) -> Batch:
        """Rows to one batch, padded or packed."""
        if self.settings.layout == "pack":
            lines = _pack(rows, self.settings.max_tokens)
        else:
            lines = [[row] for row in rows]
        width = max(sum(len(row.ids) for row in line) for line in lines)
        shape = (len(lines), width)
        ids = np.zeros(shape, np.int64)
        labels = np.full(shape, IGNORE, np.int64)
        positions, owner = np.zeros(shape, np.int64), np.full(shape, -1, np.int64)
        visible = np.zeros(shape, bool)
        text, speech = np.full(shape, -1, np.float32), np.full(shape, -1, np.float32)
        for i, line in enumerate(lines):
            at = 0
            for number, row in enumerate(line):
                here = slice(at, at + len(row.ids))
                ids[i, here], labels[i, here] = row.ids, row.labels
                positions[i, here] = np.arange(len(row.ids))
                owner[i, here], visible[i, here] = number, row.attention_mask.astype(bool)
                first, last = (min(end, len(row.ids)) for end in row.text_span)
                text[i, at + first : at + last] = np.linspace(0, 1, last - first, endpoint=False)
                spoken = max(0, int((row.labels != IGNORE).sum()) - 1)
                begin = at + row.speech_start
                speech[i, begin : begin + spoken] = np.linspace(0, 1, spoken, endpoint=False)
                at += len(row.ids)
        same = owner[:, None, :, None] == owner[:, None, None, :]
        mask = same & visible[:, None, None, :]
        arrays = (ids, labels, positions, text, speech, owner, mask)
        return Batch(*(torch.from_numpy(a) for a in arrays))


def _pack(rows: list[Row], width: int) -> list[list[Row]]:
    """First-fit decreasing: whole rows into sequences of at most ``width`` tokens."""
    lines: list[list[Row]] = []
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

"""Preference optimisation (DPO): what a search finds, the model learns to say at once.

Pairs of candidates of the same text, of which verifiers liked one better, teach the model to make
the one likelier and the other less so, measured from where it began (Rafailov et al. 2023, equation
7). Not in the paper, which keeps the verifiers for inference (section 3.4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from llasa.base import jsonl
from llasa.base.errors import LlasaError
from llasa.base.files import read_bytes
from llasa.base.names import number, whole
from llasa.base.progress import progress
from llasa.training.lm.batch import Batch
from llasa.training.lm.data import LMBatches
from llasa.training.workers import Workers
from llasa.vocabulary.rows import TrainingRow
from llasa.vocabulary.vocabulary import Vocabulary


@dataclass
class PreferenceSettings:
    """``pairs`` are files with one `{"text": ..., "chosen": [codes], "rejected": [codes]}` a line;
    without any the loss is off. ``beta`` is how strongly the model is held to where it began;
    ``batch`` is the number of pairs of one worker in a step.
    """

    pairs: list[str] = field(default_factory=list)
    weight: float = 1.0
    beta: float = 0.1
    batch: int = 8

    def __post_init__(self) -> None:
        for name in ("weight", "beta"):
            number(f"Setting preference.{name}", getattr(self, name), 0, above=True)
        whole("Setting preference.batch", self.batch)


class PairBatch(NamedTuple):
    """``batch``: rows of the chosen candidates, then those of the rejected ones, side by side.

    ``reference``: their summed cross entropy at the beginning, shape (2, pairs).
    """

    batch: Batch
    reference: Tensor


class PairBatches:
    """The pairs as training rows, and the batch of any step.

    Raises ``LlasaError`` where a file is no file of pairs, or a row would be cut.
    """

    def __init__(
        self, settings: PreferenceSettings, batches: LMBatches, vocabulary: Vocabulary, seed: int
    ) -> None:
        data = batches.settings
        if data.layout != "bucket" or data.released or data.speaker_names:
            raise LlasaError(
                "Setting preference compares plain whole rows: use data.layout=bucket, and neither "
                "data.released nor data.speaker_names."
            )
        if vocabulary.phones:
            raise LlasaError(
                "Setting preference needs a model without phones: pairs hold codes alone, so it "
                "would unlearn to name phones."
            )
        self.batches, self.seed = batches, seed
        most = data.max_tokens
        self.rows = [
            pair for file in settings.pairs for pair in _read(Path(file), vocabulary, most)
        ]
        if not self.rows:
            raise LlasaError(f"No pairs are in {', '.join(settings.pairs)}.")
        lengths = [max(len(row.ids) for row in pair) for pair in self.rows]
        order = np.argsort(lengths, kind="stable")
        # Pairs of like length waste little padding.
        chunks = np.array_split(order, -(-len(order) // settings.batch))
        self.chunks = [chunk.tolist() for chunk in chunks]
        self.reference = torch.zeros(2, len(self.rows))

    def remember(self, score: Callable[[Batch], Tensor], workers: Workers) -> None:
        """Note what the model makes of all pairs at the beginning, each worker of its share.

        ``score`` gives `Losses.codes` of a batch. All workers call it as often, as sharding wants.
        """
        places = range(0, len(self.chunks), workers.world)
        for first in progress(places, "pairs", disable=workers.rank != 0):
            place = first + workers.rank
            chunk = self.chunks[place % len(self.chunks)]
            scores = score(self._batch(chunk)).view(2, -1).cpu()
            if place < len(self.chunks):
                self.reference[:, chunk] = scores
        self.reference = workers.sum(self.reference)

    def batch(self, index: int) -> PairBatch:
        """The ``index``-th batch since the start of training, a pure function of (seed, index)."""
        epoch, place = divmod(index, len(self.chunks))
        order = np.random.default_rng((self.seed, epoch, 2)).permutation(len(self.chunks))
        chunk = self.chunks[order[place]]
        return PairBatch(self._batch(chunk), self.reference[:, chunk])

    def _batch(self, numbers: list[int]) -> Batch:
        return self.batches.collate([self.rows[n][side] for side in (0, 1) for n in numbers])


def preference_loss(scores: Tensor, reference: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """Loss of some pairs, and the share of them that the model now prefers as it should.

    Args:
        scores, reference: summed cross entropy (2, pairs) of the chosen and the rejected
            candidates, now and at the beginning.
    """
    gained = reference - scores
    margin = beta * (gained[0] - gained[1])
    return -F.logsigmoid(margin).mean(), (margin > 0).float().mean()


def _read(
    path: Path, vocabulary: Vocabulary, most: int
) -> Iterator[tuple[TrainingRow, TrainingRow]]:
    example = '{"text": ..., "chosen": [codes], "rejected": [codes]}'
    for count, line in jsonl.lines(read_bytes(path, "a file of pairs")):
        where = f"{path}, line {count}"
        pair = jsonl.parse_object(line, where, example)
        text, both = pair.get("text"), [pair.get("chosen"), pair.get("rejected")]
        if not isinstance(text, str) or not all(map(_are_codes, both)):
            raise LlasaError(f"{where}: give a text and two lists of codes, as {example}.")
        if both[0] == both[1]:
            raise LlasaError(f"{where}: both candidates are the same: leave the pair out.")
        try:
            rows = [
                vocabulary.training_row(text, np.array(codes, np.int64), max_tokens=most)
                for codes in both
            ]
        except (LlasaError, OverflowError, TypeError) as error:  # the tokenizer's, for no Unicode
            raise LlasaError(f"{where}: {error}") from error
        if any(row.cut for row in rows):
            raise LlasaError(
                f"{where}: a candidate is longer than data.max_tokens ({most}): leave the pair out "
                "or raise that."
            )
        yield rows[0], rows[1]


def _are_codes(value: Any) -> bool:
    return isinstance(value, list) and all(type(code) is int for code in value)

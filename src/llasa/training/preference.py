"""Preference optimisation: what a search finds, the model learns to say at once (DPO).

Pairs of takes of the same text, of which verifiers liked one better, teach the model to make the
one likelier and the other less so, measured from where it began (Rafailov et al. 2023, equation 7).
Not in the paper, which keeps the verifiers for inference (section 3.4).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from llasa.errors import LlasaError
from llasa.training.lm_data import Batch, LMBatches
from llasa.training.run import Workers
from llasa.vocabulary import Row, Vocabulary


@dataclass
class PreferenceSettings:
    """``weight`` 0 turns the loss off.

    ``pairs`` are files with one `{"text": ..., "chosen": [codes], "rejected": [codes]}` a line.
    ``beta`` is how strongly the model is held to where it began; ``batch`` is the number of pairs
    of one worker in a step.
    """

    pairs: list[str] = field(default_factory=list)
    weight: float = 0.0
    beta: float = 0.1
    batch: int = 8

    def __post_init__(self) -> None:
        if self.weight < 0 or self.beta <= 0 or self.batch < 1:
            raise LlasaError("preference: weight must be 0 or more, beta above 0, batch 1 or more")
        if self.weight and not self.pairs:
            raise LlasaError("preference.weight needs preference.pairs, files of pairs of takes")


class PairBatch(NamedTuple):
    """``batch``: rows of the chosen takes, then those of the rejected ones, side by side.

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
        if batches.settings.layout != "bucket":
            raise LlasaError("preference compares whole rows; use data.layout=bucket")
        self.settings, self.batches, self.seed = settings, batches, seed
        most = batches.settings.max_tokens
        self.rows = [
            pair for file in settings.pairs for pair in _read(Path(file), vocabulary, most)
        ]
        if not self.rows:
            raise LlasaError(f"{', '.join(settings.pairs)}: no pairs are in there")
        lengths = [max(len(row.ids) for row in pair) for pair in self.rows]
        order = np.argsort(lengths, kind="stable")
        # Pairs of like length waste little padding.
        cuts = range(settings.batch, len(order), settings.batch)
        self.chunks = [chunk.tolist() for chunk in np.split(order, cuts)]
        self.reference = torch.zeros(2, len(self.rows))

    def remember(self, score: Callable[[Batch], Tensor], workers: Workers) -> None:
        """Note what the model makes of all pairs at the beginning, each worker of its share.

        ``score`` gives `Losses.codes` of a batch.
        """
        places = range(workers.rank, len(self.chunks), workers.world)
        for place in tqdm(places, "pairs", disable=None if workers.rank == 0 else True):
            chunk = self.chunks[place]
            self.reference[:, chunk] = score(self._batch(chunk)).view(2, -1).cpu()
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
        scores, reference: summed cross entropy (2, pairs) of the chosen and the rejected takes,
            now and at the beginning.
    """
    gained = reference - scores
    margin = beta * (gained[0] - gained[1])
    return -F.logsigmoid(margin).mean(), (margin > 0).float().mean()


def _read(path: Path, vocabulary: Vocabulary, most: int) -> Iterator[tuple[Row, Row]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LlasaError(f"{path} cannot be read as a file of pairs: {error}") from error
    for number, line in enumerate(lines, 1):
        try:
            said: Any = json.loads(line)
            text, takes = said["text"], (said["chosen"], said["rejected"])
            if not isinstance(text, str) or any(type(c) is not int for take in takes for c in take):
                raise TypeError("a text and whole numbers are wanted")
        except (ValueError, TypeError, KeyError) as error:
            raise LlasaError(
                f'{path}, line {number}: give {{"text": ..., "chosen": [codes], "rejected": '
                f"[codes]}} ({type(error).__name__}: {error})"
            ) from error
        try:
            rows = [
                vocabulary.training_row(text, np.array(take, np.int64), max_tokens=most)
                for take in takes
            ]
        except LlasaError as error:
            raise LlasaError(f"{path}, line {number}: {error}") from error
        if any(row.cut for row in rows):
            raise LlasaError(
                f"{path}, line {number}: a take is longer than data.max_tokens ({most}); leave it "
                "out, or raise that"
            )
        yield rows[0], rows[1]

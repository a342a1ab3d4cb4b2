"""Several sources as one: rows that speak, that hear and that only read, each in its measure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from llasa.base.arrays import Integers
from llasa.base.errors import LlasaError
from llasa.base.names import number
from llasa.data.shards import TokenDataset
from llasa.data.texts import TextDataset, TextItem
from llasa.vocabulary.vocabulary import Vocabulary

RowKind = Literal["tts", "asr", "text"]
T = TypeVar("T")
MEASURED = 200
"""Texts of a source that tell how many bytes a token has."""


@dataclass
class SourceSettings:
    """One source of a mixture.

    ``train`` are token shards for the tasks ``tts`` and ``asr``, and JSON lines with a `text` (all
    of which is learnt) or a `prompt` and a `text` (the answer, which is learnt) for ``text``.

    ``weight`` says how often each row comes in an epoch: at 2 twice, at 0.25 every fourth epoch.
    Whatever it is, no row comes again before all others of its source have come.
    """

    train: list[str] = field(default_factory=list)
    task: RowKind = "tts"
    weight: float = 1.0

    def __post_init__(self) -> None:
        number("Setting data.mixture.weight", self.weight, 0, above=True)
        if not self.train:
            raise LlasaError("Setting data.mixture: every source needs train, its files.")


class RowSource(NamedTuple):
    """Rows of one task."""

    rows: TokenDataset | TextDataset
    task: RowKind
    weight: float = 1.0

    @property
    def share(self) -> Fraction:
        """Rows of an epoch, of the weight as it is written: no epoch loses one to rounding."""
        return Fraction(str(self.weight)) * len(self.rows)


class Mixture:
    """The rows of all sources under one numbering, and which of them make an epoch.

    Raises `LlasaError` where sources were made by different codecs, or are so small, or have such
    small weights, that there would be epochs without any row.
    """

    def __init__(self, sources: Sequence[RowSource]) -> None:
        if not sources:
            raise LlasaError(
                "Setting data.train is empty: give at least one folder of token shards."
            )
        self.sources = sources
        _check_shares(sources)
        speech = [source.rows for source in sources if isinstance(source.rows, TokenDataset)]
        self.codec = _only({rows.codec for rows in speech} - {""}) or ""
        """Id of the codec whose codes they hold; empty where they do not say."""
        self.codebook_size = max([rows.codebook_size for rows in speech], default=0)
        bases = {rows.text_base for rows in speech if rows.text_base is not None}
        self.text_base = _only(bases)
        """Size of the vocabulary of texts that are stored as ids."""
        self._starts = np.cumsum([0, *(len(source.rows) for source in sources)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def find(self, index: int) -> tuple[RowSource, int]:
        """The source of a row, and its number there."""
        at = int(self._starts.searchsorted(index, "right")) - 1
        return self.sources[at], index - int(self._starts[at])

    def lengths(self, vocabulary: Vocabulary, tokens_per_code: float) -> NDArray[np.int32]:
        """Codes of each row; of a text, as many codes as would take its tokens."""
        lengths = []
        for rows, _, _ in self.sources:
            if isinstance(rows, TokenDataset):
                lengths.append(rows.lengths())
            else:
                share = _tokens_per_byte(rows, vocabulary) / tokens_per_code
                lengths.append(np.ceil(rows.sizes() * share).astype(np.int32))
        return lengths[0] if len(lengths) == 1 else np.concatenate(lengths)

    def speakers(self) -> list[Integers]:
        """Numbers of the rows of each speaker, of the sources that speak."""
        return [
            group + start if start else group
            for start, source in zip(self._starts.tolist(), self.sources, strict=False)
            if source.task == "tts" and isinstance(source.rows, TokenDataset)
            for group in source.rows.speakers()
        ]

    def epoch(self, epoch: int, seed: int) -> Integers:
        """Numbers of the rows that come in an epoch, ascending."""
        chosen = []
        for place, (start, source) in enumerate(
            zip(self._starts.tolist(), self.sources, strict=False)
        ):
            count = len(source.rows)
            first, stop = (math.floor(e * source.share) for e in (epoch, epoch + 1))
            if source.weight == 1:
                chosen.append(np.arange(start, start + count))
                continue
            for turn in range(first // count, -(-stop // count)) if first < stop else ():
                order = np.random.default_rng((seed, place, turn, 4)).permutation(count)
                here = order[max(0, first - turn * count) : max(0, stop - turn * count)]
                chosen.append(start + here)
        return np.sort(np.concatenate(chosen))

    def check(self) -> None:
        """Read all token shards once; `LlasaError` where one is not what was written."""
        for source in self.sources:
            if isinstance(source.rows, TokenDataset):
                source.rows.check()


def open_mixture(train: Sequence[str], task: RowKind, more: Sequence[SourceSettings]) -> Mixture:
    """The data sets of ``data.train`` and ``data.mixture``."""
    sources = [RowSource(TokenDataset(*train), task)] if train else []
    for each in more:
        rows = (TextDataset if each.task == "text" else TokenDataset)(*each.train)
        sources.append(RowSource(rows, each.task, each.weight))
    return Mixture(sources)


def _check_shares(sources: Sequence[RowSource]) -> None:
    rows = sum(len(source.rows) for source in sources)
    if rows and max(source.share for source in sources) < 1:
        each = " and ".join(f"{len(s.rows)} rows of weight {s.weight}" for s in sources)
        raise LlasaError(
            f"Setting data.mixture: of {each} there are epochs without any row. Give a weight of "
            "at least one by the number of rows."
        )


def _only(values: set[T]) -> T | None:
    if len(values) > 1:
        raise LlasaError(
            "The sources of data.mixture were made by different codecs or tokenizers: "
            f"{' and '.join(sorted(map(str, values)))}."
        )
    return next(iter(values), None)


def _tokens_per_byte(rows: TextDataset, vocabulary: Vocabulary) -> float:
    """Of the lines of a source, by some of them."""
    some = np.linspace(0, len(rows) - 1, min(MEASURED, len(rows))).astype(int)
    items: list[TextItem] = [rows[int(index)] for index in some]
    tokens = sum(len(vocabulary.encode_text(part or "")) for item in items for part in item)
    return tokens / int(rows.sizes()[some].sum())

"""What the tests of the vocabulary share."""

from __future__ import annotations

import numpy as np

from llasa.vocabulary.ids import CodesLike
from llasa.vocabulary.vocabulary import Vocabulary


def spoken_phones(vocabulary: Vocabulary, ids: CodesLike) -> list[tuple[str, int]]:
    """The phones among generated ids, each with the number of codes after which it ends."""
    array = np.asarray(ids, dtype=np.int64).reshape(-1)
    named = array >= vocabulary.phone_start
    ends = np.cumsum(~named)
    starts = [*ends[named], ends[-1]] if array.size else []
    symbols = [vocabulary.phones[i] for i in array[named] - vocabulary.phone_start]
    return [(symbol, int(end)) for symbol, end in zip(symbols, starts[1:], strict=True)]

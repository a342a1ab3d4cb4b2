"""Turns a budget into a strategy, for the command line, the server and evaluations."""

from __future__ import annotations

from functools import partial
from math import isqrt
from typing import Any, Unpack

from llasa.base.names import check_choice, whole
from llasa.search.selector import SelectorOptions
from llasa.search.strategies import Strategy, beam, best_of_n, partial_search, sample
from llasa.verifiers.registry import VerifierSpec

STRATEGIES = ("sample", "best-of", "beam", "partial")
BUDGET = 16
"""Default number of candidates."""


def plan(
    name: str,
    n: int | None = None,
    *,
    beams: int | None = None,
    expand: int | None = None,
    stride: int | None = None,
    seconds: float | None = None,
    process: VerifierSpec | None = None,
    **options: Unpack[SelectorOptions],
) -> Strategy:
    """The strategy of this name with a budget of n sequences (None: `BUDGET`).

    A budget is the candidates of best-of; in beam and partial search it is shared among beams and
    the ways in which each goes on (see `beam_shape`), unless these are given, and as many
    candidates go on from the beams of partial search. The other arguments are those of the
    strategies. Raises `LlasaError` for an unknown name or numbers that are not whole.
    """
    check_choice(name, STRATEGIES, "The strategy")
    if name == "sample":
        return partial(sample, **options)
    budget = BUDGET if n is None else whole("n", n)
    if name == "best-of":
        return partial(best_of_n, n=budget, **options)
    shape: dict[str, Any] = dict(
        zip(("beams", "expand"), beam_shape(budget, beams, expand), strict=True)
    )
    steps: dict[str, Any] = {} if stride is None else {"stride": stride}
    if name == "beam":
        return partial(beam, **shape, **steps, **options)
    if seconds is not None:
        steps["seconds"] = seconds
    return partial(partial_search, **shape, **steps, n=n, process=process, **options)


def beam_shape(n: int, beams: int | None = None, expand: int | None = None) -> tuple[int, int]:
    """Number of beams and of expansions of each for a budget of n sequences.

    The two are about equal, with at least two beams from four sequences on: 4 and 4 for 16, 4 and 8
    for 32, 2 and 2 for 5. A number that is given stays.
    """
    if beams is not None:
        return beams, max(1, n // max(1, beams)) if expand is None else expand
    if expand is not None:
        return max(1, n // max(1, expand)), expand
    root = isqrt(n)
    least = max(min(2, root), -(-root // 2))
    found = max(range(least, root + 1), key=lambda count: (n // count * count, count))
    return found, n // found

"""Where what was heard differs from what was wanted, and how much."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

APART = 12
"""Most units that count as one another when they are only parted differently: a phone number."""


class Difference(NamedTuple):
    """Units that were wanted and what was heard in their place; either may be none.

    `place` is that of the first among all that were wanted.
    """

    place: int
    wanted: list[str]
    heard: list[str]


def errors(wanted: Sequence[str], heard: Sequence[str], partial: bool = False) -> int:
    """Fewest insertions, deletions and substitutions that turn `wanted` into `heard`.

    Units that sound alike are equal ("for" and "4"), and so are up to `APART` that read the same
    when they are joined: "p m" and "pm". With `partial`, into as much of the start of `wanted` as
    `heard` fits best.
    """
    for row in _rows(wanted, heard, _joined(wanted, heard)):
        last = row
    return int(last.min() if partial else last[-1])


def differences(
    wanted: Sequence[str], heard: Sequence[str], partial: bool = False
) -> list[Difference]:
    """Where the errors are that `errors` counts, in order; neighbours are one difference."""
    equal = _joined(wanted, heard)
    rows = list(_rows(wanted, heard, equal))
    row, place = len(heard), int(rows[-1].argmin()) if partial else len(wanted)
    found: list[Difference] = []
    end: tuple[int, int] | None = None  # of the difference that is being followed
    while row or place:
        before, start, same = _step(wanted, heard, rows, equal, row, place)
        if not same:
            end = end or (row, place)
        if end is not None and same:
            found.append(Difference(place, [*wanted[place : end[1]]], [*heard[row : end[0]]]))
            end = None
        row, place = before, start
    if end is not None:
        found.append(Difference(0, [*wanted[: end[1]]], [*heard[: end[0]]]))
    return found[::-1]


_Costs = NDArray[np.int64]
_Equal = dict[int, list[tuple[int, int, int]]]


def _rows(wanted: Sequence[str], heard: Sequence[str], equal: _Equal) -> Iterator[_Costs]:
    """Costs of nothing heard, of the first unit, of the first two, against every prefix."""
    row = np.arange(len(wanted) + 1)
    rows, steps = [row], row.copy()
    yield row
    aims = list(map(_alike, wanted))
    for number, unit in enumerate(map(_alike, heard), 1):
        changed = row[:-1] + np.array([unit != other for other in aims], np.int64)
        best = np.minimum(row + 1, np.concatenate([[row[0] + 1], changed]))
        for before, start, stop in equal.get(number, ()):
            best[stop] = min(best[stop], rows[before - number][start])
        row = np.minimum.accumulate(best - steps) + steps  # words of `wanted` left out
        rows = [*rows[-APART:], row]
        yield row


def _step(
    wanted: Sequence[str],
    heard: Sequence[str],
    rows: Sequence[_Costs],
    equal: _Equal,
    row: int,
    place: int,
) -> tuple[int, int, bool]:
    """From where the best way came here, and whether what lies between is equal."""
    cost = rows[row][place]
    alike = row and place and _alike(heard[row - 1]) == _alike(wanted[place - 1])
    if alike and rows[row - 1][place - 1] == cost:
        return row - 1, place - 1, True
    for before, start, stop in equal.get(row, ()):
        if stop == place and rows[before][start] == cost:
            return before, start, True
    if row and rows[row - 1][place] == cost - 1:
        return row - 1, place, False
    if place and rows[row][place - 1] == cost - 1:
        return row, place - 1, False
    return row - 1, place - 1, False


def _joined(wanted: Sequence[str], heard: Sequence[str]) -> _Equal:
    """Runs that are equal but for where they are parted, by the end of what was heard.

    Each with the start of what was heard, and start and end of what was wanted.
    """
    runs: dict[str, set[tuple[int, int]]] = defaultdict(set)
    found: _Equal = defaultdict(list)
    if all(len(unit) == 1 for unit in (*wanted, *heard)):
        return found  # single characters are parted in one way
    for start, stop in _runs(len(wanted)):
        for text in _readings(wanted[start:stop]):
            runs[text].add((start, stop))
    for before, number in _runs(len(heard)):
        texts = _readings(heard[before:number])
        for start, stop in sorted(set().union(*(runs.get(text, ()) for text in texts))):
            if (stop - start, number - before) != (1, 1):
                found[number].append((before, start, stop))
    return found


def _readings(units: Sequence[str]) -> set[str]:
    """Units as one, as they are and as they sound."""
    return {"".join(units), "".join(map(_alike, units))}


def _alike(unit: str) -> str:
    """What stands for all units that sound like this one."""
    return _ALIKE.get(unit, unit)


_ALIKE = {
    **{"for": "4", "to": "2", "too": "2", "won": "1", "one": "1", "ate": "8"},
    **{"min": "minutes", "sec": "seconds", "hrs": "hours"},
}
"""Words that sound like a number which the normaliser writes in digits, and units as recognisers
shorten them."""


def _runs(count: int) -> Iterator[tuple[int, int]]:
    """Start and end of all runs of 1 to `APART` units."""
    for start in range(count):
        for stop in range(start + 1, min(count, start + APART) + 1):
            yield start, stop

"""Speech recognition for verifiers: the protocol, long clips, error counts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from llasa.audio import Samples
from llasa.search.verifiers.base import RATE, Named

APART = 12
"""Most units that count as one another when they are only parted differently: a phone number."""


@dataclass(frozen=True)
class Transcript:
    """What was heard, and the mean natural log-probability of its tokens under the recogniser."""

    text: str
    logprob: float


class Recognizer(Named, Protocol):
    """Turns clips of 16 kHz speech into text."""

    @property
    def language(self) -> str: ...

    def load(self) -> None:
        """Open the model if it is not open."""

    def transcribe(self, clips: Sequence[Samples]) -> list[Transcript]:
        """One transcript a clip, float32 (n,) each; clips may have any length."""


def in_pieces(
    clips: Sequence[Samples],
    longest: float,
    transcribe: Callable[[Sequence[Samples]], list[Transcript]],
) -> list[Transcript]:
    """Transcribe clips of any length by a function for up to `longest` seconds."""
    parts = [pieces(clip, longest) for clip in clips]
    heard = iter(transcribe([piece for part in parts for piece in part]))
    found = []
    for part in parts:
        some = [next(heard) for _ in part]
        text = " ".join(transcript.text for transcript in some if transcript.text)
        found.append(Transcript(text, float(np.mean([transcript.logprob for transcript in some]))))
    return found


def pieces(clip: Samples, longest: float) -> list[Samples]:
    """Cut a clip into pieces of at most `longest` seconds, at quiet places in their second half."""
    found, frame, most = [], RATE // 50, round(longest * RATE)
    while len(clip) > most:
        window = clip[most // 2 : most]
        window = window[: len(window) // frame * frame].reshape(-1, frame)
        place = most // 2 + frame * int((window**2).sum(axis=1).argmin()) + frame // 2
        found.append(clip[:place])
        clip = clip[place:]
    return [*found, clip]


def errors(wanted: Sequence[str], heard: Sequence[str], partial: bool = False) -> int:
    """Fewest insertions, deletions and substitutions that turn `wanted` into `heard`.

    Up to `APART` units that read the same when they are joined are equal: "p m" and "pm". With
    `partial`, into as much of the start of `wanted` as `heard` fits best.
    """
    equal = _joined(wanted, heard)
    row = np.arange(len(wanted) + 1)  # costs of what was heard so far against every prefix
    rows, steps = [row], row.copy()
    for number, unit in enumerate(heard, 1):
        changed = row[:-1] + np.array([unit != other for other in wanted], np.int64)
        best = np.minimum(row + 1, np.concatenate([[row[0] + 1], changed]))
        for before, start, stop in equal.get(number, ()):
            best[stop] = min(best[stop], rows[before - number][start])
        row = np.minimum.accumulate(best - steps) + steps  # words of `wanted` left out
        rows = [*rows[-APART:], row]
    return int(row.min() if partial else row[-1])


def _joined(wanted: Sequence[str], heard: Sequence[str]) -> dict[int, list[tuple[int, int, int]]]:
    """Runs that are equal but for where they are parted, by the end of what was heard.

    Each with the start of what was heard, and start and end of what was wanted.
    """
    runs: dict[str, list[tuple[int, int]]] = defaultdict(list)
    found: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    if all(len(unit) == 1 for unit in (*wanted, *heard)):
        return found  # single characters are parted in one way
    for start, stop in _runs(len(wanted)):
        runs["".join(wanted[start:stop])].append((start, stop))
    for before, number in _runs(len(heard)):
        for start, stop in runs.get("".join(heard[before:number]), ()):
            if (stop - start, number - before) != (1, 1):
                found[number].append((before, start, stop))
    return found


def _runs(count: int) -> Iterator[tuple[int, int]]:
    """Start and end of all runs of 1 to `APART` units."""
    for start in range(count):
        for stop in range(start + 1, min(count, start + APART) + 1):
            yield start, stop

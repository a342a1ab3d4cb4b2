"""Which letter is spoken when: aligns the letters of each word with its phones.

    python letters.py MANIFEST ...

Reads manifests with `phones` (one character each, a space for pauses) and rewrites their `timing`
letter by letter. No
dictionary is needed: which letters make which sounds is learned from the words themselves (hard
expectation maximisation over monotone alignments in which a letter makes 0 to 3 phones).
"""

from __future__ import annotations

import math
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from llasa.data.manifest import Utterance, read_manifest, write_manifest

PAUSE = " "
MOST = 3
"""Phones that one letter can make."""
LONGEST = 20
"""Letters of a word; longer ones are numbers and the like."""
ROUNDS = 6
Times = list[tuple[int, float]]
Group = list[tuple[str, float]]
"""Phones of a word and their ends."""


class LetterModel:
    """How often each letter makes each string of phones."""

    def __init__(self, words: Counter[tuple[str, str]], rounds: int = ROUNDS) -> None:
        self._counts: dict[str, Any] = defaultdict(Counter)
        for letters, phones in words:  # to begin with, whatever stands near by
            for i, letter in enumerate(letters):
                self._counts[letter][""] += 1
                for k in range(1, MOST + 1):
                    for j in range(len(phones) - k + 1):
                        off = abs((i + 0.5) / len(letters) - (j + k / 2) / len(phones))
                        self._counts[letter][phones[j : j + k]] += math.exp(-8 * off) * 0.3 ** (
                            k - 1
                        )
        self._count_totals()
        for _ in range(rounds):
            counts: dict[str, Counter[str]] = defaultdict(Counter)
            for (letters, phones), times in words.items():
                start = 0
                for letter, made in zip(letters, self.align(letters, phones) or [], strict=False):
                    counts[letter][phones[start : start + made]] += min(times, 5)
                    start += made
            self._counts = counts
            self._count_totals()

    def align(self, letters: str, phones: str) -> list[int] | None:
        """Number of phones that each letter makes; None where there are too many phones."""
        n, m = len(letters), len(phones)
        best = [[math.inf] * (m + 1) for _ in range(n + 1)]
        made = [[0] * (m + 1) for _ in range(n + 1)]
        best[0][0] = 0.0
        for i in range(n):
            for j in range(m + 1):
                if best[i][j] == math.inf:
                    continue
                for k in range(min(MOST, m - j) + 1):
                    cost = best[i][j] + self._cost(letters[i], phones[j : j + k])
                    if cost < best[i + 1][j + k]:
                        best[i + 1][j + k], made[i + 1][j + k] = cost, k
        if best[n][m] == math.inf:
            return None
        result = []
        for i in range(n, 0, -1):
            result.append(made[i][m])
            m -= result[-1]
        return result[::-1]

    def _count_totals(self) -> None:
        self._totals = {letter: made.total() for letter, made in self._counts.items()}

    def _cost(self, letter: str, phones: str) -> float:
        counts = self._counts.get(letter, Counter())
        return -math.log((counts[phones] + 0.02) / (self._totals.get(letter, 0) + 2))


def words_of(clip: Utterance) -> list[tuple[int, int, float, Group]]:
    """(first character, last, begin, phones) of each word; empty where they cannot be paired."""
    spans = [m.span() for m in re.finditer(r"[^\W_](?:[^\s-]*[^\W_])?", clip.text or "")]
    runs = [(symbol, list(run)[-1][1]) for symbol, run in groupby(clip.phones, lambda p: p[0])]
    groups: list[tuple[float, Group]] = []
    begin, fresh = 0.0, True
    for symbol, end in runs:
        if symbol == PAUSE:
            fresh = True
        elif fresh:
            groups.append((begin, [(symbol, end)]))
            fresh = False
        else:
            groups[-1][1].append((symbol, end))
        begin = end
    if len(spans) != len(groups):
        return []
    return [(a, b, begin, group) for (a, b), (begin, group) in zip(spans, groups, strict=True)]


def letter_times(clip: Utterance, model: LetterModel) -> Times:
    """(character, seconds) at the start of each letter and the end of each word.

    What there was before where words and phones cannot be paired; ends of the word only where its
    letters cannot.
    """
    times: Times = []
    for first, last, begin, group in words_of(clip):
        letters, phones = _key(clip, first, last, group)
        made = model.align(letters, phones) if last - first <= LONGEST else None
        now, spoken = begin, 0
        for number, count in enumerate(made or [0]):
            times.append((first + number, now))
            spoken += count
            now = group[spoken - 1][1] if count else now
        times.append((last, group[-1][1]))
    return times or list(clip.timing)


def spoken_words(clips: Iterable[Utterance]) -> Counter[tuple[str, str]]:
    """Letters and phones of the words of clips, and how often each pair is said."""
    return Counter(
        _key(clip, first, last, group)
        for clip in clips
        for first, last, _, group in words_of(clip)
        if last - first <= LONGEST
    )


def letter_model(words: Counter[tuple[str, str]]) -> LetterModel:
    """Learnt from these; words that come again are aligned once."""
    model = LetterModel(words)
    model.align = cache(model.align)  # type: ignore[method-assign]
    return model


def _key(clip: Utterance, first: int, last: int, group: Group) -> tuple[str, str]:
    letters = "".join(c.lower()[0] for c in (clip.text or "")[first:last])
    return letters, "".join(symbol for symbol, _ in group)


def main() -> None:
    manifests = {path: read_manifest(path) for path in map(Path, sys.argv[1:])}
    clips = [clip for rows in manifests.values() for clip in rows]
    words = spoken_words(clips)
    model = letter_model(words)
    for path, rows in manifests.items():
        timed = (replace(clip, timing=tuple(letter_times(clip, model))) for clip in rows)
        write_manifest(path, timed)
    print(f"{len(clips)} clips, {len(words)} words")


if __name__ == "__main__":
    main()

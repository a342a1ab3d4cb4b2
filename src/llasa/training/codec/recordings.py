"""Manifests of any length as what training draws from, with who speaks in each recording."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llasa.base.files import reason
from llasa.data.manifest import Manifest, Utterance

CHECKED = 100_000
"""Lines of a manifest, and recordings of all together, that are looked at before a run begins;
what is wrong with others shows when they are drawn."""


class Recordings:
    """Some recordings of a manifest: all, or those of one speaker.

    A line is read when it is asked for, so that memory does not grow with the manifest; with
    speakers it takes 12 bytes a line.
    """

    def __init__(self, manifest: Manifest, rows: NDArray[np.int64] | None = None) -> None:
        self.manifest = manifest
        self._rows = rows

    def __len__(self) -> int:
        return len(self.manifest) if self._rows is None else len(self._rows)

    def row(self, place: int) -> int:
        """Which one of the manifest stands at a place."""
        return place if self._rows is None else int(self._rows[place])

    def named(self, row: int) -> str:
        """How messages call one that cannot be read."""
        return f"{self.manifest.path}, recording {row + 1}"


class Speakers:
    """Who speaks in each recording of a manifest; one whose line does not say is alone."""

    def __init__(self, manifest: Manifest) -> None:
        names: dict[str, int] = {}
        numbers = np.fromiter(
            (names.setdefault(each.speaker or str(each.path), len(names)) for each in manifest),
            np.int32,
            len(manifest),
        )
        self._manifest, self._numbers = manifest, numbers
        self._order = np.argsort(numbers, kind="stable")
        self._first = np.searchsorted(numbers[self._order], np.arange(len(names) + 1))

    def same(self, row: int) -> Recordings:
        """All recordings of the speaker of this one."""
        number = self._numbers[row]
        rows = self._order[self._first[number] : self._first[number + 1]]
        return Recordings(self._manifest, rows)


def check_lines(manifest: Manifest) -> None:
    """`LlasaError` for the first wrong line of those that are looked at."""
    for _ in manifest.read(0, CHECKED):
        pass


def recorded(manifests: Iterable[Manifest]) -> Iterator[Utterance]:
    """Utterances of several manifests that are looked at before a run begins."""
    return islice((each for manifest in manifests for each in manifest.read(0, CHECKED)), CHECKED)


def absent(clips: Iterable[Utterance]) -> dict[str, str]:
    """Clips whose file is missing or empty, each with the reason."""

    def flaw(path: Path) -> str | None:
        try:
            return None if path.is_file() and path.stat().st_size else "it is missing or empty"
        except OSError as error:
            return reason(error)

    paths = list(dict.fromkeys(clip.path for clip in clips))
    with ThreadPoolExecutor(16) as pool:  # on a network each look takes a while
        return {str(p): why for p, why in zip(paths, pool.map(flaw, paths), strict=True) if why}


def missing_sentence(missing: Mapping[str, str], where: str) -> str:
    """The error message about missing clips before the first step."""
    path, why = next(iter(missing.items()))
    more = f" (and {len(missing) - 1} others like it)" if len(missing) > 1 else ""
    return f"{path}{more}, a recording of {where}, cannot be used: {why}. Correct the manifest."

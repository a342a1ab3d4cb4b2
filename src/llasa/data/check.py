"""Finds what is wrong with the recordings of manifests, reading each of them once.

Takes memory for a few numbers a recording and a sentence a finding.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llasa.base.errors import LlasaError
from llasa.base.names import check_whole
from llasa.data.agreement import Listener
from llasa.data.examine import Facts, examine
from llasa.data.manifest import Manifest, Utterance, write_manifest

KINDS = {
    "line": "lines of the manifest that are wrong",
    "missing": "recordings that do not exist",
    "corrupt": "recordings that cannot be read",
    "silent": "recordings without sound",
    "clipped": "recordings cut off at full scale",
    "text": "texts without a word",
    "language": "texts in another language or script than the manifest says",
    "rate": "texts far too long or short for their recording",
    "duplicate": "recordings that are there twice",
    "leak": "recordings that are in a later split, too",
    "asr": "recordings in which other words are heard",
}
"""Kinds of findings."""
_TIMES_APART, _SECONDS_APART = 2.5, 1.0
"""How much a recording may be off for its text: a factor, plus so many seconds."""
_ENOUGH, _USUAL = 20, 14.0
"""Recordings needed for a language's own median of characters a second, and the default."""
_WINDOW = 256
"""Recordings that are read ahead together."""


class Finding(NamedTuple):
    """Something wrong: the line of the manifest (from 1), its recording, one of `KINDS`, why."""

    line: int
    audio: str
    kind: str
    reason: str


@dataclass
class Split:
    """A manifest and what was found in it. Arrays have a number for each line that is not blank."""

    manifest: Manifest
    lines: array[int] = field(default_factory=lambda: array("q"))
    seconds: array[float] = field(default_factory=lambda: array("d"))
    """NaN where the recording cannot be read."""
    characters: array[int] = field(default_factory=lambda: array("q"))
    languages: array[int] = field(default_factory=lambda: array("q"))
    """A number for each language."""
    hashes: array[int] = field(default_factory=lambda: array("Q"))
    """Of the sound; 0 where there is none."""
    speakers: set[str] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)
    error_rate: float | None = None
    """Word error rate of a recogniser; None if none listened."""

    @property
    def rows(self) -> int:
        """Number of lines that are not blank."""
        return len(self.manifest)

    @property
    def hours(self) -> float:
        """Total length of all readable recordings."""
        return float(np.nansum(self.seconds)) / 3600

    def rates(self) -> NDArray[np.float64]:
        """Characters a second; NaN without a text or a recording."""
        characters = np.where(np.array(self.characters) > 0, self.characters, np.nan)
        return characters / np.array(self.seconds)

    def counts(self) -> dict[str, int]:
        """Number of findings of each kind that occurs."""
        kinds = [finding.kind for finding in self.findings]
        return {kind: kinds.count(kind) for kind in KINDS if kind in kinds}

    def add(self, place: int, kind: str, reason: str) -> None:
        """Add a finding about the row at this index."""
        (_, row), *_ = self.manifest.rows(place, place + 1)
        audio = str(row.path) if isinstance(row, Utterance) else ""
        self.findings.append(Finding(self.lines[place], audio, kind, reason))


@dataclass
class Findings:
    """All splits, and for each pair of splits the speakers they share."""

    splits: list[Split]
    shared: dict[tuple[int, int], list[str]]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        names = [str(split.manifest.path) for split in self.splits]
        pairs = self.shared.items()
        return {
            "splits": [
                {
                    "manifest": name,
                    "recordings": split.rows,
                    "hours": round(split.hours, 4),
                    "speakers": len(split.speakers),
                    "error_rate": split.error_rate,
                    "findings": [finding._asdict() for finding in split.findings],
                }
                for name, split in zip(names, self.splits, strict=True)
            ],
            "shared_speakers": [
                {"splits": [names[a], names[b]], "speakers": people} for (a, b), people in pairs
            ],
        }


def check_manifests(
    paths: Sequence[Path],
    root: Path | None = None,
    asr: str | None = None,
    readers: int = 2,
) -> Findings:
    """Check manifests; several are the splits of one corpus, the training split first.

    `asr` names a verifier of content, which is to hear the texts. Raises `LlasaError` where a
    manifest cannot be read or the verifier is not one.
    """
    check_whole(readers=readers)
    splits = [Split(Manifest(path, root)) for path in paths]
    listener = None if asr is None else Listener(asr)
    with ThreadPoolExecutor(readers) as pool:
        for split in splits:
            _check_split(split, listener, pool)
    _find_repeated(splits)
    for split in splits:
        split.findings.sort()
    shared = {
        (a, b): sorted(one.speakers & other.speakers)
        for b, other in enumerate(splits)
        for a, one in enumerate(splits[:b])
        if one.speakers & other.speakers
    }
    return Findings(splits, shared)


def write_clean(split: Split) -> tuple[Path, int]:
    """Write MANIFEST.clean.jsonl: no line with a finding, and the seconds of each recording.

    Returns the file and the number of its lines; `LlasaError` where none would be left.
    """
    manifest = split.manifest
    wrong = {finding.line for finding in split.findings}
    if not set(split.lines) - wrong:
        raise LlasaError(f"Nothing of {manifest.path} would be left: no clean manifest is written.")

    def kept() -> Iterator[Utterance]:
        for (line, row), seconds in zip(manifest.rows(), split.seconds, strict=True):
            if line not in wrong and isinstance(row, Utterance):
                yield replace(row, seconds=round(seconds, 3))

    path = manifest.path.with_name(f"{manifest.path.stem}.clean.jsonl")
    return path, write_manifest(path, kept())


def _check_split(split: Split, listener: Listener | None, pool: ThreadPoolExecutor) -> None:
    rows = split.manifest.rows()
    languages: dict[str | None, int] = {}
    while window := list(islice(rows, _WINDOW)):
        facts = list(pool.map(partial(_look_at, keep=listener is not None), window))
        for (line, row), found in zip(window, facts, strict=True):
            known = row if isinstance(row, Utterance) else Utterance(Path())
            audio = str(known.path) if known is row else ""
            split.lines.append(line)
            split.seconds.append(found.seconds)
            split.characters.append(len(known.text or ""))
            split.languages.append(languages.setdefault(known.language, len(languages)))
            split.hashes.append(found.hash)
            split.speakers |= {known.speaker} if known.speaker else set()
            split.findings += [Finding(line, audio, *finding) for finding in found.findings]
        if listener is not None:
            _listen(split, listener, window, facts)
    split.error_rate = None if listener is None else listener.take_rate()
    _find_rates(split)


_Line = tuple[int, Utterance | LlasaError]


def _look_at(line: _Line, keep: bool) -> Facts:
    """Facts of a line, with its sound where it is to be kept."""
    row = line[1]
    if not isinstance(row, Utterance):
        return Facts(findings=(("line", str(row)),))
    facts = examine(row)
    return facts if keep else replace(facts, audio=None)


def _listen(
    split: Split, listener: Listener, window: Sequence[_Line], facts: Sequence[Facts]
) -> None:
    """Have a recogniser hear the recordings without other findings."""
    clips = [
        (line, row, found.audio)
        for (line, row), found in zip(window, facts, strict=True)
        if isinstance(row, Utterance) and not found.findings
    ]
    heard = listener.hear([clip[1:] for clip in clips])
    for (line, row, _), reason in zip(clips, heard, strict=True):
        if reason is not None:
            split.findings.append(Finding(line, str(row.path), "asr", reason))


def _find_rates(split: Split) -> None:
    """Texts that take far more or less time than others of their language."""
    rates, seconds = split.rates(), np.array(split.seconds)
    characters, languages = np.array(split.characters), np.array(split.languages)
    listed = {finding.line for finding in split.findings}
    for language in np.unique(languages):
        own = np.flatnonzero((languages == language) & np.isfinite(rates))
        usual = float(np.median(rates[own])) if len(own) >= _ENOUGH else _USUAL
        expected = characters[own] / usual
        slow = seconds[own] > expected * _TIMES_APART + _SECONDS_APART
        fast = seconds[own] * _TIMES_APART + _SECONDS_APART < expected
        for place in own[slow | fast].tolist():
            if split.lines[place] not in listed:
                about = f"{rates[place]:.1f} characters a second, where {usual:.1f} are usual."
                split.add(place, "rate", about)


def _find_repeated(splits: Sequence[Split]) -> None:
    """The same sound twice in a split, or in a split and a later one."""
    hashes = [np.array(split.hashes, np.uint64) for split in splits]
    for number, (split, own) in enumerate(zip(splits, hashes, strict=True)):
        _, first, of = np.unique(own, return_index=True, return_inverse=True)
        original = first[of]
        for place in np.flatnonzero((own > 0) & (original != np.arange(len(own)))).tolist():
            split.add(place, "duplicate", f"Line {split.lines[original[place]]} sounds the same.")
        for later in range(number + 1, len(splits)):
            for place in np.flatnonzero((own > 0) & np.isin(own, hashes[later])).tolist():
                split.add(place, "leak", f"{splits[later].manifest.path} has it, too.")

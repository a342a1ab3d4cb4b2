"""Does a model understand what it reads? The paper's seven categories, as machines hear them.

An item is a text whose meaning asks for something that its bare words do not have: a rising end, a
pause, a stressed word, one of two readings. Beside it stands a *reference*, mostly the same words
without what asks for it. Both are spoken; a measure says how far the text's take has what the
reference's lacks:

    {"id": "en-questions-01", "language": "en", "category": "questions", "measure": "rise",
     "text": "You fed the cat already?", "reference": "You fed the cat already."}

`marked` holds the words with signs: `|` where a pause belongs, `/` where one does not, and `*word*`
for words that count. `homophones` are two wordings for a recogniser to choose between: as it is
right, and as it is wrong. `arousal` is 1 for a voice that is livelier than the reference's, -1 for
a calmer one.

What a measure is worth is shown by the *chance*: the reference spoken once more in place of the
text, scored alike. A score that is not above its chance for any system proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from llasa.audio.audio import Audio, Samples, read_audio
from llasa.base import jsonl
from llasa.base.errors import LlasaError
from llasa.base.names import check_choice, check_name
from llasa.data.manifest import check_strings
from llasa.evaluation.experiment import Experiment, Row
from llasa.evaluation.items import read_lines
from llasa.verifiers.asr.word_errors import differences
from llasa.verifiers.content import Content

CATEGORIES = {
    "en": (
        *("compound nouns", "emotions", "foreign words", "paralinguistics"),
        *("punctuations", "questions", "syntactic complexities"),
    ),
    "zh": (
        *("emotion", "paralinguistic", "poetry", "polyphonic characters"),
        *("questions", "tongue twisters", "rare characters"),
    ),
}
"""Those of the paper (tables 6 and 7), by language."""
TEXT, REFERENCE, AGAIN = "text", "reference", "again"
"""Takes of an item; the last is the reference spoken once more."""


@dataclass(frozen=True)
class Measure:
    """What is measured of a take; `step` above the reference's take it counts as heard.

    `heard_by` and `unit` are for tables. Without a step the measure itself is the score, from 0 to
    1, and the chance is the reference's take scored as if it were the text's.
    """

    heard_by: str
    unit: str
    needs: str | None
    step: float | None = None


MEASURES = {
    "rise": Measure("pitch at the end", "semitones", None, 2.0),
    "pauses": Measure("pauses at the marks", "s", "marked", 0.06),
    "boundary": Measure("pause here, not there", "s", "marked", 0.06),
    "prominence": Measure("energy and length of the word", "dB", "marked", 1.0),
    "reading": Measure("recogniser's choice of two wordings", "nats", "homophones", 1.0),
    "arousal": Measure("liveliness of the voice", "spreads", "arousal", 0.2),
    "words": Measure("recogniser, the marked words", "share right", "marked"),
    "sentence": Measure("recogniser, the whole sentence", "share right", None),
    "listen": Measure("people only", "", None),
}
"""By name. The steps were set before any system was scored."""


@dataclass(frozen=True)
class Probe:
    """One item of the test; see the module's text for its parts."""

    id: str
    language: str
    category: str
    measure: str
    text: str
    reference: str = ""
    marked: str = ""
    homophones: tuple[str, str] | None = None
    arousal: int = 0

    @property
    def takes(self) -> dict[str, str]:
        """What is spoken, by take."""
        if self.measure == "listen":
            return {TEXT: self.text}
        takes = {TEXT: self.text, REFERENCE: self.reference}
        return takes if MEASURES[self.measure].step is None else takes | {AGAIN: self.reference}

    @cached_property
    def script(self) -> MarkedWords:
        """What `marked` says, or the text without any marks."""
        return MarkedWords.of(self.marked or self.text, by_word=self.language != "zh")


@dataclass(frozen=True)
class MarkedWords:
    """Words (or characters) in order, and which places among them are marked.

    pauses, none: numbers of words after which a pause belongs, or does not; counted: of those that
    are marked as `*word*`.
    """

    words: list[str]
    pauses: list[int]
    none: list[int]
    counted: list[int]

    @classmethod
    def of(cls, marked: str, by_word: bool) -> MarkedWords:
        script, counting = cls([], [], [], []), False
        for part in re.findall(r"[|/*]|[\w'’\-]+" if by_word else r"[|/*]|\w", marked):
            if part in "|/":
                (script.pauses if part == "|" else script.none).append(len(script.words) - 1)
            elif part == "*":
                counting = not counting
            else:
                if counting:
                    script.counted.append(len(script.words))
                script.words.append(part)
        return script


def read_probes(path: Path) -> list[Probe]:
    """Items of a list; `LlasaError`, with the line's number, for what is wrong."""
    probes, seen = [], set()
    for number, line in read_lines(path):
        where = f"{path}, line {number}"
        row = jsonl.parse_object(line, where, '{"text": ...}')
        probe = _probe(row, where)
        if probe.id in seen:
            raise LlasaError(f"{where}: the id {probe.id!r} occurs twice.")
        seen.add(probe.id)
        probes.append(probe)
    return probes


def _probe(row: dict[str, Any], where: str) -> Probe:
    needed = ("id", "language", "category", "measure", "text")
    strings = (*needed, "reference", "marked")
    check_strings(row, strings, where)
    if missing := [name for name in needed if not row.get(name)]:
        raise LlasaError(f'{where}: it has no "{missing[0]}".')
    if unknown := row.keys() - Probe.__dataclass_fields__.keys():
        raise LlasaError(f"{where}: {min(unknown)!r} is unknown.")
    check_name(row["id"], "id")
    check_choice(row["language"], CATEGORIES, f"{where}: the language")
    check_choice(row["category"], CATEGORIES[row["language"]], f"{where}: the category")
    check_choice(row["measure"], MEASURES, f"{where}: the measure")
    measure = MEASURES[row["measure"]]
    for name in filter(None, (measure.needs, row["measure"] != "listen" and "reference")):
        if not row.get(name):
            raise LlasaError(f'{where}: the measure {row["measure"]} needs "{name}".')
    if (pair := row.get("homophones")) is not None:
        if not (isinstance(pair, list) and [*map(type, pair)] == [str, str]):
            raise LlasaError(f'{where}: "homophones" are two wordings, the right one first.')
        row = {**row, "homophones": tuple(pair)}
    if row.get("arousal", 1) not in (1, -1):
        raise LlasaError(f'{where}: "arousal" is 1 or -1, not {row["arousal"]!r}.')
    probe, marks = Probe(**row), {"pauses": "|", "boundary": "|", "prominence": "*", "words": "*"}
    if (mark := marks.get(probe.measure)) and mark not in probe.marked:
        raise LlasaError(f'{where}: the measure {probe.measure} needs {mark} in "marked".')
    return probe


class Ears(Protocol):
    """What measures are taken with; all take mono speech at 16 kHz."""

    def rise(self, clip: Samples) -> float: ...

    def pauses(self, clip: Samples, script: MarkedWords) -> float: ...

    def prominence(self, clip: Samples, script: MarkedWords) -> float: ...

    def logprob(self, clip: Samples, text: str) -> float: ...

    def arousal(self, clip: Samples) -> float: ...

    def transcript(self, clip: Samples) -> str: ...

    @property
    def content(self) -> Content: ...


def measure(probe: Probe, clip: Samples, ears: Ears) -> tuple[float, str | None]:
    """The item's measure of one take, and the transcript where a recogniser wrote one.

    NaN where it cannot be taken.
    """
    script = probe.script
    if probe.measure == "rise":
        return ears.rise(clip), None
    if probe.measure in ("pauses", "boundary"):
        return ears.pauses(clip, script), None
    if probe.measure == "prominence":
        return ears.prominence(clip, script), None
    if probe.measure == "arousal":
        return probe.arousal * ears.arousal(clip), None
    if probe.measure == "reading":
        assert probe.homophones is not None
        right, wrong = (ears.logprob(clip, wording) for wording in probe.homophones)
        return right - wrong, None
    heard = ears.transcript(clip)
    return share_right(script, heard, ears.content, probe.measure == "words"), heard


def share_right(script: MarkedWords, heard: str, content: Content, counted: bool) -> float:
    """Share of the words that a transcript has right; of those `counted` only, if wanted."""
    gap, wanted, mine = " " if content.by_word else "", [], []
    for number, word in enumerate(script.words):
        units = content.units(word)
        wanted += units
        mine += [number in script.counted or not counted] * len(units)
    said = content.units(gap.join(heard.split()) if content.by_word else heard)
    wrong = set()
    extra = 0
    for place, units, others in differences(wanted, said):
        wrong |= {*range(place, place + len(units))}
        extra += max(0, len(others) - len(units))
    lost = sum(mine[place] for place in wrong) + (0 if counted else extra)
    return max(0.0, 1 - lost / max(1, sum(mine)))


def evaluate_understanding(
    probes: Sequence[Probe],
    systems: dict[str, Callable[[Probe, str], Audio]],
    ears: Callable[[str], Ears],
    run: Experiment,
) -> list[Row]:
    """Take and measure every item with every system; a row for each take.

    `systems` give an item's take by its name (`TEXT` and so on); `ears` are those of a language.
    """
    tasks = {
        (take_id(probe, take), system): (probe, take)
        for probe in probes
        for system in systems
        for take in probe.takes
    }

    def do(id: str, system: str) -> tuple[Row, Audio | None]:
        probe, take = tasks[id, system]
        row: Row = {"item": probe.id, "take": take, "text": probe.takes[take]}
        try:
            audio = systems[system](probe, take)
        except LlasaError as error:
            return {**row, "value": None, "problem": str(error)}, None
        if probe.measure == "listen":
            return {**row, "value": None}, audio
        clip = audio.mono().resample(16_000).samples
        if not clip.any():
            return {**row, "value": None, "problem": "silence"}, audio
        try:
            value, heard = measure(probe, clip, ears(probe.language))
        except LlasaError as error:
            return {**row, "value": None, "problem": str(error)}, audio
        row |= {} if heard is None else {"heard": heard}
        return {**row, "value": round(value, 4) if np.isfinite(value) else None}, audio

    return run.work(tasks, do, "eval understanding")


def take_id(probe: Probe, take: str) -> str:
    """What a take's row and its recording are called."""
    return probe.id if take == TEXT else f"{probe.id}.{take}"


def recordings(folder: Path, probes: Sequence[Probe]) -> Callable[[Probe, str], Audio]:
    """Takes of another system: `FOLDER/ID.wav`, `ID.reference.wav` and `ID.again.wav`.

    Any format that can be read. Without `again` the reference counts in its place, which is what
    a system without chance in it would say. Raises `LlasaError` where others are missing.
    """
    files = {path.stem: path for path in sorted(folder.iterdir())} if folder.is_dir() else {}
    wanted = [take_id(p, take) for p in probes for take in p.takes if take != AGAIN]
    if missing := [name for name in wanted if name not in files]:
        raise LlasaError(
            f"{folder} has no recording {missing[0]} and lacks {len(missing)} of {len(wanted)}: "
            "--texts FILE writes what is to be said."
        )

    def take(probe: Probe, name: str) -> Audio:
        file = files.get(take_id(probe, name)) or files[take_id(probe, REFERENCE)]
        return read_audio(file).mono()

    return take

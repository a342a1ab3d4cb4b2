"""The paper's tables with reports of our own below its lines (`llasa eval tables`).

A column of ours is what the judge nearest to the paper's found; a note says where it is another
one, for then the numbers do not compare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from llasa.base.errors import LlasaError
from llasa.base.files import read_json
from llasa.base.names import check_choice
from llasa.evaluation import paper_numbers
from llasa.evaluation.tables import Table, markdown

SUMMARY = "summary.json"
NONE = "–"


class Column(NamedTuple):
    """A column: its head, the test set it belongs to, and which of our measures fill it.

    `measures` are first words, the first that a report has counts; a second group stands in
    brackets. `judge` is the verifier that the paper's judge is here, "" where none takes part.
    """

    head: str
    part: str
    measures: tuple[str, ...]
    brackets: tuple[str, ...] = ()
    judge: str = ""
    theirs: str = ""


class PaperTable(NamedTuple):
    """A table of the paper: `numbers` has a line a system; our lines say nothing in `facts`."""

    title: str
    numbers: str
    facts: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def parts(self) -> list[str]:
        """Test sets, in order; "" for a table of one."""
        return list(dict.fromkeys(column.part for column in self.columns))


_HUBERT, _WAVLM = ("ctc", "HuBERT-large-ls960-ft"), ("wavlm", "WavLM-large (UniSpeech)")
_EMOTION = ("emotion2vec", "emotion2vec+ large")
_OF_EMOTION = ("emotion", "style")
"""Verifiers of ours that say how alike emotions are, the better first."""


def _seed(part: str, *error: str) -> tuple[Column, Column]:
    ears = ("whisper", "Whisper-large-v3") if part == "en" else ("paraformer", "Paraformer-zh")
    rate = Column(f"{part} {error[-1]} %", part, error, (), *ears)
    like = Column(f"{part} SIM-o (SIM-r)", part, ("SIM-o", "SIM"), ("SIM-r",), *_WAVLM)
    return rate, like


TABLES = {
    "T1": PaperTable(
        "Table 1: codecs, LibriSpeech test-clean",
        paper_numbers.CODECS,
        ("tokens/s", "codebook", "layers", "frames/s"),
        (
            Column("WER %", "", ("WER",), (), *_HUBERT),
            Column("STOI", "", ("STOI",)),
            Column("PESQ-WB", "", ("PESQ-WB",)),
            Column("PESQ-NB", "", ("PESQ-NB",)),
            Column("SIM", "", ("SIM", "SIM-o"), (), *_WAVLM),
            Column("UTMOS", "", ("MOS",), (), "utmos", "UTMOS"),
        ),
    ),
    "T2": PaperTable(
        "Table 2: Seed-TTS-Eval",
        paper_numbers.SEED_TTS,
        (),
        (*_seed("zh", "CER"), *_seed("en", "WER"), *_seed("hard", "CER", "WER")),
    ),
    "T3": PaperTable(
        "Table 3: hearing, LibriSpeech",
        paper_numbers.HEARING,
        (),
        (
            Column("test-clean WER %", "clean", ("WER",)),
            Column("test-other WER %", "other", ("WER",)),
        ),
    ),
    "T4": PaperTable(
        "Table 4: likeness in emotion, ESD",
        paper_numbers.EMOTION,
        (),
        tuple(Column(part, part, ("SIM-o", "SIM"), (), *_EMOTION) for part in ("en", "zh")),
    ),
    "T5": PaperTable(
        "Table 5: LibriSpeech test-clean, continued",
        paper_numbers.CONTINUATION,
        (),
        (
            Column("WER %", "", ("WER",), (), *_HUBERT),
            Column("SIM-o", "", ("SIM-o", "SIM"), (), *_WAVLM),
            Column("SIM-r", "", ("SIM-r",), (), *_WAVLM),
        ),
    ),
}


@dataclass(frozen=True)
class EvalSummary:
    """What `llasa eval` found on one test set: estimates by system and measure, and who chose."""

    scores: Mapping[str, Mapping[str, Mapping[str, Any]]]
    warnings: Sequence[str]
    settings: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> EvalSummary:
        """`LlasaError` where no evaluation has written a summary there."""
        if not (folder / SUMMARY).is_file():
            raise LlasaError(f"{folder} holds no report: give the folder of a finished llasa eval.")
        values = read_json(folder / SUMMARY)
        try:
            return cls(values["scores"]["all"], values["warnings"], values["settings"])
        except (KeyError, TypeError) as error:
            raise LlasaError(f"{folder / SUMMARY} is damaged: it has no {error}.") from error

    def cell(self, system: str, column: Column) -> tuple[str, str]:
        """An estimate as the table has it, and the judge it is from; a dash where there is none."""
        value, judge = self._found(system, column.measures, column.judge)
        if column.brackets:
            more, _ = self._found(system, column.brackets, column.judge)
            value = value if more == NONE else f"{value} ({more})"
        return value, judge

    def _found(self, system: str, measures: Sequence[str], wanted: str) -> tuple[str, str]:
        found = self.scores[system]
        for measure in measures:
            names = [name for name in found if name.partition(" ")[0] == measure]
            names = [name for name in names if found[name]["value"] is not None]
            if wanted == _EMOTION[0]:  # likeness of voices is another question
                names = [name for name in names if _kind(name) in _OF_EMOTION]
                names.sort(key=lambda name: _OF_EMOTION.index(_kind(name)))
            names.sort(key=lambda name: _kind(name) != wanted)  # the paper's judge first
            if names:
                value, percent = found[names[0]]["value"], measure in ("WER", "CER")
                shown = f"{100 * value:.2f}" if percent else f"{value:.3f}"
                return shown, names[0].partition(" ")[2]
        return NONE, ""


def paper_tables(folders: Mapping[str, Path]) -> str:
    """The tables that reports are given for, in Markdown; `folders` by name, as T1 or T2.en."""
    reports: dict[str, dict[str, EvalSummary]] = {}
    for name, folder in folders.items():
        table, _, part = name.partition(".")
        check_choice(table, TABLES, "The table")
        if part not in (parts := TABLES[table].parts):
            raise LlasaError(
                f"{name} names no test set of its table: "
                + (f"write {' or '.join(f'{table}.{p}' for p in parts)}." if parts[0] else table)
            )
        reports.setdefault(table, {})[part] = EvalSummary.read(folder)
    return "\n\n".join(_section(TABLES[name], found) for name, found in sorted(reports.items()))


def _section(table: PaperTable, reports: Mapping[str, EvalSummary]) -> str:
    lines: Table = [["", *table.facts, *(column.head for column in table.columns)]]
    lines += [line.split(" | ") for line in table.numbers.strip().split("\n")]
    notes: dict[str, None] = {}
    for system in dict.fromkeys(name for report in reports.values() for name in report.scores):
        cells = [f"**ours: {system}**", *([NONE] * len(table.facts))]
        for column in table.columns:
            report = reports.get(column.part)
            if report is None or system not in report.scores:
                cells.append(NONE)
                continue
            value, judge = report.cell(system, column)
            cells.append(value)
            if judge and column.judge not in ("", _kind(f" {judge}")):
                notes[f"{column.head}: ours by {judge}, the paper's by {column.theirs}."] = None
        lines.append(cells)
    for part, report in reports.items():
        where = f"{part}: " if part else ""
        items = report.settings.get("items")
        name = items[0] if isinstance(items, list) else items
        notes[f"{where}ours on {name}."] = None
        notes |= dict.fromkeys(f"{where}{warning}" for warning in report.warnings)
    return "\n\n".join([f"## {table.title}", markdown(lines), "\n".join(f"- {n}" for n in notes)])


def _kind(measure: str) -> str:
    """The verifier behind a measure, without its argument."""
    return measure.partition(" ")[2].partition(":")[0]

"""The paper's tables, and what our reports put below them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llasa.base.errors import LlasaError
from llasa.evaluation.paper import NONE, TABLES, paper_tables


def write_report(folder: Path, systems: dict[str, dict[str, float]], **more: Any) -> Path:
    folder.mkdir()
    scores = {
        system: {name: {"value": value} for name, value in measures.items()}
        for system, measures in systems.items()
    }
    values = {"scores": {"all": scores}, "warnings": [], "settings": {"items": ["l.jsonl", "0"]}}
    (folder / "summary.json").write_text(json.dumps(values | more))
    return folder


def cells(text: str, system: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {system} |")]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_every_line_of_the_paper_has_all_columns() -> None:
    for table in TABLES.values():
        width = 1 + len(table.facts) + len(table.columns)
        lines = [line.split(" | ") for line in table.numbers.strip().splitlines()]
        assert {len(line) for line in lines} == {width}
        for cell in (cell for line in lines for cell in line[1 + len(table.facts) :]):
            assert cell == NONE or float(cell.split(" (")[0]) >= 0
    counts = {name: len(table.numbers.strip().splitlines()) for name, table in TABLES.items()}
    assert counts == {"T1": 20, "T2": 25, "T3": 4, "T4": 11, "T5": 24}


def test_the_papers_judge_comes_first_and_others_are_named(tmp_path: Path) -> None:
    near = {"WER moonshine": 0.5, "WER whisper:large": 0.0214, "SIM-o ge2e": 0.9}
    far = {"CER whisper": 0.0189, "SIM-o wavlm:w.pth": 0.669, "SIM-r wavlm:w.pth": 0.794}
    text = paper_tables(
        {
            "T2.en": write_report(tmp_path / "en", {"synthesis": near}),
            "T2.zh": write_report(tmp_path / "zh", {"synthesis": far, "recording": far}),
        }
    )
    assert cells(text, "Human")[0] == "1.26"
    ours = ["1.89", "0.669 (0.794)", "2.14", "0.900", NONE, NONE]
    assert cells(text, "**ours: synthesis**") == ours
    assert cells(text, "**ours: recording**") == [*ours[:2], *[NONE] * 4]
    assert "- zh CER %: ours by whisper, the paper's by Paraformer-zh." in text
    assert "ours by ge2e, the paper's by WavLM-large (UniSpeech)" in text
    assert "whisper:large, the paper's" not in text
    assert "wavlm:w.pth, the paper's" not in text
    assert "- en: ours on l.jsonl." in text


def test_codecs_emotion_and_warnings(tmp_path: Path) -> None:
    codec = {
        "WER ctc:h": 0.0247,
        "STOI": 0.92,
        "PESQ-WB": 2.43,
        "MOS distillmos": 4.1,
        "SIM a": 0.8,
    }
    style = {"SIM-o ge2e": 0.9, "SIM-o style": 0.1, "SIM-o emotion:e": 0.753}
    folders = {
        "T1": write_report(tmp_path / "c", {"nano": codec}, warnings=["The judge a also chose."]),
        "T4.en": write_report(tmp_path / "e", {"synthesis": style}),
        "T5": write_report(tmp_path / "l", {"synthesis": {"WER ctc:h": 0.02, "SIM-o wavlm": 0.5}}),
    }
    text = paper_tables(folders)
    assert cells(text, "**ours: nano**")[4:] == ["2.47", "0.920", "2.430", NONE, "0.800", "4.100"]
    assert "- UTMOS: ours by distillmos, the paper's by UTMOS." in text
    assert "- The judge a also chose." in text
    assert "WER %: ours by ctc" not in text
    assert "| **ours: synthesis** | 0.753 | – |" in text  # never the likeness of voices
    assert "en: ours by emotion:e, the paper's by emotion2vec+ large." in text
    assert text.index("Table 1") < text.index("Table 4") < text.index("Table 5")


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(LlasaError, match="'T9'"):
        paper_tables({"T9": tmp_path})
    with pytest.raises(LlasaError, match=r"write T2.zh or T2.en or T2.hard\."):
        paper_tables({"T2": tmp_path})
    with pytest.raises(LlasaError, match="holds no report"):
        paper_tables({"T1": tmp_path})
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(LlasaError, match="is damaged: it has no 'scores'"):
        paper_tables({"T1": tmp_path})

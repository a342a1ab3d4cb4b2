"""Reports: tables, groups, warnings, and files that hold everything."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llasa.audio.audio import Audio, read_audio
from llasa.evaluation.experiment import Experiment
from llasa.evaluation.judges import Judges
from llasa.evaluation.report import Report, show
from llasa.evaluation.statistics import Estimate
from tests.tiny_model import tone

from .tools import Loudness

ROWS = {
    ("a", "recording"): ("calm", {"WER w": (1, 10), "MOS d": (4.0, 1)}),
    ("a", "model"): ("calm", {"WER w": (5, 10), "RTF": (1.0, 4.0)}),
    ("b", "recording"): ("<wild>", {"WER w": (0, 10), "MOS d": (3.0, 1)}),
    ("b", "model"): ("<wild>", {"WER w": (10, 10), "RTF": (2.0, 2.0)}),
}


def make(folder: Path, **options: Any) -> Report:
    def do(id: str, system: str) -> tuple[dict[str, Any], Audio]:
        kind, measures = ROWS[id, system]
        row = {"kind": kind, "text": "Say & stay", "measures": measures}
        return row | {"heard": {"w": "a <b> c"}, "unscored": {"MOS d": "too short."}}, tone(0.3)

    run = Experiment(folder, {"seed": 0, "codec": None}, "llasa eval tts 'my list' -o out")
    rows = run.work(ROWS, do, "eval")
    judges = Judges([Loudness()], chosen_by=[Loudness()])  # type: ignore[list-item]
    return Report("A <title>", run, judges, rows, **options)


def test_numbers_of_all_files_agree(tmp_path: Path) -> None:
    summary = make(tmp_path).write()
    assert json.loads((tmp_path / "summary.json").read_text()) == json.loads(json.dumps(summary))
    scores = summary["scores"]
    assert list(scores) == ["all", "calm", "<wild>"]
    assert scores["all"]["model"]["WER w"]["value"] == 0.75
    assert scores["all"]["model"]["RTF"]["value"] == 0.5
    assert scores["calm"]["recording"]["WER w"]["value"] == 0.1
    with (tmp_path / "summary.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 18
    (line,) = [
        r for r in lines if (r["kind"], r["system"], r["measure"]) == ("all", "model", "RTF")
    ]
    assert float(line["value"]) == 0.5
    assert line["utterances"] == "2"
    text = (tmp_path / "report.md").read_text()
    assert "| WER w % | 5.0 [0.0, 10.0] | 75.0 [50.0, 100.0] |" in text
    assert "| MOS d | 3.50 [3.00, 4.00] | – |" in text
    assert "| utterances | 2 | 2 |" in text
    assert scores["all"]["recording"]["median-WER w"]["value"] == 0.05
    by_kind = text.split("## by kind")[1]
    assert "| calm, model | 50.0 [50.0, 50.0] | 50.0 [50.0, 50.0] | – | 0.250" in by_kind


def test_one_system_has_a_line_for_each_kind(tmp_path: Path) -> None:
    report = make(tmp_path)
    report = replace(report, rows=[row for row in report.rows if row["system"] == "model"])
    header, *lines = report.tables["by kind"]
    assert header == ["", "WER w %", "median-WER w %", "RTF", "utterances"]
    assert [line[0] for line in lines] == ["calm", "<wild>"]


def test_medians_are_of_characters_where_words_are_not_set_apart(tmp_path: Path) -> None:
    report = make(tmp_path)
    measures = {"CER zh": (1, 4), "WER en": (1, 2), "CER en": (1, 8)}
    report = replace(report, rows=[row | {"measures": measures} for row in report.rows])
    names = list(report.estimates["all"]["model"])
    assert names == ["CER zh", "median-CER zh", "WER en", "median-WER en", "CER en"]


def test_what_is_said_stands_below_what_is_typed(tmp_path: Path) -> None:
    report = make(tmp_path)
    replace(report, rows=[row | {"said": "Say <and> stay"} for row in report.rows]).write()
    assert "<small>said: Say &lt;and&gt; stay</small>" in (tmp_path / "report.html").read_text()


def test_what_a_reader_must_know_is_in_it(tmp_path: Path) -> None:
    summary = make(tmp_path).write()
    assert (summary["judging"], summary["choosing"]) == (["level"], ["level"])
    for name in ("report.md", "report.html"):
        text = (tmp_path / name).read_text()
        assert "also chose what it judges" in text
        assert "Judging families: level. Choosing families: level." in text
        assert "model: MOS d is missing 2 times (too short)" in text
        assert "95 % bootstrap" in text
        assert "torch" in text
    assert "    llasa eval tts 'my list' -o out\n" in (tmp_path / "report.md").read_text()


def test_the_page_holds_its_audio_and_escapes_text(tmp_path: Path) -> None:
    make(tmp_path, listen=1).write()
    page = (tmp_path / "report.html").read_text()
    assert "<title>A &lt;title&gt;</title>" in page
    assert "Say &amp; stay" in page
    assert "a &lt;b&gt; c" in page
    assert "<wild>" not in page
    players = re.findall(r'src="data:audio/mpeg;base64,([^"]+)"', page)
    assert len(players) == 2  # one utterance, two systems
    assert not re.search(r'(src|href)="(?!data:)', page)
    import base64

    assert read_audio(base64.b64decode(players[0])).duration == pytest.approx(0.3, abs=0.1)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("WER whisper", Estimate(0.1234, 0.1, 0.15, 9), "12.3 [10.0, 15.0]"),
        ("SIM-o ge2e", Estimate(0.1234, 0.1, 0.15, 9), "0.123 [0.100, 0.150]"),
        ("MOS dnsmos", Estimate(3.456, 3.0, 4.0, 9), "3.46 [3.00, 4.00]"),
        ("codes used", Estimate(0.5, float("nan"), float("nan"), 9), "50.0"),
        ("RTF", Estimate(float("nan"), 0.0, 0.0, 0), "–"),
        ("RTF", None, "–"),
        ("runaways", Estimate(0.005, 0.0, 0.01, 9), "0.5 [0.0, 1.0]"),
    ],
)
def test_numbers_in_tables(name: str, value: Estimate | None, shown: str) -> None:
    assert show(name, value) == shown

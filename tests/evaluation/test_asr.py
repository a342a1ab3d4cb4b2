"""Recognisers side by side: errors against the words, and who may take part."""

from __future__ import annotations

from pathlib import Path

import pytest

from llasa.base.errors import LlasaError
from llasa.evaluation.asr import evaluate_asr, listeners
from llasa.evaluation.experiment import Experiment
from llasa.evaluation.items import Item
from llasa.evaluation.judges import Judges
from llasa.evaluation.report import ALL, Report
from llasa.verifiers.content import Content

from .tools import Echo, Loudness, write_clip

pytest.importorskip("whisper_normalizer")


def test_errors_of_each_recognizer(tmp_path: Path) -> None:
    items = [
        Item("a", "Red green blue.", write_clip(tmp_path / "a.wav")),
        Item("b", "Back at 5", write_clip(tmp_path / "b.wav", 2.0), said="Back at five."),
    ]
    good, bad = Echo("red green blue", "back at five"), Echo("red grin blue cat", "")
    good.name, bad.name = "good", "bad"
    judges = Judges([Content(good), Content(bad)])
    experiment = Experiment(tmp_path / "out", {}, "llasa eval asr")
    rows = evaluate_asr(items, listeners(judges), experiment)
    report = Report("Hearing", experiment, judges, rows)
    found = report.estimates[ALL]
    assert found["good"]["WER"].value == 0.0
    assert found["bad"]["WER"].value == pytest.approx((2 + 3) / 6)
    assert found["bad"]["CER"].value == pytest.approx((2 + 3 + 7) / (12 + 7))
    assert found["bad"]["median-WER"].value == pytest.approx((2 / 3 + 1) / 2)
    assert found["good"]["RTF"].utterances == 2
    assert report.write()["scores"][ALL]["bad"]["WER"]["utterances"] == 2
    again = evaluate_asr(items, listeners(judges), experiment)  # the echoes have nothing left
    assert again == rows


def test_only_recognizers_hear() -> None:
    with pytest.raises(LlasaError, match="loudness does not listen to words: name recognisers"):
        listeners(Judges([Loudness()]))

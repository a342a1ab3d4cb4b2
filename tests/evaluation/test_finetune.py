"""Advice before a fine-tuning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llasa.evaluation.experiment import Experiment
from llasa.evaluation.finetune import codec_advice
from llasa.evaluation.judges import Judges
from llasa.evaluation.report import Report


@pytest.mark.parametrize(("wrong", "advised"), [(1.0, False), (4.0, True)])
def test_a_codec_that_loses_words_is_named(tmp_path: Path, wrong: float, advised: bool) -> None:
    def row(system: str, errors: float) -> dict[str, Any]:
        pair = {"WER whisper": (errors, 20.0), "CER whisper": (9.0, 10.0)}
        return {"id": "1", "system": system, "kind": None, "measures": pair}

    rows = [row("recording", 1.0), row("resynthesis", wrong)]
    report = Report("t", Experiment(tmp_path, {}, "llasa"), Judges(""), rows)
    found = codec_advice(report)
    assert len(found) == advised
    if advised:
        assert "whisper hears 5% of them wrong in the recordings, 20% after" in found[0]

"""Codecs against the recordings: measures, bits and code use."""

from __future__ import annotations

from pathlib import Path

import pytest

from llasa.audio.audio import Audio
from llasa.evaluation.codec import code_measures, evaluate_codec
from llasa.evaluation.experiment import Experiment
from llasa.evaluation.items import Item
from llasa.evaluation.judges import Judges
from llasa.evaluation.systems import Coded, OwnCodec, System, find_system
from tests.tiny_model import tiny_codec

from .tools import Loudness, echo_judges, write_clip

pytest.importorskip("pystoi")
pytest.importorskip("pesq")
pytest.importorskip("whisper_normalizer")


class Copy:
    """A perfect codec."""

    name = "copy"

    def __call__(self, audio: Audio) -> Coded:
        return Coded(audio, 1000 * audio.duration)


@pytest.mark.slow
def test_measures_of_every_system(tmp_path: Path, speech_data: Path) -> None:
    tiny_codec().save(tmp_path / "tiny")
    ours = OwnCodec(str(tmp_path / "tiny"), "cpu")
    path = speech_data / "librispeech/1688-142285-0002.flac"
    items = [Item("a", "One two.", path), Item("b", None, path)]
    judges = echo_judges("one two", "one", "two", "one two")
    systems: list[System] = [Copy(), ours, find_system("opus:12")]
    rows = evaluate_codec(items, systems, judges, Experiment(tmp_path / "o", {}, "c"))
    by_key = {(row["id"], row["system"]): row["measures"] for row in rows}
    assert list(by_key["a", "recording"]) == ["WER echo", "CER echo"]
    assert by_key["b", "recording"] == {}
    copy = by_key["a", "copy"]
    assert copy["STOI"][0] == pytest.approx(1.0)
    assert copy["PESQ-WB"][0] == pytest.approx(4.644, abs=1e-3)
    assert copy["PESQ-NB"][0] == pytest.approx(4.549, abs=1e-3)
    assert copy["kbit/s"][0] / copy["kbit/s"][1] == pytest.approx(1.0)
    assert copy["SIM loudness"] == (0.0, 1.0)
    assert by_key["a", "opus:12"]["STOI"][0] > by_key["a", ours.name]["STOI"][0]
    assert "WER echo" not in by_key["b", "opus:12"]
    mine = [row for row in rows if row["system"] == ours.name]
    use = code_measures(mine)
    codes = set(mine[0]["codes"])
    assert use["codes used"].value == len(codes) / 64
    assert 0 < use["bits a code"].value <= 6
    assert code_measures([row for row in rows if row["system"] == "copy"]) == {}


def test_clips_too_short_to_score_say_so(tmp_path: Path) -> None:
    item = Item("a", None, write_clip(tmp_path / "a.wav", 0.15))
    run = Experiment(tmp_path / "o", {}, "c")
    _, row = evaluate_codec([item], [Copy()], Judges([Loudness()]), run)  # type: ignore[list-item]
    assert row["unscored"]["PESQ-WB"] == "silent, or too short"
    assert "STOI" not in row["measures"]

"""Manifests that training draws from, line by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from llasa.base.errors import LlasaError
from llasa.data.manifest import Manifest, Utterance, write_manifest
from llasa.training.codec.data import AudioDataSettings, AudioSource, Segments
from llasa.training.codec.recordings import Recordings, Speakers, check_lines, recorded

from ..tools import RATE, vowel


def manifest(folder: Path, speakers: list[str | None]) -> Manifest:
    rows = [Utterance(folder / f"{n}.wav", speaker=name) for n, name in enumerate(speakers)]
    write_manifest(folder / "m.jsonl", rows)
    return Manifest(folder / "m.jsonl")


def test_speakers(tmp_path: Path) -> None:
    speakers = Speakers(manifest(tmp_path, ["ann", "ben", None, "ann", None, "ben", "ann"]))

    def rows(number: int) -> list[int]:
        same = speakers.same(number)
        return [same.row(place) for place in range(len(same))]

    assert [rows(number) for number in range(7)] == [
        *([0, 3, 6], [1, 5], [2], [0, 3, 6]),
        *([4], [1, 5], [0, 3, 6]),
    ]


def test_all_of_a_manifest(tmp_path: Path) -> None:
    found = Recordings(manifest(tmp_path, ["ann"] * 200))
    assert len(found) == 200
    assert found.manifest[found.row(150)].path == tmp_path / "150.wav"


def test_so_many_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llasa.training.codec.recordings.CHECKED", 3)
    many = manifest(tmp_path, ["ann"] * 5)
    assert [each.path.stem for each in recorded([many, many])] == ["0", "1", "2"]
    lines = many.path.read_text().split("\n")
    many.path.write_text("\n".join([*lines[:4], "{}", ""]))
    check_lines(Manifest(many.path))
    many.path.write_text("\n".join([*lines[:2], "{}", ""]))
    with pytest.raises(LlasaError, match=r"line 3: .audio. must be"):
        check_lines(Manifest(many.path))


def test_a_wrong_line_further_on_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llasa.training.codec.recordings.CHECKED", 1)
    path = manifest(tmp_path, [None]).path
    vowel(0.5, 120).write(tmp_path / "0.wav")
    with path.open("a") as file:
        file.write("{}\n")
    settings = AudioDataSettings([AudioSource(str(path))], seconds=0.3, batch=8)
    data = Segments(settings, RATE, 320, 1)
    assert data.batch(0, 0, 1).samples.abs().amax(1).min() > 0
    assert list(data.lost) == [f"{path}, recording 2"]
    assert "line 2" in data.lost[f"{path}, recording 2"]

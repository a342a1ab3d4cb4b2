"""The check of manifests: each kind of fault is found where it is, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from llasa.base import jsonl
from llasa.base.errors import LlasaError
from llasa.data.check import KINDS, check_manifests, write_clean
from llasa.data.check_report import html_report, summary
from llasa.data.manifest import Utterance, read_manifest, write_manifest

RATE = 8000
TEXT = "The quick brown fox jumps."


def corpus(folder: Path, name: str, count: int = 25, seed: int = 0) -> Path:
    """A manifest of sound clips, each with as much text as its two seconds hold."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        path = folder / f"{name}-{number}.wav"
        soundfile.write(path, rng.uniform(-0.5, 0.5, 2 * RATE), RATE)
        rows.append(Utterance(path, TEXT, f"{name} {number % 3}", language="en"))
    write_manifest(folder / f"{name}.jsonl", rows)
    return folder / f"{name}.jsonl"


def change(manifest: Path, number: int, **values: object) -> Path:
    """Change a row of a manifest; returns its recording."""
    rows = read_manifest(manifest)
    rows[number] = replace(rows[number], **values)  # type: ignore[arg-type]
    write_manifest(manifest, rows)
    return rows[number].path


def test_nothing_wrong(tmp_path: Path) -> None:
    found = check_manifests([corpus(tmp_path, "a")])
    (split,) = found.splits
    assert (split.rows, len(split.speakers), split.findings, found.shared) == (25, 3, [], {})
    assert split.hours == pytest.approx(25 * 2 / 3600)
    assert "nothing wrong was found" in summary(found)


def spoiled(folder: Path) -> Path:
    """One fault of each kind that a single manifest can have, in lines 1 to 9."""
    manifest = corpus(folder, "a")
    paths = [row.path for row in read_manifest(manifest)]
    paths[0].unlink()
    paths[1].write_bytes(b"RIFF of old")
    soundfile.write(paths[2], np.zeros(2 * RATE), RATE)
    wave = 3 * np.sin(np.arange(2 * RATE) / 20)
    soundfile.write(paths[3], wave.clip(-1, 1), RATE)
    change(manifest, 4, text=" ... ")
    change(manifest, 5, text="Быстрая коричневая лиса прыгает.")
    change(manifest, 6, text=TEXT * 8)
    change(manifest, 7, text="Hm")
    soundfile.write(paths[7], np.random.default_rng(9).uniform(-0.5, 0.5, 8 * RATE), RATE)
    change(manifest, 8, path=paths[20])
    return manifest


EXPECTED = ["missing", "corrupt", "silent", "clipped", "text", "language", "rate", "rate"]


def test_every_kind_is_found_in_its_line(tmp_path: Path) -> None:
    manifest = spoiled(tmp_path)
    data = manifest.read_bytes()
    manifest.write_bytes(b"\n" + data + b"{broken\n")
    (split,) = check_manifests([manifest]).splits
    kinds = {finding.line: finding.kind for finding in split.findings}
    assert kinds == {
        **dict(enumerate(EXPECTED, 2)),
        22: "duplicate",
        27: "line",
    }
    audio = {finding.kind: Path(finding.audio).name for finding in split.findings}
    assert (audio["missing"], audio["duplicate"], audio["line"]) == ("a-0.wav", "a-20.wav", "")


def test_clean_manifest(tmp_path: Path) -> None:
    (split,) = check_manifests([spoiled(tmp_path)]).splits
    path, count = write_clean(split)
    rows = read_manifest(path)
    assert (path.name, count, len(rows)) == ("a.clean.jsonl", 16, 16)
    assert {row.seconds for row in rows} == {2.0}
    assert not check_manifests([path]).splits[0].findings
    for number in range(25):
        (tmp_path / f"a-{number}.wav").unlink(missing_ok=True)
    (split,) = check_manifests([tmp_path / "a.jsonl"]).splits
    with pytest.raises(LlasaError, match="Nothing of .* would be left"):
        write_clean(split)


def test_leaks_between_splits(tmp_path: Path) -> None:
    train, test = corpus(tmp_path, "train"), corpus(tmp_path, "test", 5, seed=1)
    leaked = read_manifest(test)[3]
    change(train, 2, path=leaked.path, speaker=leaked.speaker)
    found = check_manifests([train, test])
    assert [(f.line, f.kind) for f in found.splits[0].findings] == [(3, "leak")]
    assert found.splits[1].findings == []
    assert found.shared == {(0, 1): ["test 0"]}
    assert "Speakers in both" in summary(found)
    values = found.as_dict()
    assert values["shared_speakers"] == [
        {"splits": [str(train), str(test)], "speakers": ["test 0"]}
    ]
    assert jsonl.parse(jsonl.render(values), "itself") == values


def test_report_is_one_page_with_everything(tmp_path: Path) -> None:
    manifest = spoiled(tmp_path)
    change(manifest, 9, text="<script>alert(1)</script>" + "0" * 300)
    page = html_report(check_manifests([manifest])).decode()
    for kind in {*EXPECTED, "duplicate"}:
        assert KINDS[kind].capitalize() in page
    assert "<script" not in page
    assert "http" not in page
    assert page.count("<svg") == 2


def test_a_recogniser_hears_other_words(speech_data: Path, tmp_path: Path) -> None:
    for module in ("moonshine_voice", "whisper_normalizer", "onnxruntime"):
        pytest.importorskip(module, reason="needs the extra search")
    rows: Sequence[Utterance] = read_manifest(speech_data / "kathleen.test.jsonl")[:3]
    rows = [rows[0], replace(rows[1], text=rows[2].text), replace(rows[2], text=None)]
    write_manifest(tmp_path / "m.jsonl", rows)
    (split,) = check_manifests([tmp_path / "m.jsonl"], asr="content").splits
    assert [(finding.line, finding.kind) for finding in split.findings] == [(2, "asr")]
    assert "The recogniser heard: " in split.findings[0].reason
    assert split.error_rate is not None
    assert 0.2 < split.error_rate < 1
    with pytest.raises(LlasaError, match="does not listen to words"):
        check_manifests([tmp_path / "m.jsonl"], asr="length")

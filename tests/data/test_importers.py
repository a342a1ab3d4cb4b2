"""Importers: each published layout becomes the rows that are in it."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from llasa.audio.audio import read_audio
from llasa.base.errors import LlasaError
from llasa.data.importers import FORMATS, read_corpus
from llasa.data.manifest import Utterance

RATE = 8000


def sound(path: Path, seconds: float = 0.1, value: float = 0.5) -> Path:
    """A recording of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    soundfile.write(path, rng.uniform(-value, value, int(seconds * RATE)), RATE)
    return path


def read(format: str, path: Path, **options: str) -> list[Utterance]:
    return list(read_corpus(format, path, path.parent / "clips", **options))


def test_folder(tmp_path: Path) -> None:
    root = tmp_path / "voice"
    sound(root / "b/two.flac")
    sound(root / "one.wav").with_suffix(".txt").write_text("Number one,\n still one.\n")
    sound(root / "three.WAV")
    (root / "b/two.normalized.txt").write_text("Two.")
    (root / "notes.txt").write_text("No recording.")
    rows = read("folder", root, language="en", speaker="ann")
    assert [(row.path.name, row.text) for row in rows] == [
        ("two.flac", "Two."),
        ("one.wav", "Number one,  still one."),
        ("three.WAV", None),
    ]
    assert {(row.language, row.speaker) for row in rows} == {("en", "ann")}


def test_table(tmp_path: Path) -> None:
    table = tmp_path / "data.csv"
    table.write_text('File_Name,Text,speaker_id,duration\na.wav,"Hello, you.",7,1.5\nb.wav,,,x\n')
    assert read("table", table, speaker="ann") == [
        Utterance(tmp_path / "a.wav", "Hello, you.", "7", 1.5),
        Utterance(tmp_path / "b.wav", None, "ann"),
    ]
    table = tmp_path / "data.tsv"
    table.write_text("path\tsentence\na.wav\tHi.\n")
    assert read("table", table) == [Utterance(tmp_path / "a.wav", "Hi.")]
    table.write_text("path\twords\na.wav\tHi.\n")
    with pytest.raises(LlasaError, match="no column text: its header is path, words"):
        read("table", table)
    table.write_bytes(b"path\ttext\na.wav\t\xff\n")
    with pytest.raises(LlasaError, match="not UTF-8"):
        read("table", table)


def test_ljspeech(tmp_path: Path) -> None:
    table = tmp_path / "metadata.csv"
    table.write_text('LJ1|He said "1".|He said "one".\nLJ2|Two.\n')
    wavs = tmp_path / "wavs"
    assert read("ljspeech", tmp_path) == [
        Utterance(wavs / "LJ1.wav", 'He said "one".'),
        Utterance(wavs / "LJ2.wav", "Two."),
    ]
    table.write_text("LJ1 without a text\n")
    with pytest.raises(LlasaError, match="line 1: it must be ID"):
        read("ljspeech", tmp_path)
    with pytest.raises(LlasaError, match=r"not an LJSpeech corpus: it has no metadata\.csv"):
        read("ljspeech", wavs.parent / sound(wavs / "LJ1.wav").parent.name)


def test_commonvoice(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text(
        'client_id\tpath\tsentence\tlocale\nabc\tx.mp3\tAn "open quote.\tde\n'
    )
    row = Utterance(tmp_path / "clips/x.mp3", 'An "open quote.', "abc", language="de")
    assert read("commonvoice", tmp_path / "train.tsv", language="en") == [row]
    with pytest.raises(LlasaError, match="give one of its splits"):
        read("commonvoice", tmp_path)


def test_librispeech(tmp_path: Path) -> None:
    audio = sound(tmp_path / "19/198/19-198-0000.flac")
    lines = audio.with_name("19-198.trans.txt")
    lines.write_text("19-198-0000 NORTHANGER ABBEY\n")
    assert read("librispeech", tmp_path) == [Utterance(audio, "NORTHANGER ABBEY", "19")]
    lines.write_text("19-198-0001 NOT THERE\n")
    with pytest.raises(LlasaError, match="the recording 19-198-0001 is not beside it"):
        read("librispeech", tmp_path)


def test_vctk(tmp_path: Path) -> None:
    new = sound(tmp_path / "wav48_silence_trimmed/p225/p225_001_mic1.flac")
    old = sound(tmp_path / "wav48/p226/p226_001.wav")
    for name in ("p225/p225_001", "p226/p226_001", "p226/p226_002"):
        text = tmp_path / f"txt/{name}.txt"
        text.parent.mkdir(parents=True, exist_ok=True)
        text.write_text("Please call Stella.\n")
    expected = [(new, "p225"), (old, "p226")]
    assert read("vctk", tmp_path) == [
        Utterance(path, "Please call Stella.", speaker, language="en") for path, speaker in expected
    ]
    with pytest.raises(LlasaError, match="not a VCTK"):
        read("vctk", tmp_path / "txt")


def test_webdataset(tmp_path: Path) -> None:
    data = sound(tmp_path / "a.wav").read_bytes()
    about = {"text": "Emilia says.", "speaker": "S1", "duration": 0.1, "language": "en"}
    parts = {
        "x/EN_1.wav": data,
        "x/EN_1.json": json.dumps(about).encode(),
        "../EN_2.json": b"{}",
        "../EN_2.wav": data,
        "../EN_2.txt": b"Beside it.",
        "EN_3.json": b"{}",
    }
    with tarfile.open(tmp_path / "EN.tar", "w") as tar:
        for name, content in parts.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    first, second = read("webdataset", tmp_path)
    assert (first.text, first.speaker, first.seconds, first.language) == (
        "Emilia says.", "S1", 0.1, "en",
    )  # fmt: skip
    assert second.text == "Beside it."
    clips = tmp_path.parent / "clips" / "EN"
    assert [row.path.parent for row in (first, second)] == [clips, clips]  # nowhere else
    assert first.path.read_bytes() == second.path.read_bytes() == data
    cut = tmp_path / "cut.tar"
    cut.write_bytes((tmp_path / "EN.tar").read_bytes()[:700])
    with pytest.raises(LlasaError, match=r"cut\.tar is not a complete tar file"):
        read("webdataset", cut)


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="needs the extra data")
    parquet = pytest.importorskip("pyarrow.parquet")
    data = sound(tmp_path / "a.flac").read_bytes()
    rows = {
        "audio": [{"bytes": data, "path": None}, {"bytes": None, "path": "b.wav"}],
        "sentence": ["Hello.", "There."],
        "speaker_id": [7, None],
    }
    path = tmp_path / "train-00000.parquet"
    parquet.write_table(pyarrow.table(rows), path)
    first, second = read("parquet", path)
    assert (first.path.name, first.text, first.speaker) == ("00000001.flac", "Hello.", "7")
    assert first.path.read_bytes() == data
    assert second == Utterance(tmp_path / "b.wav", "There.")
    parquet.write_table(pyarrow.table({"words": ["a"]}), path)
    with pytest.raises(LlasaError, match="no column audio, only words"):
        read("parquet", path)
    path.write_bytes(b"PAR1")
    with pytest.raises(LlasaError, match="not a complete parquet file"):
        read("parquet", path)


@pytest.mark.parametrize("name", ["cuts.jsonl", "cuts.jsonl.gz"])
def test_lhotse(tmp_path: Path, name: str) -> None:
    audio = sound(tmp_path / "long.wav", 1.0)
    recording = {"duration": 1.0, "sources": [{"type": "file", "source": "long.wav"}]}
    said = [{"text": "One.", "speaker": "ann"}, {"text": "Two.", "speaker": "ann"}]
    cuts = [
        {"id": "whole", "start": 0, "duration": 1.0, "supervisions": said, "recording": recording},
        {"id": "piece", "start": 0.25, "duration": 0.5, "recording": recording},
    ]
    data = "\n".join(map(json.dumps, cuts)).encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    whole, piece = read("lhotse", path)
    assert whole == Utterance(audio, "One. Two.", "ann", 1.0)
    found, samples = read_audio(piece.path).samples, read_audio(audio).samples
    np.testing.assert_allclose(found, samples[RATE // 4 : RATE * 3 // 4], atol=1e-4)
    assert (piece.text, piece.seconds) == (None, 0.5)


def test_lhotse_failures(tmp_path: Path) -> None:
    path = tmp_path / "cuts.jsonl"
    path.write_text('{"id": "a"}\n')
    with pytest.raises(LlasaError, match="line 1: it is not a cut"):
        read("lhotse", path)
    remote = {"duration": 1, "sources": [{"type": "url", "source": "https://x"}]}
    path.write_text(json.dumps({"start": 0, "duration": 1, "recording": remote}))
    with pytest.raises(LlasaError, match="not a file but a url"):
        read("lhotse", path)
    (tmp_path / "cuts.jsonl.gz").write_bytes(b"no gzip")
    with pytest.raises(LlasaError, match="cannot be read"):
        read("lhotse", tmp_path / "cuts.jsonl.gz")


def test_xcodec2_list(tmp_path: Path) -> None:
    path = tmp_path / "train.tsv"
    path.write_text("/data\na/1.wav\t32000\n")
    assert read("xcodec2", path) == [Utterance(Path("/data/a/1.wav"), seconds=2.0)]
    path.write_text("/data\na/1.wav\n")
    with pytest.raises(LlasaError, match="is not PATH<tab>SAMPLES"):
        read("xcodec2", path)


def test_what_is_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(LlasaError, match="The format 'ljspech' is unknown.*Did you mean ljspeech"):
        read("ljspech", tmp_path)
    for format in FORMATS:
        with pytest.raises(LlasaError, match="does not exist: give"):
            read(format, tmp_path / "none")
    for format in ("folder", "librispeech", "webdataset", "parquet"):
        if format != "parquet" or pytest.importorskip("pyarrow"):
            with pytest.raises(LlasaError, match="holds no recordings: give"):
                read(format, tmp_path)

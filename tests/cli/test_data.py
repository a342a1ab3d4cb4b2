"""``llasa data``: import, check, tokenize and convert."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from llasa.audio.audio import read_audio
from llasa.codec.codec import Codec
from llasa.data.columns import COLUMNS
from llasa.data.manifest import Utterance, read_manifest, write_manifest
from llasa.data.shard_writer import ShardWriter
from llasa.data.shards import ShardMeta, TokenDataset
from llasa.vocabulary.tokenizer import train_bpe
from llasa.vocabulary.vocabulary import Vocabulary
from tests.tiny_model import tiny_codec

from .conftest import Run


@pytest.mark.parametrize("command", [("tokenize",), ("data", "tokenize")])
def test_tokenize(
    run: Run, tiny: Path, recording: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    row = {"audio": recording.name, "text": "The fox."}
    Path("manifest.jsonl").write_text(json.dumps(row) + "\n")
    result = run(*command, "manifest.jsonl", "-o", "tokens", "--codec", tiny / "codec")
    assert result.code == 0
    assert "tokens: 1 recordings (0.00 h) tokenized, 0 left out, 1 of 1 shards" in result.err
    data = TokenDataset(tmp_path / "tokens")
    sound = read_audio(recording)
    (codes,) = Codec.load(tiny / "codec", "cpu").encode([sound.samples], sound.rate)
    assert len(data) == 1
    np.testing.assert_array_equal(data[0].codes, codes)
    tiny_codec(seed=1).save(tmp_path / "codec")
    again = run(*command, "manifest.jsonl", "-o", "tokens", "--codec", "codec")
    assert again.code == 2
    assert (
        "none.jsonl cannot be read"
        in run(*command, "none.jsonl", "-o", "t", "--codec", tiny / "codec").error
    )


@pytest.mark.slow
def test_tokenize_on_ray(
    run: Run, tiny: Path, recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths may be relative, and workers find what the command line finds."""
    pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    row = {"audio": recording.name, "text": "The fox."}
    Path("manifest.jsonl").write_text(json.dumps(row) + "\n")
    told = ("tokenize", "manifest.jsonl", "-o", "tokens", "--codec", tiny / "codec")
    assert "--ray-workers needs --ray" in run(*told, "--ray-workers", "2").error
    result = run(*told, "--ray", "local", "--ray-workers", "1")
    assert result.code == 0, result.error
    assert "1 of 1 shards" in result.err
    assert len(TokenDataset(tmp_path / "tokens")) == 1


def test_import_check_and_fix(run: Run, recording: Path, tmp_path: Path) -> None:
    folder = tmp_path / "voice"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.wav").write_bytes(recording.read_bytes())
        (folder / f"{name}.txt").write_text("A quick brown fox.")
    (folder / "c.wav").write_bytes(b"")
    words = ("--language", "en-GB", "--speaker", "ann")
    result = run("data", "import", "folder", "voice", "-o", "m.jsonl", *words)
    assert (result.code, result.err) == (0, "m.jsonl: 3 recordings\n")
    row = Utterance(folder / "a.wav", "A quick brown fox.", "ann", language="en")
    assert read_manifest("m.jsonl")[0].path.resolve() == row.path
    result = run("data", "check", "m.jsonl", "--fix", "--html", "report.html", "--json")
    assert result.code == 0
    (split,) = json.loads(result.out)["splits"]
    assert [(f["line"], f["kind"]) for f in split["findings"]] == [(2, "duplicate"), (3, "corrupt")]
    assert result.err == "m.clean.jsonl: 1 of 3 recordings\n"
    assert read_manifest("m.clean.jsonl")[0].seconds == pytest.approx(1.5)
    assert "Check of recordings" in Path("report.html").read_text()
    summary = run("data", "check", "m.jsonl")
    assert "1 recordings that cannot be read" in summary.err


def test_import_failures(run: Run, tmp_path: Path) -> None:
    write = ("-o", "m.jsonl")
    assert "'foldr' is unknown" in run("data", "import", "foldr", ".", *write).error
    assert "none does not exist: give" in run("data", "import", "folder", "none", *write).error
    assert "holds no recordings" in run("data", "import", "folder", ".", *write).error
    assert (
        "is not a language" in run("data", "import", "folder", ".", *write, "--language", "x").error
    )
    assert not list(tmp_path.iterdir())


def test_check_failures(run: Run) -> None:
    assert "none.jsonl cannot be read" in run("data", "check", "none.jsonl").error
    Path("m.jsonl").write_text('{"audio": "gone.wav"}\n')
    assert "Nothing of m.jsonl would be left" in run("data", "check", "m.jsonl", "--fix").err
    assert "readers is 0" in run("data", "check", "m.jsonl", "--readers", 0).error


def test_convert(run: Run, tiny: Path, tmp_path: Path) -> None:
    meta = ShardMeta("tiny", 64, 50.0, 3)
    meta.save(tmp_path / "small")
    for number in range(3):
        with ShardWriter(tmp_path / "small", number, meta) as writer:
            writer.add(f"Text {number}.", [number])
    result = run("data", "convert", "small", "-o", "large")
    assert (result.code, result.err.splitlines()[-1]) == (0, "large: 3 utterances")
    assert (tmp_path / "large" / COLUMNS).is_dir()
    assert [item.text for item in TokenDataset("large")] == ["Text 0.", "Text 1.", "Text 2."]
    assert "is the source itself" in run("data", "convert", "small", "-o", "small").error
    released = ("data", "convert", "small", "-o", "train_input_ids.memmap", "--model", tiny)
    assert "ids of the released models" in run(*released).error
    assert "holds no token shards" in run("data", "convert", "none", "-o", "x").error


def test_convert_codes(run: Run, tiny: Path, tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.jsonl", [Utterance(tmp_path / "a.wav", "A fox.")])
    (tmp_path / "vq").mkdir()
    np.save("vq/a.npy", np.array([[[3, 4]]], np.int32))
    convert = ("data", "convert", "vq", "--manifest", "m.jsonl")
    assert run(*convert, "-o", "a").code == 0
    assert TokenDataset("a")[0].codes.tolist() == [3, 4]
    assert TokenDataset("a").codec == ""
    assert run(*convert, "-o", "b", "--codec", tiny / "codec").code == 0
    assert TokenDataset("b").codec == Codec.load(tiny / "codec", "cpu").id


def test_vocabulary(run: Run, tiny: Path, tmp_path: Path) -> None:
    """A text model's tokenizer learns the codes of a codec."""
    train_bpe(["the fox"], 260).save(str(tmp_path / "tokenizer.json"))
    result = run("data", "vocabulary", tmp_path, "-o", "words", "--codec", tiny / "codec")
    assert result.code == 0, result.err
    codec = Codec.load(tiny / "codec", "cpu")
    vocabulary = Vocabulary.load(tmp_path / "words")
    assert vocabulary.codec == codec.id
    assert vocabulary.codebook_size == codec.codebook_size
    assert f"words: {vocabulary.size:,} tokens, of which" in result.err
    more = ("--codes", 5, "--phones", "a", "b")
    assert run("data", "vocabulary", "tokenizer.json", "-o", "few", *more).code == 0
    few = Vocabulary.load(tmp_path / "few")
    assert (few.codebook_size, few.phones, few.codec) == (5, ("a", "b"), "")
    assert "either --codec or --codes" in run("data", "vocabulary", tmp_path, "-o", "x").error
    again = run("data", "vocabulary", "nowhere", "-o", "x", "--codes", 5)
    assert "nowhere does not exist" in again.error
    Path("nonsense.json").write_text("{}")
    again = run("data", "vocabulary", "nonsense.json", "-o", "x", "--codes", 5)
    assert "nonsense.json is not a Hugging Face tokenizer file" in again.error

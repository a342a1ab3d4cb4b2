"""Conversions: what was there before is there after, in few files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llasa.base.errors import LlasaError
from llasa.data.columns import COLUMNS
from llasa.data.convert import from_official, from_vq_codes, repack, to_official
from llasa.data.manifest import Utterance, write_manifest
from llasa.data.shard_writer import ShardWriter
from llasa.data.shards import ShardMeta, TokenDataset, shard_path
from llasa.vocabulary.vocabulary import Vocabulary

from .test_official import LONG, stored_row
from .test_official import write as write_split


def many(folder: Path, shards: int = 7, size: int = 65_536) -> Path:
    """Small shards with people, times and recordings that were left out."""
    meta = ShardMeta("mine", size, 50.0, shards)
    meta.save(folder)
    rng = np.random.default_rng(0)
    for number in range(shards):
        with ShardWriter(folder, number, meta) as writer:
            for place in range(number % 4):
                codes = rng.integers(0, size, 1 + place)
                speaker = ["ann", None, "bob"][place]
                writer.add(f"Text {number} {place}.", codes, speaker, [(0.5, 1.0)], [("k", 1.0)])
            writer.skip("gone.wav", "It is gone.")
    return folder


def contents(folder: Path) -> list[tuple[object, ...]]:
    return [(i.text, i.codes.tolist(), i.speaker, i.timing, i.phones) for i in TokenDataset(folder)]


def test_repacked_data_is_the_same(tmp_path: Path) -> None:
    source, out = many(tmp_path / "a"), tmp_path / "b"
    assert repack(source, out, 4, progress=False) == len(TokenDataset(source)) == 9
    assert contents(out) == contents(source)
    old, new = TokenDataset(source), TokenDataset(out)
    assert new.lengths().tolist() == old.lengths().tolist()
    groups = [[group.tolist() for group in data.speakers()] for data in (old, new)]
    assert groups[0] == groups[1] == [[0, 1, 3, 6, 7], [5]]
    new.check()
    assert (out / COLUMNS).is_dir()
    assert len(list(out.glob("0*"))) == 2
    skipped = [shard_path(out, number) / "skipped.jsonl" for number in range(2)]
    assert sum(path.read_text().count("gone.wav") for path in skipped) == 7
    stamp = shard_path(out, 0).stat().st_mtime_ns
    repack(source, out, 4, progress=False)  # goes on where it stopped: nothing to do
    assert shard_path(out, 0).stat().st_mtime_ns == stamp


def test_a_damaged_shard_is_not_copied(tmp_path: Path) -> None:
    source = many(tmp_path / "a")
    path = shard_path(source, 3) / "rows.jsonl"
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(LlasaError, match="000003 is damaged"):
        repack(source, tmp_path / "b", 4, progress=False)
    assert not list((tmp_path / "b").glob(".0*"))
    with pytest.raises(LlasaError, match="shard_size is 0"):
        repack(source, tmp_path / "b", 0)


def test_released_rows_there_and_back(llama3: Vocabulary, tmp_path: Path) -> None:
    """The two files are those of the released script, byte for byte."""
    items = [("The dog.", [1, 2, 65_535]), ("A fox.", LONG), ("dog", [0])]
    rows = np.stack([stored_row(llama3, *item) for item in items])
    released = write_split(tmp_path / "set", rows, "train")
    assert from_official(released, tmp_path / "own", llama3, 2, progress=False) == 3
    assert [item.text for item in TokenDataset(tmp_path / "own")] == [text for text, _ in items]
    again = tmp_path / "again" / released.name
    again.parent.mkdir()
    assert to_official(tmp_path / "own", again, llama3, progress=False) == (3, 1)
    shape = "train_input_ids_shape.npy"
    assert again.read_bytes() == released.read_bytes()
    assert again.with_name(shape).read_bytes() == released.with_name(shape).read_bytes()


def test_released_rows_need_the_released_vocabulary(
    llama3: Vocabulary, compact: Vocabulary, tmp_path: Path
) -> None:
    source = many(tmp_path / "a", size=64)
    out = tmp_path / "train_input_ids.memmap"
    with pytest.raises(LlasaError, match="name one with --model"):
        to_official(source, out, compact)
    with pytest.raises(LlasaError, match="has 64 codes, and released rows"):
        to_official(source, out, llama3)
    with pytest.raises(LlasaError, match="must end in _input_ids.memmap"):
        to_official(many(tmp_path / "b"), tmp_path / "train.bin", llama3, progress=False)
    assert not list(tmp_path.glob("train*"))


def test_trees_of_codes(tmp_path: Path) -> None:
    rows = [Utterance(tmp_path / "wav" / f"a/{n}.wav", f"Clip {n}.", "ann") for n in range(5)]
    rows[3] = Utterance(tmp_path / "wav" / "a/3.wav")
    (tmp_path / "wav").mkdir()
    manifest = tmp_path / "wav" / "m.jsonl"
    write_manifest(manifest, rows)
    tree = tmp_path / "vq_codes"
    (tree / "a").mkdir(parents=True)
    for number in (0, 1, 3):
        np.save(tree / "a" / f"{number}.npy", np.full((1, 1, 4), number, np.int32))
    (tree / "a" / "4.npy").write_bytes(b"\x93NUMPY")
    assert from_vq_codes(tree, manifest, tmp_path / "out", "codec", progress=False) == 2
    data = TokenDataset(tmp_path / "out")
    assert [(item.text, item.codes.tolist()) for item in data] == [
        ("Clip 0.", [0] * 4),
        ("Clip 1.", [1] * 4),
    ]
    reasons = (shard_path(tmp_path / "out", 0) / "skipped.jsonl").read_text().splitlines()
    for reason, words in zip(reasons, ("2.npy does not exist", "no text", "damaged"), strict=True):
        assert words in reason
    with pytest.raises(LlasaError, match="codes of none of the 5"):
        from_vq_codes(tree / "a", manifest, tmp_path / "none", progress=False)

"""Data sets of many shards: few files open, columns mapped, and never those of other shards."""

from __future__ import annotations

import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from llasa.base.errors import LlasaError
from llasa.data.columns import COLUMNS, load_columns
from llasa.data.reader import SPEAKERS_FILE
from llasa.data.shard_writer import ShardWriter
from llasa.data.shards import ShardMeta, TokenDataset, add_columns, shard_path, shard_paths

META = ShardMeta("tiny", 4096, 50.0, 150)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """150 shards of 0 to 2 utterances."""
    META.save(tmp_path)
    for number in range(META.shards):
        with ShardWriter(tmp_path, number, META) as writer:
            for place in range(number % 3):
                speaker = ["ann", f"speaker {number}"][place]
                writer.add(f"{number} {place}", [number] * (1 + place), speaker)
    return tmp_path


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors as Linux does")
def test_few_files_are_open(folder: Path) -> None:
    before = descriptors()
    data = TokenDataset(folder)
    assert [item.codes[0] for item in data] == [n for n in range(150) for _ in range(n % 3)]
    assert descriptors() - before <= 3 * 65
    del data
    add_columns(folder)
    before = descriptors()
    data = TokenDataset(folder)
    assert len(data) == len(data.lengths()) == 150
    assert descriptors() - before <= 4  # the columns alone


def test_columns_say_what_the_shards_say(folder: Path) -> None:
    plain = TokenDataset(folder)
    lengths, speakers = plain.lengths(), plain.speakers()
    assert lengths.tolist() == [len(item.codes) for item in plain]
    assert [len(group) for group in speakers] == [100, *[1] * 50]
    add_columns(folder)
    mapped = TokenDataset(folder)
    assert isinstance(mapped.lengths(), np.memmap)
    assert mapped.lengths().tolist() == lengths.tolist()
    assert list(map(list, mapped.speakers())) == list(map(list, speakers))
    twice = TokenDataset(folder, folder)
    assert twice.lengths().tolist() == [*lengths, *lengths]
    assert twice.speakers()[51].tolist() == (speakers[0] + 150).tolist()


def test_columns_of_other_shards_do_not_count(folder: Path) -> None:
    add_columns(folder)
    with ShardWriter(folder / "other", 2, META) as writer:
        writer.add("new", [5] * 9, "bob")
    old = shard_path(folder, 2)
    old.rename(folder / "away")
    shard_path(folder / "other", 2).rename(old)
    data = TokenDataset(folder)
    assert (len(data), data.lengths()[1]) == (149, 9)
    add_columns(folder)
    assert TokenDataset(folder).lengths().tolist() == data.lengths().tolist()
    (folder / COLUMNS / "lengths.npy").write_bytes(b"")
    assert load_columns(folder, shard_paths(folder)) is None
    assert len(TokenDataset(folder)) == 149


def test_shards_of_earlier_versions(folder: Path) -> None:
    """They have no file of speakers."""
    speakers = list(map(list, TokenDataset(folder).speakers()))
    for path in shard_paths(folder):
        (path / SPEAKERS_FILE).unlink()
    assert list(map(list, TokenDataset(folder).speakers())) == speakers


def test_processes_and_threads(folder: Path) -> None:
    data = TokenDataset(folder)
    assert [item.text for item in pickle.loads(pickle.dumps(data))] == [item.text for item in data]
    order = np.random.default_rng(0).permutation(len(data)).tolist()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda index: data[index].text, order))
    assert found == [data[index].text for index in order]


def test_no_descriptors_left_is_not_called_damage(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_columns(folder)
    data = TokenDataset(folder)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("llasa.data.reader.mmap.mmap", refuse)
    with pytest.raises(LlasaError, match="000001 cannot be opened: Too many open files"):
        data[0]

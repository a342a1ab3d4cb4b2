"""Token shards: what is written comes back, and half-written ones never appear."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llasa.base.errors import LlasaError
from llasa.data.shard_writer import ShardWriter
from llasa.data.shards import ShardMeta, TokenDataset, shard_path

META = ShardMeta("tiny", 4096, 50.0, 2)
Rows = list[tuple[str, list[int], str | None]]


def write(folder: Path, shards: list[Rows], codebook_size: int = 4096) -> ShardMeta:
    meta = ShardMeta("tiny", codebook_size, 50.0, len(shards))
    meta.save(folder)
    for number, rows in enumerate(shards):
        with ShardWriter(folder, number, meta) as writer:
            for text, codes, speaker in rows:
                writer.add(text, np.array(codes), speaker)
    return meta


rows = st.tuples(
    st.text(st.characters(codec="utf-8"), max_size=30),
    st.lists(st.integers(0, 4095), min_size=1, max_size=30),
    st.none() | st.sampled_from(["ann", "bob"]),
)


@given(shards=st.lists(st.lists(rows, max_size=4), min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, shards: list[Rows]) -> None:
    folder = tmp_path_factory.mktemp("shards")
    write(folder, shards)
    data = TokenDataset(folder)
    expected = [row for shard in shards for row in shard]
    assert len(data) == len(expected)
    found = [(item.text, item.codes.tolist(), item.speaker) for item in data]
    assert found == expected
    assert data.lengths().tolist() == [len(codes) for _, codes, _ in expected]


def test_storage_width(tmp_path: Path) -> None:
    for size, width in [(65_536, 2), (65_537, 4)]:
        folder = tmp_path / str(size)
        write(folder, [[("a", [0, size - 1], None)]], size)
        assert (shard_path(folder, 0) / "codes.bin").stat().st_size == 2 * width
        assert TokenDataset(folder)[0].codes.tolist() == [0, size - 1]


def test_indexing(tmp_path: Path) -> None:
    write(tmp_path, [[("a", [1], None)], [("b", [2, 3], "ann")]])
    data = TokenDataset(tmp_path)
    text, codes, speaker, *times = data[1]
    assert (text, codes.tolist(), speaker, times) == ("b", [2, 3], "ann", [(), ()])
    for index in (2, -1):
        with pytest.raises(IndexError):
            data[index]


def test_several_folders(tmp_path: Path) -> None:
    write(tmp_path / "a", [[("a", [1], None)]])
    write(tmp_path / "b", [[("b", [2], None)], [("c", [3], None)]])
    data = TokenDataset(tmp_path / "a", tmp_path / "b")
    assert [item.text for item in data] == ["a", "b", "c"]
    assert data.codebook_size == 4096
    write(tmp_path / "c", [[("c", [3], None)]], codebook_size=8)
    with pytest.raises(LlasaError, match="different codecs"):
        TokenDataset(tmp_path / "a", tmp_path / "c")
    with pytest.raises(LlasaError, match="at least one"):
        TokenDataset()


def test_speakers(tmp_path: Path) -> None:
    write(tmp_path / "a", [[("a", [1], "ann"), ("b", [1], "bob")], [], [("c", [1], "ann")]])
    write(tmp_path / "b", [[("d", [1], None), ("e", [1], ""), ("f", [1], "ann")]])
    groups = TokenDataset(tmp_path / "a", tmp_path / "b").speakers()
    # The ann of one data set is not that of another.
    assert [group.tolist() for group in groups] == [[0, 2], [1], [5]]


def test_interrupted_shard_leaves_nothing(tmp_path: Path) -> None:
    META.save(tmp_path)
    with pytest.raises(KeyboardInterrupt), ShardWriter(tmp_path, 0, META) as writer:  # noqa: PT012
        writer.add("a", [1])
        raise KeyboardInterrupt
    assert [p.name for p in tmp_path.iterdir()] == ["meta.json"]


def test_unfinished_sets_are_refused(tmp_path: Path) -> None:
    META.save(tmp_path)
    with ShardWriter(tmp_path, 1, META) as writer:
        writer.add("a", [1])
    with pytest.raises(LlasaError, match="lacks 1 of 2 shards"):
        TokenDataset(tmp_path)
    with ShardWriter(tmp_path, 0, META) as writer:
        writer.skip("b.wav", "It is silent.")  # an empty shard
    assert [item.text for item in TokenDataset(tmp_path)] == ["a"]


def test_what_a_killed_writer_left_is_replaced(tmp_path: Path) -> None:
    META.save(tmp_path)
    ShardWriter(tmp_path, 0, META).add("a", [1])  # and never closed
    with ShardWriter(tmp_path, 0, META) as second:
        second.add("b", [2])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["000000", "meta.json"]
    with ShardWriter(tmp_path, 1, META) as writer:
        writer.skip("c.wav", "It is silent.")
    assert [item.text for item in TokenDataset(tmp_path)] == ["b"]


def test_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    META.save(tmp_path)
    real = Path.open

    def full(path: Path, mode: str = "r") -> object:
        return real(Path("/dev/full") if path.name == "codes.bin" else path, mode)

    monkeypatch.setattr(Path, "open", full)
    with (
        pytest.raises(LlasaError, match="cannot be written: No space left on device"),
        ShardWriter(tmp_path, 0, META) as writer,
    ):
        writer.add("a", [1])
    assert [p.name for p in tmp_path.iterdir()] == ["meta.json"]


def test_bad_codes(tmp_path: Path) -> None:
    META.save(tmp_path)
    for codes, message in [
        ([4096], "4096"),
        ([-1], "-1"),
        ([], "whole numbers"),
        ([[1]], "whole numbers"),
        ([0.5], "whole numbers"),
    ]:
        with pytest.raises(LlasaError, match=message), ShardWriter(tmp_path, 0, META) as writer:
            writer.add("a", np.array(codes))


def test_another_data_set_is_refused(tmp_path: Path) -> None:
    META.save(tmp_path)
    META.save(tmp_path)
    with pytest.raises(LlasaError, match="another data set"):
        replace(META, codec="other").save(tmp_path)
    with pytest.raises(LlasaError, match="llasa data tokenize"):
        TokenDataset(tmp_path / "nowhere")
    (tmp_path / "meta.json").write_text("{}")
    with pytest.raises(LlasaError, match="damaged"):
        TokenDataset(tmp_path)


def test_damage_is_noticed(tmp_path: Path) -> None:
    write(tmp_path, [[("a", [1, 2, 3], None)]])
    path = shard_path(tmp_path, 0) / "codes.bin"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(LlasaError, match="cut short"):
        TokenDataset(tmp_path)
    path.unlink()
    with pytest.raises(LlasaError, match="damaged"):
        TokenDataset(tmp_path)

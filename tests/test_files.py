"""Atomic writes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llasa.base.rows import Rows
from llasa.errors import LlasaError
from llasa.files import atomic_path, make_folder, read_json, write_atomic


def test_replaces_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_atomic(path, b"old")
    with pytest.raises(KeyboardInterrupt), atomic_path(path) as temporary:  # noqa: PT012
        temporary.write_bytes(b"half")
        assert path.read_bytes() == b"old"
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_says_why_not(tmp_path: Path) -> None:
    with pytest.raises(LlasaError, match=r"the folder .*none does not exist"):
        write_atomic(tmp_path / "none" / "a", b"")
    with pytest.raises(LlasaError, match="it is a folder"):
        write_atomic(tmp_path, b"")
    with pytest.raises(LlasaError, match="cannot be written"):
        write_atomic("/proc/llasa", b"")
    with (
        pytest.raises(LlasaError, match="No space left on device"),
        atomic_path(tmp_path / "a"),
        open("/dev/full", "wb") as full,
    ):
        full.write(b"x")
    assert not list(tmp_path.iterdir())


def test_read_json(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for text, message in [(None, "does not exist"), ("{", "not valid"), ("[]", "JSON object")]:
        if text is not None:
            path.write_text(text)
        with pytest.raises(LlasaError, match=message):
            read_json(path)
    with pytest.raises(LlasaError, match="is a folder"):
        read_json(tmp_path)
    path.write_text('{"a": 1}')
    assert read_json(path) == {"a": 1}


def test_rows_are_kept_and_damage_goes_with_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"

    def read() -> Rows:
        return Rows(path, lambda row: row["id"])

    rows = read()
    for row in ({"id": "a", "n": 1}, {"id": "b", "n": 2}):
        rows.add(row)
    before = path.read_bytes()
    damaged = b'[3]\n{"n": 4}\n' + before[:-4]
    path.write_bytes(damaged)
    rows = read()
    assert (len(rows), "a" in rows, "b" in rows) == (1, True, False)
    assert path.read_bytes() == damaged
    rows.add({"id": "b", "n": 2})
    assert path.read_bytes() == before
    rows.add({"id": "a", "n": 5})
    assert path.read_bytes() == b'{"id": "b", "n": 2}\n{"id": "a", "n": 5}\n'
    assert read()["a"]["n"] == 5


def test_a_folder_is_made_or_named(tmp_path: Path) -> None:
    assert make_folder(tmp_path / "a" / "b").is_dir()
    (tmp_path / "c").touch()
    with pytest.raises(LlasaError, match="c cannot be used as a folder: File exists"):
        make_folder(tmp_path / "c")

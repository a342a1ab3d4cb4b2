"""Atomic writes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llasa.errors import LlasaError
from llasa.files import atomic_path, read_json, write_atomic


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
    with pytest.raises(LlasaError, match="cannot be read"):
        read_json(tmp_path)
    path.write_text('{"a": 1}')
    assert read_json(path) == {"a": 1}

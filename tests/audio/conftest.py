"""Programs of our own in place of the system's players."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest


@pytest.fixture
def bin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH, with nothing in it; sounddevice is not installed."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    return folder


def program(folder: Path, name: str, script: str) -> None:
    """Put a shell script there as a program."""
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)

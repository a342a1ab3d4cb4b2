"""Running the command line inside the test process."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from llasa.cli.main import main
from tests.tiny_model import tone


@dataclass
class Result:
    """Exit code and what was written."""

    code: int
    out: bytes
    err: str

    @property
    def error(self) -> str:
        """The one line of a refusal."""
        assert self.code == 2, self.err
        assert self.out == b""
        assert self.err.startswith("llasa: error: ")
        assert self.err.count("\n") == 1
        assert "Traceback" not in self.err
        return self.err.removeprefix("llasa: error: ").rstrip()


Run = Callable[..., Result]


@pytest.fixture
def run(
    capfdbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    own_voices: Path,
) -> Run:
    """Calls `main` in an empty folder, with bytes for stdin."""
    monkeypatch.chdir(tmp_path)

    def call(*argv: object, stdin: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = main([str(word) for word in argv])
        out, err = capfdbinary.readouterr()
        return Result(code, out, err.decode())

    return call


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A usable recording."""
    path = tmp_path / "recording.flac"
    tone(1.5, 44_100, 2).write(path)
    return path

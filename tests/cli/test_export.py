"""``llasa export`` and ``llasa say --engine onnx``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from llasa.audio.audio import read_audio

from .conftest import Run

TORCHLESS = """
import sys
sys.modules["torch"] = None  # importing it fails
from llasa.cli.main import main
raise SystemExit(main(sys.argv[1:]))
"""


def torchless(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command where PyTorch cannot be imported."""
    command = [sys.executable, "-c", TORCHLESS, *map(str, words)]
    where = {**os.environ, **environment}
    return subprocess.run(command, env=where, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("form", ["hf", "gguf", "onnx"])
def test_each_format(run: Run, tiny: Path, form: str) -> None:
    pytest.importorskip("gguf" if form == "gguf" else "onnx")
    result = run("export", form, tiny, "-o", "out")
    assert (result.code, result.out) == (0, b"")
    assert result.err.splitlines()[-1].startswith(f"out: {form}, ")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["hf", "--type", "f16"], "--type belongs to gguf"),
        (["gguf", "--codec", "nano"], "--codec belongs to onnx and web"),
        (["gguf", "--type", "q4"], "invalid choice: 'q4'"),
        (["web"], "run npm install onnxruntime-web"),
        (["hf", "--runtime", "dist"], "--runtime belongs to web"),
        (["web", "--runtime", "dist"], "dist has no ort.wasm.min.mjs"),
        (["tflite"], "invalid choice: 'tflite'"),
    ],
)
def test_what_is_refused(run: Run, tiny: Path, words: list[str], reason: str) -> None:
    form, *flags = words
    result = run("export", form, tiny, "-o", "out", *flags)
    assert result.code == 2
    assert reason in result.err
    assert not Path("out").exists()


def test_speech_without_torch(run: Run, tiny: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    assert run("export", "onnx", tiny, "-o", tmp_path / "out").code == 0
    said = ("say", "A fox.", "--seed", "1", "--voice", "ann")
    done = torchless(
        *said, "--model", tmp_path / "out", "--engine", "onnx", "-o", tmp_path / "a.wav"
    )
    assert done.returncode == 0, done.stderr
    assert run(*said, "--model", tiny, "-o", tmp_path / "b.wav").code == 0
    ours, theirs = (read_audio(tmp_path / name).samples for name in ("a.wav", "b.wav"))
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_any_model_is_exported_once(
    run: Run, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx")
    kept, said = tmp_path / "kept", ("say", "A fox.", "--model", tiny, "-o", tmp_path / "a.wav")
    place = {"LLASA_EXPORTS": str(kept), "LLASA_ENGINE": "onnx"}
    done = torchless(*said, **place)
    assert done.returncode == 2
    assert "making one needs PyTorch" in done.stderr
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    assert run(*said).code == 0
    assert len(list(kept.iterdir())) == 1
    done = torchless(*said, **place)
    assert done.returncode == 0, done.stderr


def test_what_the_engine_cannot(run: Run, tiny: Path) -> None:
    result = run("say", "A fox.", "--model", tiny, "--engine", "onnx", "--int8")
    assert (result.code, "runs on the CPU only" in result.err) == (2, True)


def test_an_unknown_engine(run: Run, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLASA_ENGINE", "onx")
    result = run("say", "A fox.", "--model", tiny)
    assert (result.code, "'onx'" in result.err) == (2, True)


def test_a_batch_goes_on_with_the_same_engine_only(
    run: Run, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx")
    (tmp_path / "lines.txt").write_text("One fox.\n")
    monkeypatch.setenv("LLASA_EXPORTS", str(tmp_path / "kept"))
    batch = ("say", "--batch", tmp_path / "lines.txt", "-o", "out", "--model", tiny, "--json")

    def counts() -> tuple[int, int]:
        report = json.loads(run(*batch).out)
        return report["files"], report["already_there"]

    assert (counts(), counts()) == ((1, 0), (0, 1))
    monkeypatch.setenv("LLASA_ENGINE", "onnx")
    assert (counts(), counts()) == ((1, 0), (0, 1))

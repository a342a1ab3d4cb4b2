"""``llasa doctor``."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
import torch

from llasa.cli.doctor import extras, installed

from .conftest import Run


def test_report(run: Run, tiny: Path) -> None:
    result = run("doctor", "--model", tiny)
    text = result.out.decode()
    assert result.code == 0
    for line in (f"  torch: {torch.__version__}", "  name: tiny", "  voices: ann", "  # tiny"):
        assert line in text.splitlines()
    assert "  cpu: " in text


def test_json(run: Run, tiny: Path) -> None:
    report = json.loads(run("doctor", "--model", tiny, "--json").out)
    assert report["versions"]["torch"] == torch.__version__
    assert report["model"]["default_voice"] == "ann"
    assert report["model"]["megabytes"] > 0
    assert report["model"]["card"].startswith("# tiny")


def test_a_model_that_is_missing_is_part_of_the_report(run: Run) -> None:
    result = run("doctor", "--model", "none")
    assert result.code == 0
    assert "  problem: Model 'none' is unknown" in result.out.decode()


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

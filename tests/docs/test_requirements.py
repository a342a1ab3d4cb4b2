"""Packages that the docs name."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_requirements_without_pytorch() -> None:
    """docs/export.md tells all of them, as pip leaves them out of an installation without torch."""
    text = (ROOT / "docs" / "export.md").read_text("utf-8")
    (told,) = re.findall(r"pip install onnxruntime ((?:[\w-]+|\\|\s)+?)\n    LLASA", text)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needed = {re.split(r"[^\w-]", one)[0] for one in project["dependencies"]}
    assert {name for name in told.split() if name != "\\"} == needed - {"torch"}

"""The page on the design names what exists, and every room."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "design.md").read_text("utf-8")
PATH = re.compile(r"`((?:src|tests|recipes|benchmarks|docs)/[^`\s]+)`")


def test_every_path_exists() -> None:
    paths = PATH.findall(PAGE)
    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_room_has_its_line() -> None:
    folders = {path.parent.name for path in (ROOT / "src" / "llasa").glob("*/__init__.py")}
    rows = set(re.findall(r"^\| `src/llasa/(\w+)/` \|", PAGE, re.MULTILINE))
    assert rows == folders

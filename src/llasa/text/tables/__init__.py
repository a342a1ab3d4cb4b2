"""Words that the rules need to know, in one TOML file for each language or purpose."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any


@cache
def table(name: str) -> dict[str, Any]:
    """What `NAME.toml` holds; lists of words are strings, parted by whitespace."""
    return tomllib.loads((Path(__file__).parent / f"{name}.toml").read_text(encoding="utf-8"))

"""Files of texts that a model says while it is trained, one a line."""

from __future__ import annotations

from pathlib import Path

from llasa.base.files import read_bytes


def different_texts(path: Path) -> dict[str, int]:
    """The different texts of a file in order, each with the number of its line, from 1.

    Raises `LlasaError` where the file cannot be read.
    """
    lines = read_bytes(path, "a file of texts").decode("utf-8", "replace").split("\n")
    found: dict[str, int] = {}
    for place, line in enumerate(lines, 1):
        if text := line.strip():
            found.setdefault(text, place)
    return found

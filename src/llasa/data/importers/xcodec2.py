"""The lists that X-codec2 is trained from: a root, then a path and its samples a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from llasa.base.errors import LlasaError
from llasa.data.importers.common import read_lines
from llasa.data.manifest import Utterance

_RATE = 16_000


def read(path: Path, clips: Path) -> Iterator[Utterance]:
    """There are no texts in it."""
    lines = read_lines(path)
    root = Path(next(lines, "").strip())
    for line in lines:
        name, _, samples = line.partition("\t")
        if not samples.strip().isdecimal() or int(samples) < 1:
            raise LlasaError(f"{path}: {line!r} is not PATH<tab>SAMPLES.")
        yield Utterance(path.parent / root / name, seconds=int(samples) / _RATE)

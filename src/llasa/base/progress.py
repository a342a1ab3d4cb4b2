"""Progress of long work: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time
from typing import Any

from tqdm import tqdm

EVERY = 30.0
"""Seconds between two lines where stderr is not a terminal."""
_LINE = "{desc}: {n_fmt}/{total_fmt} {unit}s [{elapsed}<{remaining}, {rate_fmt}{postfix}]"


class _Lines(tqdm):  # type: ignore[type-arg]
    """Prints the bar as log lines; none for work that is done before the first is due."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        self._told = time.monotonic()
        super().__init__(*args, **{**settings, "bar_format": _LINE, "miniters": 1})

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Write a line, if one is due."""
        if time.monotonic() - self._told >= EVERY:
            self._told = time.monotonic()
            print(f"llasa: {msg or self}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Print no final line; results are reported elsewhere."""
        self.delay = float("inf")
        super().close()


def progress(*args: Any, **settings: Any) -> tqdm:  # type: ignore[type-arg]
    """A `tqdm` with these settings that suits stderr; ``disable=True`` for none."""
    return (tqdm if sys.stderr.isatty() else _Lines)(*args, **settings)

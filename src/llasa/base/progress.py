"""How far a long piece of work is: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time
from typing import Any

from tqdm import tqdm

EVERY = 30.0
"""Seconds between two lines where stderr is not a terminal."""
_LINE = "{desc}: {n_fmt}/{total_fmt} {unit}s [{elapsed}<{remaining}, {rate_fmt}{postfix}]"


class _Lines(tqdm):  # type: ignore[type-arg]
    """The state of a bar as lines of a log; none for work that is done sooner than one is due."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        self._told = time.monotonic()
        super().__init__(*args, **{**settings, "bar_format": _LINE, "miniters": 1})

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Write a line, if one is due."""
        if time.monotonic() - self._told >= EVERY:
            self._told = time.monotonic()
            print(f"llasa: {msg or self}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Nothing more is written: what was made is told elsewhere."""
        self.delay = float("inf")
        super().close()


def progress(*args: Any, **settings: Any) -> tqdm:  # type: ignore[type-arg]
    """A `tqdm` with these settings that suits stderr; ``disable=True`` for none."""
    return (tqdm if sys.stderr.isatty() else _Lines)(*args, **settings)

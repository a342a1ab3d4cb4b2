"""Waiting for other threads and processes, never without an end."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 120.0
"""Seconds until a test gives up; nothing is measured by it."""


def wait_for(true: Callable[[], object]) -> None:
    """Until a function returns something true."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)

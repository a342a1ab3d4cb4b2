"""Number of torch threads, and how they wait, in our own processes."""

from __future__ import annotations

import os
from pathlib import Path

MEGABYTES_PER_THREAD = 100.0
"""Megabytes of weights that justify one more thread (see benchmarks/company.py)."""
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def wait_passively() -> None:
    """Let idle OpenMP threads sleep; call it before torch is imported.

    OpenMP threads spin while they wait and, on a busy machine, hold up the very threads they wait
    for. What the user has set stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def cores() -> int:
    """Cores that this process may use: by its affinity, and by the quota of its container."""
    able = getattr(os, "sched_getaffinity", None)
    count = len(able(0)) if able is not None else os.cpu_count() or 1
    try:
        quota, period = _QUOTA.read_text().split()
        return max(1, min(count, int(quota) // int(period)))
    except (OSError, ValueError):  # no such file, or "max"
        return count


def threads_for(megabytes: float) -> int:
    """Threads that a model of so many megabytes gains from; `OMP_NUM_THREADS` names others."""
    named = os.environ.get("OMP_NUM_THREADS", "")
    if named.isdecimal() and int(named):
        return int(named)
    return min(cores(), 1 + int(megabytes / MEGABYTES_PER_THREAD))


def choose_threads(megabytes: float, share: int = 1) -> None:
    """Give torch as many threads as a model of so many megabytes gains from.

    `share`: how many work at the same time with so many threads each. `OMP_NUM_THREADS` names
    another number, of which each gets its share.
    """
    import torch

    threads = torch.get_num_threads()
    if not os.environ.get("OMP_NUM_THREADS"):
        threads = min(threads, cores(), 1 + int(megabytes / MEGABYTES_PER_THREAD))
    torch.set_num_threads(max(1, threads // share))

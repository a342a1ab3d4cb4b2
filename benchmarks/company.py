"""The command line beside other work: how long a call takes with torch's threads as they are by
default, as `llasa` sets them, and with other numbers of threads.

    python benchmarks/company.py [--busy 0 2 4] [--repeats 3] [--json out.json]

Each call is a process of its own, `python -m llasa say`, with the default model and one seed; what
it says of itself counts (first start, reading the model and so on do not). `--busy` are loops that
do nothing but keep a core busy meanwhile; the kinds of call take turns, so that other work on the
machine hits all. "as torch does it" hands torch's own defaults back by the environment.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TEXT = "The quick brown fox jumps over the lazy dog. The dog does not mind it."
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
KINDS = {
    "as torch does it": {"OMP_WAIT_POLICY": "ACTIVE", "OMP_NUM_THREADS": str(CORES)},
    "all threads, which sleep": {"OMP_NUM_THREADS": str(CORES)},
    "one thread": {"OMP_NUM_THREADS": "1"},
    "as llasa does it": {},
}
"""What is set; nothing else of OpenMP is."""


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many loops beside us."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def call(settings: dict[str, str], folder: Path) -> tuple[float, str]:
    """Seconds of one call, and what it wrote."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    out = folder / "out.wav"
    command = [sys.executable, "-m", "llasa", "say", TEXT, "--seed", "1", "--json", "-o", str(out)]
    done = subprocess.run(command, env=own | settings, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["total_seconds"], hashlib.sha256(out.read_bytes()).hexdigest()[
        :8
    ]


def measure(loops: list[int], repeats: int) -> dict[str, Any]:
    """Median seconds of each kind of call beside each number of loops, and the sounds."""
    seconds: dict[str, dict[int, float]] = {kind: {} for kind in KINDS}
    sounds: dict[str, set[str]] = {kind: set() for kind in KINDS}
    with tempfile.TemporaryDirectory() as folder:
        for count in loops:
            found: dict[str, list[float]] = {kind: [] for kind in KINDS}
            with busy(count):
                for _ in range(repeats):
                    for kind, settings in KINDS.items():
                        took, sound = call(settings, Path(folder))
                        found[kind].append(took)
                        sounds[kind].add(sound)
            for kind, times in found.items():
                seconds[kind][count] = statistics.median(times)
    return {
        "machine": f"{platform.machine()}, {CORES} cores",
        "seconds": seconds,
        "sounds": {kind: sorted(some) for kind, some in sounds.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--busy", type=int, nargs="+", default=[0, CORES, 2 * CORES])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the results here")
    args = parser.parse_args()
    report = measure(args.busy, args.repeats)
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(report["machine"])
    heads = [f"beside {count} loops, s" for count in args.busy]
    print(f"\n| threads | {' | '.join(heads)} | sound |\n|---{'|---' * (len(heads) + 1)}|")
    for kind, times in report["seconds"].items():
        cells = [f"{times[count]:.2f}" for count in args.busy]
        print(f"| {kind} | {' | '.join(cells)} | {', '.join(report['sounds'][kind])} |")


if __name__ == "__main__":
    main()

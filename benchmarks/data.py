"""How fast recordings become tokens, and what opening a large data set of them costs.

    python benchmarks/data.py tokenize [MANIFEST] [--clips 30] [--repeats 3] [--json out.json]
    python benchmarks/data.py open [--utterances 10000000] [--ranks 64] [--json out.json]

`tokenize` compares `llasa data tokenize` with a loop that reads and encodes clip by clip, on one
core, alternating, and checks that both give the same codes; the manifest is by default
`librispeech.jsonl` in LLASA_DATA. `open` writes a synthetic data set and lets so many processes
open it at once, ask for all lengths and speakers, and read 1,000 utterances each in random order.
Memory is what a process has for itself (Private_Dirty in Linux's smaps_rollup).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from llasa.data.manifest import read_manifest, write_manifest
from llasa.data.shards import ShardMeta, TokenDataset, add_columns, shard_path

CODES, SPEAKERS, PER_SHARD = 550, 1000, 500_000
"""Codes of an utterance on average, people in a shard, utterances of a shard."""
LINE = b'{"text": "An utterance of some words, as many as in read speech.", "speaker": "x"}\n'
READS = 1000


def tokenize_speed(args: argparse.Namespace) -> dict[str, object]:
    """Times real time on one core."""
    import torch

    from llasa.audio.audio import read_audio
    from llasa.codec.codec import Codec
    from llasa.data.tokenize import tokenize
    from llasa.models.find import find_codec

    torch.set_num_threads(1)
    codec = Codec.load(find_codec(args.codec), args.device)
    rows = read_manifest(args.manifest)[: args.clips]
    seconds = sum(read_audio(row.path).duration for row in rows)
    times: dict[str, list[float]] = {"clip by clip": [], "llasa data tokenize": []}
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder) / "m.jsonl"
        write_manifest(manifest, rows)
        for number in range(args.repeats):
            began = time.process_time()
            alone = [codec.encode([read_audio(row.path)])[0] for row in rows]
            times["clip by clip"].append(time.process_time() - began)
            began, out = time.process_time(), Path(folder) / str(number)
            tokenize(manifest, out, codec, progress=False)
            times["llasa data tokenize"].append(time.process_time() - began)
            found = [item.codes for item in TokenDataset(out)]
            assert all(np.array_equal(a, b) for a, b in zip(alone, found, strict=True))
    speeds = {name: round(seconds / statistics.median(took), 1) for name, took in times.items()}
    return {"clips": len(rows), "seconds": round(seconds, 1), "x real time a core": speeds}


def write_data_set(folder: Path, utterances: int) -> None:
    """Shards as `ShardWriter` makes them, with codes that take no room on the disk."""
    shards = -(-utterances // PER_SHARD)
    meta = ShardMeta("synthetic", 65_536, 50.0, shards)
    meta.save(folder)
    rng = np.random.default_rng(0)
    for number in range(shards):
        count = min(PER_SHARD, utterances - number * PER_SHARD)
        path = shard_path(folder, number)
        path.mkdir()
        index = np.zeros((count + 1, 2), np.int64)
        index[1:, 0] = rng.integers(CODES // 2, CODES * 3 // 2, count).cumsum()
        index[:, 1] = np.arange(count + 1) * len(LINE)
        np.save(path / "index.npy", index)
        (path / "codes.bin").touch()
        os.truncate(path / "codes.bin", 2 * int(index[-1, 0]))
        (path / "rows.jsonl").write_bytes(LINE * count)
        people = [f"speaker {number} {n}" for n in range(SPEAKERS)]
        numbers = rng.integers(0, SPEAKERS, count).tolist()
        (path / "speakers.json").write_text(json.dumps({"names": people, "numbers": numbers}))
        (path / "sums.json").write_text(json.dumps({"number": number}))
    add_columns(folder)


def private_mib() -> float:
    """Memory that this process shares with nobody."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty")) / 1024


def be_a_rank(folder: Path, rank: int) -> None:
    """Open, ask, read, and print what it cost."""
    before = private_mib()
    began = time.perf_counter()
    data = TokenDataset(folder)
    opened = time.perf_counter() - began
    began = time.perf_counter()
    longest, people = int(data.lengths().max()), len(data.speakers())
    asked = time.perf_counter() - began
    order = np.random.default_rng(rank).integers(0, len(data), READS)
    began = time.process_time()
    codes = sum(len(data[index].codes) for index in order.tolist())
    read = (time.process_time() - began) * 1000 / READS
    found = {"open s": opened, "columns s": asked, "ms a row, CPU": read}
    found["MiB"] = private_mib() - before
    assert longest < 2 * CODES
    assert people == SPEAKERS * -(-len(data) // PER_SHARD)
    assert codes > READS * CODES // 2
    print(json.dumps({name: round(value, 3) for name, value in found.items()}))


def open_cost(args: argparse.Namespace) -> dict[str, object]:
    """Medians and worst of all ranks."""
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        began = time.perf_counter()
        write_data_set(Path(folder), args.utterances)
        made = time.perf_counter() - began
        command = [sys.executable, __file__, "rank", folder]
        ranks = [
            subprocess.Popen([*command, str(rank)], stdout=subprocess.PIPE)
            for rank in range(args.ranks)
        ]
        rows = [json.loads(rank.communicate()[0]) for rank in ranks]
    cost = {
        name: {"median": statistics.median(values), "worst": max(values)}
        for name in rows[0]
        for values in [[row[name] for row in rows]]
    }
    return {"utterances": args.utterances, "ranks": args.ranks, "made in s": round(made), **cost}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = parser.add_subparsers(dest="kind", required=True)
    speed = kinds.add_parser("tokenize")
    data = Path(os.environ.get("LLASA_DATA", "../shared/data"))
    speed.add_argument("manifest", nargs="?", type=Path, default=data / "librispeech.jsonl")
    speed.add_argument("--clips", type=int, default=30)
    speed.add_argument("--repeats", type=int, default=3)
    speed.add_argument("--codec", default="nano")
    speed.add_argument("--device", default="cpu")
    opening = kinds.add_parser("open")
    opening.add_argument("--utterances", type=int, default=10_000_000)
    opening.add_argument("--ranks", type=int, default=64)
    opening.add_argument("--folder", type=Path, help="where there is room for it")
    for kind in (speed, opening):
        kind.add_argument("--json", type=Path)
    rank = kinds.add_parser("rank")
    rank.add_argument("folder", type=Path)
    rank.add_argument("rank", type=int)
    args = parser.parse_args()
    if args.kind == "rank":
        be_a_rank(args.folder, args.rank)
        return
    found = tokenize_speed(args) if args.kind == "tokenize" else open_cost(args)
    found["machine"] = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    for name, value in found.items():
        print(f"{name:20} {value}")
    if args.json is not None:
        args.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()

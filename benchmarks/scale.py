"""What limits a large training, measured small: memory of processes, data, and lost processes.

    python benchmarks/scale.py memory [--width 768] [--layers 12] [--processes 2]
    python benchmarks/scale.py loader
    python benchmarks/scale.py plan [--rows 10000000]
    python benchmarks/scale.py clips [--rows 3000000]
    python benchmarks/scale.py kills [--times 20] [--processes 2]

`memory`: anonymous memory of each process while it starts from a checkpoint, saves and resumes,
beyond what it had before, as a multiple of its share of the weights. `loader`: tokens that one
process makes ready in a second of its time. `plan`: time and memory to lay out an epoch. `clips`:
time and memory to open a manifest for the codec, without and with speakers. `kills`: one process
after another is killed in the middle of a step; the losses are compared with those of a run that
nobody disturbed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from llasa.training.codec.data import AudioDataSettings, AudioSource, Segments
from llasa.training.config import load_settings
from llasa.training.lm.data import LMBatches, LMDataSettings
from llasa.training.lm.settings import LMTraining
from llasa.training.lm.trainer import LMTrainer, train_lm
from llasa.vocabulary.tokenizer import train_bpe
from llasa.vocabulary.vocabulary import Vocabulary
from train import CODES, PHONES, Shape, write_data

Command = argparse.Namespace


def anonymous() -> int:
    """Bytes of this process that are no files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


@contextmanager
def peak() -> Iterator[list[int]]:
    """The most anonymous memory inside, beyond that before; filled in at the end."""
    before, most, stop = anonymous(), [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.002):
            most[0] = max(most[0], anonymous() - before)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        stop.set()
        thread.join()


def settings_of(
    folder: Path, name: str, model: dict[str, Any], run: dict[str, Any], **changes: Any
) -> Path:
    """A file of settings for data that `write_data` made."""
    values = {
        "vocabulary": str(folder / "vocabulary"),
        "model": model,
        "run": run,
        "data": {"train": [str(folder / "tokens")], "tokens": 1024, "global_tokens": 4096},
        "parallel": {"async_save": True},
        **changes,
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def torchrun(processes: int, restarts: int, *arguments: str | Path) -> None:
    """This script in several processes."""
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        *("--nproc-per-node", str(processes), "--max-restarts", str(restarts)),
        *(__file__, *map(str, arguments)),
    ]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def memory(args: Command) -> None:
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        write_data(folder)
        short: dict[str, Any] = {
            "data": {"train": [str(folder / "tokens")], "tokens": 512, "global_tokens": 512},
            "parallel": {},
        }
        model = Shape.parse(f"{args.layers}x{args.width}").model()
        run = {"out": str(folder / "first"), "steps": 1}
        train_lm(load_settings(LMTraining, settings_of(folder, "first", model, run, **short), []))
        init = str(folder / "first" / "step-00000001")
        run = {"out": str(folder / "run"), "steps": 2}
        path = settings_of(folder, "run", {}, run, init=init, **short)
        # Memory that was freed is given back at once, so that what is measured is in use.
        os.environ["MALLOC_MMAP_THRESHOLD_"] = str(1 << 16)
        for _ in ("start", "resume"):
            torchrun(args.processes, 0, "memory-worker", path)


def memory_worker(args: Command) -> None:
    settings = load_settings(LMTraining, args.path, [])
    found = {}
    with peak() as most:
        trainer = LMTrainer(settings)
    weights = sum(p.numel() for p in trainer.objective.parameters()) * 4
    share = weights / trainer.workers.world
    found["start" if trainer.finished == 0 else "start and resume"] = most[0] / share
    if trainer.finished == 0:
        trainer.step(trainer.batch(0))
        trainer.finished = 1
        with peak() as most:
            trainer.save()
        found["save"] = most[0] / share
    if trainer.workers.rank == 0:
        told = "  ".join(f"{name} {value:.2f}" for name, value in found.items())
        print(f"weights {weights / 1e6:.0f} MB, share {share / 1e6:.0f} MB; in shares: {told}")
    trainer.workers.barrier()
    trainer.workers.close()


class Lengths:
    """A data set of nothing but lengths."""

    codec, codebook_size, text_base = "", CODES, None

    def __init__(self, rows: int) -> None:
        drawn = np.random.default_rng(0).lognormal(np.log(500), 0.5, rows)
        self._lengths: NDArray[np.int32] = drawn.clip(40, 1800).astype(np.int32)

    def __len__(self) -> int:
        return len(self._lengths)

    def lengths(self) -> NDArray[np.int32]:
        return self._lengths


def loader(_: Command) -> None:
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        write_data(folder)
        vocabulary = Vocabulary.load(folder / "vocabulary")
        from llasa.data.shards import TokenDataset

        for layout in ("bucket", "pack"):
            data = LMDataSettings([], tokens=16_384, layout=layout)  # type: ignore[arg-type]
            batches = LMBatches(data, TokenDataset(folder / "tokens"), vocabulary, 0)
            batches.batch(0)
            began, tokens = time.process_time(), 0
            for index in range(1, 40):
                tokens += int((batches.batch(index).row >= 0).sum())
            print(f"{layout}: {tokens / (time.process_time() - began) / 1e6:.2f} M tokens/s")


def plan(args: Command) -> None:
    vocabulary = Vocabulary.extend(train_bpe(["a b"], 257), CODES, phones=PHONES)
    from llasa.training.lm.mixture import Mixture, RowSource

    rows: Any = Lengths(args.rows)
    mixture = Mixture([RowSource(rows, "tts")])
    mixture.lengths = lambda *_: rows.lengths()  # type: ignore[method-assign]
    batches = LMBatches(LMDataSettings([]), mixture, vocabulary, 0)
    began = time.process_time()
    with peak() as most:
        count = len(batches.plan(0))
    seconds = time.process_time() - began
    print(f"{args.rows:,} rows, {count:,} batches: {seconds:.1f} s, {most[0] / 1e9:.2f} GB at most")


def clips(args: Command) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "clips.jsonl")
        with path.open("w") as file:
            for row in range(args.rows):
                speaker = f"speaker {row % 10_000}"
                line = {"audio": f"{row:09d}.flac", "text": "Ten words " * 5, "speaker": speaker}
                file.write(json.dumps(line) + "\n")
        data = AudioDataSettings(train=[AudioSource(str(path))])
        for voices in (False, True):
            began = time.process_time()
            with peak() as most:
                kept = Segments(data, 16_000, 320, 0, references=voices)
            seconds = time.process_time() - began
            told = "with speakers" if voices else "without speakers"
            each = f"{1e6 * seconds / args.rows:.2f} µs, {most[0] / args.rows:.1f} bytes each"
            print(f"{args.rows:,} clips {told}: {seconds:.1f} s of CPU, {each}")
            del kept


def kills(args: Command) -> None:
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        write_data(folder)
        model, steps = Shape.parse("2x64").model(), 2 * args.times
        common = {"steps": steps, "save_every": 1, "log_every": 1}
        runs = {}
        for name in ("whole", "killed"):
            run = {"out": str(folder / name), **common}
            runs[name] = settings_of(folder, name, model, run)
        train_lm(load_settings(LMTraining, runs["whole"], []))
        rng = random.Random(0)
        steps_to_die = sorted(rng.sample(range(1, steps), args.times))
        deaths = [[rng.randrange(args.processes), step] for step in steps_to_die]
        began = time.monotonic()
        os.environ["DEATHS"] = json.dumps(deaths)
        torchrun(args.processes, args.times + 10, "kills-worker", runs["killed"])
        whole, killed = (losses(folder / name) for name in ("whole", "killed"))
        worst = max(abs(whole[step] / killed[step] - 1) for step in whole)
        minutes = (time.monotonic() - began) / 60
        dead = len([*folder.glob("*.dead")])
        print(
            f"{dead} times one of {args.processes} processes killed in {steps} steps, "
            f"{minutes:.1f} min: {len(killed)} steps, largest difference of a loss {worst:.1e}"
        )


def kills_worker(args: Command) -> None:
    deaths = json.loads(os.environ["DEATHS"])
    start = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    trainer = LMTrainer(load_settings(LMTraining, args.path, []))
    if start < len(deaths) and deaths[start][0] == trainer.workers.rank:

        def die(*_: Any) -> None:
            if trainer.finished >= deaths[start][1]:
                Path(args.path).with_suffix(f".{start}.dead").touch()
                os.kill(os.getpid(), signal.SIGKILL)

        trainer.objective.register_forward_pre_hook(die)
    trainer.train()


def losses(run: Path) -> dict[int, float]:
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return {row["step"]: row["loss"] for row in rows if "loss" in row}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    flags = {
        "memory": {"width": 768, "layers": 12, "processes": 2},
        "plan": {"rows": 10_000_000},
        "clips": {"rows": 3_000_000},
        "kills": {"times": 20, "processes": 2},
    }
    for function in (memory, loader, plan, clips, kills, memory_worker, kills_worker):
        command = commands.add_parser(function.__name__.replace("_", "-"))
        command.set_defaults(run=function)
        for name, default in flags.get(function.__name__, {}).items():
            command.add_argument(f"--{name}", type=int, default=default)
        if function.__name__.endswith("_worker"):
            command.add_argument("path", type=Path)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()

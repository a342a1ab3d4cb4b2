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
from typing import Any

import numpy as np
from pool import RATE, PoolWriter, Samples
from soxr import resample
from speech import trim
from timing import Timing, session_with_durations, word_times

from llasa.errors import LlasaError

SIZES = np.round(np.linspace(0.84, 1.18, 18), 2)
"""Factors on pitch and formants alike; each is a speaker of its own."""
PLAIN = 0.3
"""Share of clips in the voice as it is."""
PACE = (0.85, 1.2)


class Speaker:
    """hibari with its phoneme durations at hand."""

    def __init__(self) -> None:
        import onnxruntime
        from hibari import Hibari

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.model: Any = Hibari()
        self.session = session_with_durations(Path(self.model.model_path), options)

    def speak(self, text: str, rng: np.random.Generator) -> tuple[Samples, str, Timing]:
        """One clip at 16 kHz, the name of its speaker, and when which character is spoken.

        Raises:
            LlasaError: the text has no sounds.
        """
        from hibari import dsp

        size = 1.0 if rng.random() < PLAIN else float(rng.choice(SIZES))
        rate = self.model.sample_rate * size  # as it is played
        pace = np.array([rng.uniform(*PACE) / size], np.float32)
        parts: list[Samples] = []
        timing: Timing = []
        seconds, place = 0.0, 0
        for sentence in self.model.split_sentences(text):
            place = text.index(sentence, place)
            phonemes = "".join(c for c in self.model.g2p(sentence) if c in self.model.vocab)
            if not phonemes:
                continue
            feeds = {"ids": np.array([self.model.ids(phonemes)]), "speed": pace}
            *frames, durations = self.session.run(None, feeds)
            parts.append(dsp.synth(*(frame[0] for frame in frames), rng))
            for character, moment in word_times(sentence, phonemes, durations.reshape(-1)):
                timing.append((place + character, seconds + moment / size))
            seconds += len(parts[-1]) / rate
            place += len(sentence)
        if not parts:
            raise LlasaError(f"hibari has no sounds for {text!r}")
        samples, cut = trim(resample(np.concatenate(parts), rate, RATE))
        shifted = [(character, round(max(0.0, moment - cut), 3)) for character, moment in timing]
        return samples, f"hibari_{size:.2f}", shifted


def worker(texts: list[str], stem: Path, end: float, hours: float) -> None:
    """Fill one pool; goes on where it stopped, and round the texts until time is up."""
    speaker = Speaker()
    seed = int(stem.name.rpartition("-")[2])
    writer = PoolWriter(stem)
    number = writer.count
    while time.time() < end and writer.total < hours * 3600 * RATE:
        text = texts[number % len(texts)]
        with contextlib.suppress(LlasaError):
            samples, name, timing = speaker.speak(text, np.random.default_rng((seed, number)))
            writer.add(samples, text, name, timing)
        number += 1
    writer.close()


def synthesise(texts: Path, folder: Path, end: float, hours: float, processes: int) -> float:
    """Run the workers until ``end`` (``time.time()``) or ``hours``; returns the hours in all.

    A worker that fails is reported by name once the others are done.
    """
    lines = texts.read_text(encoding="utf-8").splitlines()
    os.environ["OMP_NUM_THREADS"] = "1"
    context = get_context("spawn")
    running = []
    for number in range(processes):
        part, stem = lines[number::processes], folder / f"hibari-{number:03d}"
        arguments = (part, stem, end, hours / processes)
        running.append(context.Process(target=worker, args=arguments))
        running[-1].start()
    for process in running:
        process.join()
    if failed := [process.name for process in running if process.exitcode]:
        raise LlasaError(f"{len(failed)} of {processes} synthesisers failed: {', '.join(failed)}")
    return sum(PoolWriter(folder / f"hibari-{n:03d}").total for n in range(processes)) / 3600 / RATE

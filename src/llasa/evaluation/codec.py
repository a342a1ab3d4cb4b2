"""What a codec keeps of speech: reference scores, likeness, quality, words, bits and code use."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np

from llasa.audio.audio import Audio, read_audio
from llasa.audio.fidelity import pesq, stoi
from llasa.evaluation.experiment import RECORDING, Experiment, Row, as_file
from llasa.evaluation.items import Item
from llasa.evaluation.judges import Judges
from llasa.evaluation.statistics import Estimate, code_use
from llasa.evaluation.systems import System
from llasa.verifiers import Candidate
from llasa.verifiers.base import RATE


def evaluate_codec(
    items: Sequence[Item], systems: Sequence[System], judges: Judges, experiment: Experiment
) -> list[Row]:
    """Judge every recording before and after every codec; rows clip by clip.

    STOI and PESQ compare at 16 kHz, and likeness is to the recording itself. Where an item has a
    text, content is judged, too.
    """
    judges.load()
    by_id = {item.id: item for item in items}
    by_name = {system.name: system for system in systems}
    tasks = [(item.id, name) for item in items for name in [RECORDING, *by_name]]

    def judge(id: str, name: str) -> tuple[Row, Audio | None]:
        return _judge(by_id[id], by_name.get(name), judges)

    return experiment.work(tasks, judge, "eval codec")


def _judge(item: Item, system: System | None, judges: Judges) -> tuple[Row, Audio]:
    assert item.audio is not None
    original = read_audio(item.audio).mono()
    row: Row = {"kind": item.kind, "text": item.text}
    if system is None:
        return {**row, **vars(judges(Candidate(item.words, original)))}, original
    began = time.perf_counter()
    coded = system(original)
    took = time.perf_counter() - began
    decoded = as_file(coded.audio)
    found = judges(Candidate(item.words, decoded, prompt=original))
    real, fake = original.resample(RATE).samples, decoded.resample(RATE).samples
    fake = np.pad(fake, (0, max(0, len(real) - len(fake))))[: len(real)]
    scores = {
        "STOI": stoi(real, fake, RATE),
        "PESQ-WB": pesq(real, fake, RATE, "wb"),
        "PESQ-NB": pesq(real, fake, RATE, "nb"),
    }
    for name, value in scores.items():
        if math.isnan(value):
            found.unscored[name] = "silent, or too short"
        else:
            found.measures[name] = (value, 1.0)
    found.measures["kbit/s"] = (coded.bits / 1000, original.duration)
    found.measures["RTF"] = (took, original.duration)
    if coded.codes is not None:
        row |= {"codes": coded.codes.tolist(), "codebook_size": coded.codebook_size}
    return {**row, **vars(found)}, decoded


def code_measures(rows: Sequence[Row]) -> dict[str, Estimate]:
    """Code use over all rows of one system; it grows with the clips, so it has no interval."""
    coded = [row for row in rows if "codes" in row]
    if not coded:
        return {}
    use = code_use((row["codes"] for row in coded), coded[0]["codebook_size"])
    named = zip(("codes used", "bits a code"), use, strict=True)
    return {name: Estimate(value, math.nan, math.nan, len(coded)) for name, value in named}

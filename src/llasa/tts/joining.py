"""Joins the parts of a text: fades at their ends, and pauses in between."""

from __future__ import annotations

import numpy as np

from llasa.audio.audio import Samples, fade
from llasa.text import Passage


def joined(samples: Samples, rate: int, passage: Passage, goes_on: bool, more: bool) -> Samples:
    """The sound of a part, or of one of its ends, as it is heard among others.

    `goes_on`: it begins after another part; `more`: it ends before one. Then they fade, and a
    pause follows.
    """
    samples = samples.copy()
    if goes_on:
        fade(samples, rate)
    if more:
        fade(samples[::-1], rate)
        samples = np.pad(samples, (0, round(passage.pause * rate)))
    return samples.clip(-1, 1)


def silence(seconds: float, rate: int) -> Samples:
    """Silence of so many seconds."""
    return np.zeros(round(seconds * rate), np.float32)

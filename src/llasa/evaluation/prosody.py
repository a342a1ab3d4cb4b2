"""What can be measured of how something is said: final pitch, pauses, and the weight of a word."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llasa.audio.audio import Samples
from llasa.training.auxiliary.pitch import PitchTrack
from llasa.verifiers.base import RATE

FINAL = 0.4
"""Seconds of voiced speech at the end over which the final pitch is followed."""
_REACH = 2.0
"""Voiced moments further before the last one than this many times `FINAL` belong to other words."""
_FEWEST = 8
"""Voiced moments that a slope needs."""
_FRAME = RATE // 100
_QUIET = 30.0
"""Decibels below the loud parts of a clip at which it pauses."""
_LOUD = 95
"""Percentile of the frames' levels that counts as loud."""

Span = tuple[float, float]
"""Start and end in seconds."""


def final_rise(track: PitchTrack) -> float:
    """Semitones by which pitch rises over the last `FINAL` seconds of voiced speech.

    The slope of a straight line, after a running median of five moments that takes out jumps by an
    octave. NaN where the clip ends without a voice.
    """
    sure = track.voiced >= 0.5
    seconds, hertz = track.seconds[sure], track.hertz[sure]
    if not len(seconds):
        return float("nan")
    step = float(np.median(np.diff(track.seconds)))
    count = round(FINAL / step)
    near = seconds[-count:] >= seconds[-1] - _REACH * FINAL
    pitch = 12 * np.log2(hertz[-count:][near].astype(np.float64))
    if len(pitch) < _FEWEST:
        return float("nan")
    padded = np.pad(pitch, 2, mode="edge")
    smooth = np.median(np.lib.stride_tricks.sliding_window_view(padded, 5), axis=1)
    slope, _ = np.polyfit(step * np.arange(len(smooth)), smooth, 1)
    return float(slope * FINAL)


def pause(clip: Samples, before: Span, after: Span) -> float:
    """Seconds of the longest quiet stretch between the middles of two words of 16 kHz speech."""
    start, end = (round(100 * sum(span) / 2) for span in (before, after))
    longest = length = 0
    for quiet in _levels(clip)[start:end] < -_QUIET:
        length = length + 1 if quiet else 0
        longest = max(longest, length)
    return longest / 100


def prominence(clip: Samples, span: Span) -> float:
    """Energy of a word over that of all other words, in dB: it grows with loudness and length."""
    energy = np.square(clip, dtype=np.float64)
    start, end = (round(RATE * second) for second in span)
    word = energy[start:end].sum()
    return float(10 * np.log10((word + 1e-9) / (energy.sum() - word + 1e-9)))


def _levels(clip: Samples) -> NDArray[np.float64]:
    """Levels of frames of 10 ms, in dB relative to the loud ones."""
    frames = clip[: len(clip) // _FRAME * _FRAME].reshape(-1, _FRAME).astype(np.float64)
    levels = 10 * np.log10(np.square(frames).mean(axis=1) + 1e-9)
    return np.asarray(levels - np.percentile(levels, _LOUD)) if len(levels) else levels

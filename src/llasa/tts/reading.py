"""When each character of a text is read: from where attention heads look, or in proportion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llasa.audio.audio import Samples

Times = NDArray[np.float64]
"""(characters, 2): when each begins and ends, in seconds; NaN where it is never reached."""
NEAR = 0.5
"""Standard deviation, in text tokens, of how exactly heads look."""
FLOOR = 1e-3
"""Attention below this tells nothing."""
MOST = 4
"""Text tokens that are passed in one code at most."""
QUIET = 35.0
"""Decibels below its loud moments at which a voice is not heard any more."""
_FRAME = 0.01
_WEIGHTS = dict.fromkeys(",;:，、；：—–", 2.5) | dict.fromkeys(".!?…。！？", 4.0) | {" ": 0.25}
_WIDE_FROM, _WIDE = 0x2E80, 3.0


def reading_path(
    seen: NDArray[np.floating[Any]], offsets: Sequence[float], ended: bool
) -> NDArray[np.int64]:
    """The text token that is read at each code: the likeliest way through the text, in order.

    Args:
        seen: attention of the heads, (heads, codes, tokens).
        offsets: how many tokens past the place that is read each head looks.
        ended: the text was read to its end; else wherever the way is likeliest to lead.
    """
    _, codes, tokens = seen.shape
    places = np.arange(tokens)
    score = np.zeros((codes, tokens))
    for head, offset in zip(seen, offsets, strict=True):
        aims = places[:, None] - (places + offset)
        near = np.exp(-(aims**2) / (2 * NEAR**2))
        near /= near.sum(0) + 1e-9
        score += np.log(head.astype(np.float64) @ near + FLOOR)
    best = np.where(places == 0, score[0], -np.inf)
    passed = np.zeros((codes, tokens), np.int64)
    most = min(MOST, tokens - 1)
    for code in range(1, codes):
        ways = np.full((most + 1, tokens), -np.inf)
        for step in range(most + 1):
            ways[step, step:] = best[: tokens - step]
        passed[code] = ways.argmax(0)
        best = ways.max(0) + score[code]
    place = int(best.argmax())
    if ended and best[-1] > -np.inf:
        place = tokens - 1
    path = np.zeros(codes, np.int64)
    for code in range(codes - 1, -1, -1):
        path[code] = place
        place -= passed[code, place]
    return path


def times_of_path(
    path: NDArray[np.int64], spans: Sequence[tuple[int, int]], characters: int, second: float
) -> Times:
    """When each character is read on a path; `spans` are those of the tokens.

    `second`: codes in one second of what is heard.
    """
    times = np.full((characters, 2), np.nan)
    for token, (first, stop) in enumerate(spans):
        enters = int(np.searchsorted(path, token))
        if enters == len(path) or stop <= first:
            continue
        leaves = int(np.searchsorted(path, token, side="right"))
        borders = np.linspace(enters, leaves, stop - first + 1) / second
        own = times[first:stop]
        own[:, 0] = np.fmin(own[:, 0], borders[:-1])
        own[:, 1] = np.fmax(own[:, 1], borders[1:])
    return times


def times_in_proportion(text: str, start: float, end: float) -> Times:
    """A guess: every letter takes equally long, and marks are pauses."""
    weights = np.array([_weight(char) for char in text])
    letters = np.flatnonzero([char.isalnum() for char in text])
    if len(letters):
        weights[letters[-1] + 1 :] = 0  # what follows the last word is not heard
    ends = np.cumsum(weights) / max(weights.sum(), 1e-9) * (end - start) + start
    return np.stack([np.concatenate([[start], ends[:-1]]), ends], 1)


def audible(samples: Samples, rate: int) -> tuple[float, float]:
    """Seconds between which a voice is heard in samples (n,); all of them where it never is."""
    hop = round(_FRAME * rate)
    frames = samples[: len(samples) // hop * hop].reshape(-1, hop)
    if not len(frames):
        return 0.0, len(samples) / rate
    level = 20 * np.log10(np.sqrt(np.square(frames, dtype=np.float64).mean(1)) + 1e-9)
    loud = np.flatnonzero(level > np.percentile(level, 95) - QUIET)
    return float(loud[0]) * _FRAME, float(loud[-1] + 1) * _FRAME


def _weight(char: str) -> float:
    """How long a character takes, in letters."""
    if char.isalnum():
        return _WIDE if ord(char) >= _WIDE_FROM else 1.0
    return _WEIGHTS.get(char, 0.0)

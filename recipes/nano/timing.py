"""When hibari speaks which character: the durations inside its network, spread over the words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnxruntime

DURATIONS = "/Clip_output_0"
"""Tensor in hibari 0.2.1 with the duration of every phoneme."""
UNIT = 0.025
"""Seconds of one unit of duration."""
PUNCTUATION = frozenset(";:,.!?—…\"“”()'")
Timing = list[tuple[int, float]]


def session_with_durations(
    model: Path, options: onnxruntime.SessionOptions
) -> onnxruntime.InferenceSession:
    """The network with its phoneme durations as a last output."""
    import onnx
    import onnxruntime

    graph = onnx.load(str(model))
    graph.graph.output.append(onnx.helper.make_empty_tensor_value_info(DURATIONS))
    return onnxruntime.InferenceSession(graph.SerializeToString(), options)


def word_times(sentence: str, phonemes: str, durations: np.ndarray) -> Timing:
    """(character, seconds) at both ends of each word.

    Where words and groups of phonemes cannot be paired, both ends of the sentence only.

    Args:
        sentence: what is said.
        phonemes: known symbols only, groups separated by spaces or hyphens.
        durations: of a pad, every phoneme and a pad, in units.
    """
    ends = np.concatenate([[0.0], np.cumsum(durations)]) * UNIT
    words = [match.span() for match in re.finditer(r"[^\s-]+", sentence)]
    groups = [match.span() for match in re.finditer(r"[^\s-]+", phonemes)]
    if len(words) != len(groups):
        words, groups = [(0, len(sentence))], [(0, len(phonemes))]
    times: Timing = []
    for word, group in zip(words, groups, strict=True):
        a, b = _spoken(sentence, *word)
        x, y = _spoken(phonemes, *group)
        times += [(a, float(ends[x + 1])), (b, float(ends[y + 1]))]
    return times


def _spoken(text: str, start: int, stop: int) -> tuple[int, int]:
    """The span without punctuation at its ends."""
    while stop > start + 1 and text[stop - 1] in PUNCTUATION:
        stop -= 1
    while start < stop - 1 and text[start] in PUNCTUATION:
        start += 1
    return start, stop

"""hibari-tts with the times of its words and phones: the durations inside its network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

DURATIONS = "/Clip_output_0"
"""Tensor in hibari 0.2.1 with the duration of every phoneme."""
UNIT = 0.025
"""Seconds of one unit of duration."""
PUNCTUATION = frozenset(";:,.!?—…\"“”()'")
STRESS = "ˈˌ"
PAUSE = " "


class Times(NamedTuple):
    """When what is said, in seconds; as in a manifest."""

    timing: list[tuple[int, float]]
    """(character, seconds) at both ends of each word."""
    phones: list[tuple[str, float]]
    """Phones and their ends."""

    def moved(self, seconds: float, slower: float = 1.0) -> Times:
        """Later by so many seconds, never below 0, after playing ``slower`` times as slow."""

        def moment(time: float) -> float:
            return round(max(0.0, time * slower + seconds), 3)

        return Times(
            [(character, moment(time)) for character, time in self.timing],
            [(symbol, moment(time)) for symbol, time in self.phones],
        )


class TimedHibari:
    """The bundled American voice on one core."""

    def __init__(self) -> None:
        import onnx
        import onnxruntime
        from hibari import Hibari

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.model: Any = Hibari()
        graph = onnx.load(str(Path(self.model.model_path)))
        graph.graph.output.append(onnx.helper.make_empty_tensor_value_info(DURATIONS))
        self._session = onnxruntime.InferenceSession(graph.SerializeToString(), options)

    def speak(
        self, text: str, rng: np.random.Generator, pace: float = 1.0
    ) -> tuple[NDArray[np.float32], int, Times]:
        """Samples, their rate and the times; no samples where the text has no sounds."""
        from hibari import SAMPLE_RATE, dsp

        parts = [np.zeros(0, np.float32)]
        times, place, seconds = Times([], []), 0, 0.0
        for sentence in self.model.split_sentences(text):
            place = text.index(sentence, place)
            phonemes = "".join(c for c in self.model.g2p(sentence) if c in self.model.vocab)
            if not phonemes:
                continue
            feeds = {"ids": np.array([self.model.ids(phonemes)]), "speed": np.float32([pace])}
            *frames, durations = self._session.run(None, feeds)
            parts.append(dsp.synth(*(frame[0] for frame in frames), rng))
            ends = np.cumsum(durations.reshape(-1)) * UNIT
            said = Times(word_times(sentence, phonemes, ends), phone_times(phonemes, ends))
            said = said.moved(seconds)
            times.timing.extend((place + character, time) for character, time in said.timing)
            times.phones.extend(said.phones)
            seconds += len(parts[-1]) / SAMPLE_RATE
            place += len(sentence)
        return np.concatenate(parts), SAMPLE_RATE, times


def word_times(
    sentence: str, phonemes: str, ends: NDArray[np.floating[Any]]
) -> list[tuple[int, float]]:
    """(character, seconds) at both ends of each word.

    Where words and groups of phonemes cannot be paired, both ends of the sentence only.

    Args:
        sentence: what is said.
        phonemes: known symbols only, groups separated by spaces or hyphens.
        ends: of a pad, every phoneme and a pad, in seconds.
    """
    words = [match.span() for match in re.finditer(r"[^\s-]+", sentence)]
    groups = [match.span() for match in re.finditer(r"[^\s-]+", phonemes)]
    if len(words) != len(groups):
        words, groups = [(0, len(sentence))], [(0, len(phonemes))]
    times: list[tuple[int, float]] = []
    for word, group in zip(words, groups, strict=True):
        a, b = _spoken(sentence, *word)
        x, y = _spoken(phonemes, *group)
        times += [(a, float(ends[x])), (b, float(ends[y]))]
    return times


def phone_times(phonemes: str, ends: NDArray[np.floating[Any]]) -> list[tuple[str, float]]:
    """Phones and their ends; a mark of stress counts as the phone it stands before.

    Args as in ``word_times``; whatever is no phone is a pause.
    """
    heard = [PAUSE, *phonemes, PAUSE]
    for place in reversed(range(len(heard))):
        if heard[place] in STRESS:
            heard[place] = heard[place + 1]
        elif heard[place] in PUNCTUATION or heard[place] == "-":
            heard[place] = PAUSE
    return list(zip(heard, map(float, ends), strict=True))


def _spoken(text: str, start: int, stop: int) -> tuple[int, int]:
    """The span without punctuation at its ends."""
    while stop > start + 1 and text[stop - 1] in PUNCTUATION:
        stop -= 1
    while start < stop - 1 and text[start] in PUNCTUATION:
        start += 1
    return start, stop

"""When a sequence has ended."""

from __future__ import annotations

import numpy as np
import pytest

from llasa.lm.engine import Generation, repeated
from llasa.lm.sampling import SamplingParams

WINDOW = 40


def fed(tokens: list[int], window: int = WINDOW) -> Generation:
    """A sequence that got tokens until it ended."""
    generation = Generation([1], SamplingParams(loop_window=window))
    for token in tokens:
        if generation.finish is None:
            generation.put(token, -1.0, [99], 1000)
    return generation


SPEECH = np.random.default_rng(0).integers(0, 90, 200).tolist()


def test_a_loop_ends_a_sequence_soon() -> None:
    for loop in ([7], [1, 2, 3, 4, 5]):
        stuck = fed(SPEECH[:60] + loop * 100)
        assert stuck.finish == "length"
        assert 60 < len(stuck.tokens) <= 60 + 1.5 * WINDOW
        assert stuck.loops


@pytest.mark.parametrize(
    "tokens",
    [
        SPEECH,
        [*SPEECH[:60], *[7] * 20, *SPEECH[60:]],  # a pause
        SPEECH[:60] * 2,  # something said twice
    ],
)
def test_speech_is_no_loop(tokens: list[int]) -> None:
    assert fed(tokens).finish is None


def test_loops_are_let_be_where_no_window_is_given() -> None:
    assert fed([7] * 300, window=0).finish is None


def test_the_share_of_repeats() -> None:
    assert repeated([]) == repeated([1, 2]) == repeated(list(range(50))) == 0
    assert repeated([1, 2, 3, 4] * 2) == pytest.approx(1 / 5)
    assert repeated([5] * 100) > 0.98

"""The way through a text: found again in attention that follows it."""

from __future__ import annotations

import numpy as np
import pytest

from llasa.tts.reading import audible, reading_path, times_in_proportion, times_of_path

OFFSETS = (0, 1, 3)


def attention(path: np.ndarray, tokens: int, noise: float = 0.0) -> np.ndarray:
    """What heads see that look `OFFSETS` tokens past a path."""
    rng = np.random.default_rng(0)
    seen = noise * rng.random((len(OFFSETS), len(path), tokens))
    for head, offset in enumerate(OFFSETS):
        seen[head, np.arange(len(path)), np.minimum(path + offset, tokens - 1)] += 1
    return seen / seen.sum(-1, keepdims=True)


def way(tokens: int, seed: int) -> np.ndarray:
    """A way through a text, of two to six codes a token."""
    rng = np.random.default_rng(seed)
    return np.repeat(np.arange(tokens), rng.integers(2, 7, tokens))


@pytest.mark.parametrize("seed", range(5))
def test_a_path_is_found_again(seed: int) -> None:
    path = way(30, seed)
    found = reading_path(attention(path, 30, noise=0.02), OFFSETS, ended=True)
    assert (np.diff(found) >= 0).all()
    assert np.abs(found - path).max() <= 1
    assert (found == path).mean() > 0.95


def test_speech_that_was_cut_off_ends_where_it_was_read() -> None:
    path = way(30, 1)[:60]
    seen = attention(path, 30)
    assert reading_path(seen, OFFSETS, ended=False)[-1] == path[-1]
    assert reading_path(seen, OFFSETS, ended=True)[-1] == 29


def test_more_text_than_codes() -> None:
    seen = np.full((1, 3, 40), 1 / 40)
    path = reading_path(seen, [0], ended=True)  # the end is out of reach
    assert (np.diff(path) >= 0).all()
    assert len(path) == 3
    assert reading_path(np.ones((1, 1, 1)), [0], ended=True).tolist() == [0]


def test_times_of_characters() -> None:
    path = np.array([0, 0, 1, 1, 1, 1, 3])
    times = times_of_path(path, [(0, 0), (0, 2), (2, 3), (3, 4), (4, 5)], 5, second=50)
    assert times[0].tolist() == pytest.approx([0.04, 0.08])
    assert times[1].tolist() == pytest.approx([0.08, 0.12])
    assert times[2].tolist() == pytest.approx([0.12, 0.12])  # passed in no time
    assert times[3].tolist() == pytest.approx([0.12, 0.14])
    assert np.isnan(times[4]).all()


def test_bytes_of_one_letter_count_together() -> None:
    times = times_of_path(np.array([0, 1, 1]), [(0, 1), (0, 1)], 1, second=10)
    assert times.tolist() == [[0.0, pytest.approx(0.3)]]


def test_proportion() -> None:
    times = times_in_proportion("ab, cd.", 1.0, 3.0)
    assert times[0, 0] == 1.0
    assert times[5, 1] == pytest.approx(3.0)  # the last mark is not heard
    assert (times[:6, 1] - times[:6, 0])[[0, 1, 4, 5]] == pytest.approx(times[0, 1] - 1)
    assert times[2, 1] - times[2, 0] > times[0, 1] - times[0, 0]


def test_audible() -> None:
    rate = 16_000
    tone = np.sin(np.arange(rate) / 20).astype(np.float32)
    quiet = np.random.default_rng(0).normal(0, 1e-4, rate // 2).astype(np.float32)
    sound = np.concatenate([quiet, tone, quiet])
    assert audible(sound, rate) == pytest.approx((0.5, 1.5), abs=0.011)
    assert audible(np.zeros(10, np.float32), rate) == (0.0, 10 / rate)

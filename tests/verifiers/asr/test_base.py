"""Long clips are cut, and their transcripts joined."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from llasa.verifiers.asr.base import Transcript, in_pieces, pieces


def test_a_long_clip_is_cut_where_it_is_quiet() -> None:
    clip = np.ones(50 * 16_000, np.float32)
    clip[15 * 16_000 : 15 * 16_000 + 640] = 0
    found = pieces(clip, 20.0)
    assert np.array_equal(np.concatenate(found), clip)
    assert max(map(len, found)) <= 20 * 16_000
    assert len(found[0]) == pytest.approx(15 * 16_000, abs=640)


def test_pieces_are_joined_again() -> None:
    def count(clips: Sequence[NDArray[np.float32]]) -> list[Transcript]:
        return [Transcript(str(len(clip)), -float(len(clip))) for clip in clips]

    short, long = np.ones(16_000, np.float32), np.ones(3 * 16_000, np.float32)
    found = in_pieces([short, long], 2.0, count)
    assert found[0] == Transcript("16000", -16_000.0)
    assert sum(map(int, found[1].text.split())) == len(long)
    assert found[1].logprob == pytest.approx(-len(long) / len(found[1].text.split()))


def test_a_transcript_is_complete_if_all_of_its_pieces_are() -> None:
    def transcribe(clips: Sequence[NDArray[np.float32]]) -> list[Transcript]:
        return [Transcript("a", 0.0, complete=number != 1) for number, _ in enumerate(clips)]

    short, long = np.ones(16_000, np.float32), np.ones(3 * 16_000, np.float32)
    assert [heard.complete for heard in in_pieces([long, short], 2.0, transcribe)] == [False, True]

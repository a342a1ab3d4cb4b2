"""Error counts against jiwer, and the cutting of long clips."""

from __future__ import annotations

import jiwer
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llasa.verifiers.asr.base import APART, Transcript, differences, errors, in_pieces, pieces
from llasa.verifiers.models import BATCH, in_groups

WORDS = st.lists(st.sampled_from("abcd"), max_size=8)


@given(wanted=WORDS.filter(bool), heard=WORDS)
def test_errors_are_those_that_jiwer_counts(wanted: list[str], heard: list[str]) -> None:
    theirs = jiwer.process_words(" ".join(wanted), " ".join(heard))
    count = theirs.substitutions + theirs.deletions + theirs.insertions
    assert errors(wanted, heard) == count


@given(wanted=WORDS, heard=WORDS)
def test_partial_errors_are_the_fewest_over_all_prefixes(
    wanted: list[str], heard: list[str]
) -> None:
    prefixes = [wanted[:count] for count in range(len(wanted) + 1)]
    assert errors(wanted, heard, partial=True) == min(errors(p, heard) for p in prefixes)


@pytest.mark.parametrize(
    ("wanted", "heard", "count"),
    [
        ("call the f b i now", "call the fbi now", 0),
        ("call the fbi now", "call the f b i now", 0),
        ("call the f b i", "call the f bi", 0),
        ("call the f b i", "call the fba", 3),
        ("apart from a part", "a part from apart", 0),
        ("a b c", "ab d c", 1),
        ("wi fi is here", "the wifi was here", 2),
        ("ha ha ha ha", "haha ha ha", 0),
        ("2 2 2", "22 2", 0),
        ("it takes 10 minutes for you to eat", "it takes 10 min 4 you 2 eat", 0),
        ("to day is for ever", "today is forever", 0),
        ("x " * APART, "x" * APART, 0),
        ("x " * (APART + 1), "x" * (APART + 1), APART + 1),
    ],
)
def test_where_words_are_parted_does_not_count(wanted: str, heard: str, count: int) -> None:
    assert errors(wanted.split(), heard.split()) == count
    assert bool(differences(wanted.split(), heard.split())) == bool(count)


UNITS = st.lists(st.sampled_from(["a", "b", "ab", "ba", "for", "4"]), max_size=7)


@given(wanted=UNITS, heard=UNITS, partial=st.booleans())
def test_differences_are_the_errors_that_are_counted(
    wanted: list[str], heard: list[str], partial: bool
) -> None:
    found = differences(wanted, heard, partial)
    most = sum(max(len(d.wanted), len(d.heard)) for d in found)
    assert most == errors(wanted, heard, partial)
    assert all(wanted[d.place : d.place + len(d.wanted)] == d.wanted for d in found)
    assert [d.place for d in found] == sorted({d.place for d in found})


def test_neighbours_are_one_difference() -> None:
    wanted = ["the", "fox", "jumps", "over", "it"]
    heard = ["a", "wolf", "jumps", "it", "so"]
    assert differences(wanted, heard) == [
        (0, ["the", "fox"], ["a", "wolf"]),
        (3, ["over"], []),
        (5, [], ["so"]),
    ]


def test_parted_words_in_what_has_been_said_so_far() -> None:
    wanted = ["the", "f", "b", "i", "called"]
    assert errors(wanted, ["the", "fbi"], partial=True) == 0
    assert errors(wanted, ["the", "fba"], partial=True) == 1


def test_a_long_clip_is_cut_where_it_is_quiet() -> None:
    clip = np.ones(50 * 16_000, np.float32)
    clip[15 * 16_000 : 15 * 16_000 + 640] = 0
    found = pieces(clip, 20.0)
    assert np.array_equal(np.concatenate(found), clip)
    assert max(map(len, found)) <= 20 * 16_000
    assert len(found[0]) == pytest.approx(15 * 16_000, abs=640)


def test_pieces_are_joined_again() -> None:
    def count(clips: list[np.ndarray]) -> list[Transcript]:
        return [Transcript(str(len(clip)), -float(len(clip))) for clip in clips]

    short, long = np.ones(16_000, np.float32), np.ones(3 * 16_000, np.float32)
    found = in_pieces([short, long], 2.0, count)
    assert found[0] == Transcript("16000", -16_000.0)
    assert sum(map(int, found[1].text.split())) == len(long)
    assert found[1].logprob == pytest.approx(-len(long) / len(found[1].text.split()))


def test_groups_share_a_key() -> None:
    seen: list[list[int]] = []

    def run(clips: list[np.ndarray]) -> list[int]:
        seen.append([len(clip) for clip in clips])
        return [10 * len(clip) for clip in clips]

    clips = [np.zeros(length, np.float32) for length in (3, 5, *[3] * BATCH)]
    assert in_groups(clips, len, run) == [10 * len(clip) for clip in clips]
    assert seen == [[3] * BATCH, [3], [5]]

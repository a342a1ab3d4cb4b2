"""Error counts against jiwer, and where the errors are."""

from __future__ import annotations

import jiwer
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llasa.verifiers.asr.word_errors import APART, differences, errors

WORDS = st.lists(st.sampled_from("abcd"), max_size=8)


@settings(deadline=None)
@given(wanted=WORDS.filter(bool), heard=WORDS)
def test_errors_are_those_that_jiwer_counts(wanted: list[str], heard: list[str]) -> None:
    theirs = jiwer.process_words(" ".join(wanted), " ".join(heard))
    count = theirs.substitutions + theirs.deletions + theirs.insertions
    assert errors(wanted, heard) == count


@settings(deadline=None)
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


@settings(deadline=None)
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

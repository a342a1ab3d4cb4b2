"""Text that remembers where its characters come from."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from llasa.text.traced import Traced, join


def test_replacements_stand_for_what_they_replace() -> None:
    text = Traced.of("It is 5pm now", offset=100).sub(re.compile(r"5pm"), lambda _: "five PM")
    assert text.text == "It is five PM now"
    assert text[6:13].span == (106, 109)
    assert text[14:].span == (110, 113)
    assert text.strip() == text
    assert text.span == (100, 113)


def test_what_stays_is_traced_letter_by_letter() -> None:
    text = Traced.of("walking").sub(re.compile("walking"), lambda _: "walked")
    assert text[:4].span == (0, 4)
    assert text[4:].span == (4, 7)


def test_what_is_added_stands_for_its_neighbour() -> None:
    assert Traced.of("ab").edit([(1, 1, "-")])[1:2].span == (1, 2)
    assert Traced.of("ab").edit([(2, 2, "!")])[2:].span == (1, 2)


def test_joined_texts() -> None:
    one, two = Traced.of("a b")[:1], Traced.of("a b")[2:]
    assert join([one, two], " ").text == "a b"
    assert join([one, two], ", ")[1:3].span == (1, 2)


@given(st.text(max_size=30), st.sampled_from([r"\s+", r"\w", r"[ab]+", r"\b", "."]))
def test_as_the_library_replaces(text: str, pattern: str) -> None:
    new = Traced.of(text).sub(re.compile(pattern), lambda match: match[0].upper() + "!")
    assert new.text == re.sub(pattern, lambda match: match[0].upper() + "!", text)
    assert len(new.text) == len(new.starts) == len(new.stops)
    assert (
        all(0 <= a < b <= len(text) for a, b in zip(new.starts, new.stops, strict=True)) or not text
    )

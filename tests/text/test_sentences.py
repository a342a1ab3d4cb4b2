"""Sentences and chunks."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llasa.base.errors import LlasaError
from llasa.text.sentences import (
    CHUNK_CHARS,
    LONGEST_SILENCE,
    PATIENCE,
    chunk_places,
    find_sentences,
    pause_after,
    split_sentences,
)


def chunk_text(text: str, most: int = CHUNK_CHARS) -> list[str]:
    chunks = (text[start:stop].strip() for start, stop in chunk_places(text, most))
    return [chunk for chunk in chunks if chunk]


any_text = st.text(st.characters(codec="utf-8"), max_size=400)
prose = st.lists(
    st.sampled_from(["a", "word", "Dr.", "end.", "well,", "你好。", "3.14", "«no»", "why?!", "é"]),
    max_size=120,
).map(" ".join)


@pytest.mark.parametrize(
    "sentences",
    [
        ["Dr. Smith paid $3.50 to J. S. Bach.", "He left at 5 p.m.", "Then what?", "Go on!"],
        ['"Stop!" he said.', '"Go."', "She went (at last).", "“Really?”", "Yes."],
        ["Wait... what?", "Well… maybe.", "I see…", "Yes."],
        ["See Fig. 3 and No. 5, e.g. this one, or ca. 7.", "No.", "I won't.", "So did I.", "Ok."],
        ["The U.S. army left in 1990.", "Prices rose 3.5 percent.", "Smith Inc. bought it."],
        ["1. Open the box.", "2. Close it."],
        ["Am 3. Mai kam er, z.B. mit Hr. Meier.", "Dann ging er."],
        ["hello there.", "how are you?", "fine."],
        ["No stop at the end"],
        ["What?!", "No!!!", "Yes."],
    ],
)
def test_sentences(sentences: list[str]) -> None:
    assert split_sentences(" ".join(sentences)) == sentences
    assert split_sentences("\n ".join(sentences)) == sentences


def test_chinese_sentences() -> None:
    assert split_sentences("你好。世界！真的吗？「好。」他说") == [
        *("你好。", "世界！", "真的吗？", "「好。」", "他说")
    ]
    assert split_sentences(" ") == []


@given(st.one_of(prose, any_text))
def test_sentences_lose_nothing(text: str) -> None:
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())


@pytest.mark.parametrize(("length", "count"), [(1, 1), (100, 1), (101, 2), (200, 2), (201, 3)])
def test_chunk_count_is_the_papers(length: int, count: int) -> None:
    assert len(chunk_text("x" * length)) == count
    words = ("word " * 100)[:length].strip()
    assert len(chunk_text(words)) == math.ceil(len(words) / 100)


def test_chunks_end_at_the_nearest_punctuation() -> None:
    text = (
        "It was the best of times, it was the worst of times, it was the age of wisdom, it was the "
        "age of foolishness, it was the epoch of belief, it was the epoch of incredulity."
    )
    first, second = chunk_text(text)
    assert first.endswith("wisdom,")
    assert second.startswith("it was the age of foolishness")
    decimal = "The value of pi is about 3.14159 and that of e is 2.71828 and both of them go on so."
    assert all(chunk.count(".") for chunk in chunk_text(decimal, 50))
    assert chunk_text("你好，世界，" * 20) == ["你好，世界，" * 10] * 2
    combining = "e\u0301" * 100
    assert all(chunk[0] == "e" for chunk in chunk_text(combining))


@given(st.one_of(prose, any_text), st.integers(1, 120))
def test_chunks_lose_nothing_and_stay_near_the_size(text: str, size: int) -> None:
    chunks = chunk_text(text, size)
    assert "".join("".join(chunks).split()) == "".join(text.split())
    assert all(chunk == chunk.strip() != "" for chunk in chunks)
    assert len(chunks) <= math.ceil(len(text.strip()) / size)
    assert chunk_text(text, 10_000) == ([text.strip()] if text.strip() else [])


def test_chunks_of_a_book_are_quick() -> None:
    chunks = chunk_text("Some words, and more of them. " * 20_000)
    assert len(chunks) == 6000
    assert max(map(len, chunks)) < 160


def test_bad_chunk_size() -> None:
    with pytest.raises(LlasaError, match="1 or more"):
        chunk_text("a", 0)


def test_pauses_that_are_asked_for() -> None:
    """They end a part, and stay within a limit."""

    def silences(text: str) -> list[tuple[str, float]]:
        found = find_sentences(text, 0, len(text), final=True)
        return [(text[s.start : s.stop].strip(), s.silence) for s in found]

    assert silences("One [pause 500ms] two.") == [("One", 0.5), ("two.", 0)]
    assert silences("One.[pause 1.5s]Two.[pause]") == [("One.", 1.5), ("Two.", 0.5)]
    assert silences('A <break time="250ms"/> b') == [("A", 0.25), ("b", 0)]
    assert silences("A <break time='2 s'></break> b <break strength=\"strong\"/> c <break/> d") == [
        *(("A", 2), ("b", 0.8), ("c", 0.5), ("d", 0))
    ]
    assert silences("A [pause 3600s] b") == [("A", LONGEST_SILENCE), ("b", 0)]
    assert silences("[pausing] <breaking>") == [("[pausing] <breaking>", 0)]


def test_what_never_ends_is_cut() -> None:
    endless = "word " * 200
    first = split_sentences(endless)[0]
    assert PATIENCE // 2 < len(first) <= PATIENCE
    assert len(split_sentences("a" * 5000)) > 10


def test_pauses() -> None:
    assert pause_after("Yes.”") == pause_after("好。") > pause_after("yes;") > pause_after("yes,")
    assert pause_after("yes,") > pause_after("yes") > 0

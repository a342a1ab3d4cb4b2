"""Cleaning, sentences and chunks."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llasa.errors import LlasaError
from llasa.text import (
    chunk_text,
    clean_text,
    pause_after,
    spans,
    split_sentences,
    split_text,
    stream_sentences,
    unquoted,
)

any_text = st.text(st.characters(codec="utf-8"), max_size=400)
prose = st.lists(
    st.sampled_from(["a", "word", "Dr.", "end.", "well,", "你好。", "3.14", "«no»", "why?!", "é"]),
    max_size=120,
).map(" ".join)


@pytest.mark.parametrize(
    ("given_text", "clean"),
    [
        ("  Hello,\t\n world. ", "Hello, world."),
        ("a\x00b\x07c\u200bd\ufeff", "abcd"),
        ("re\u0301sume\u0301", "résumé"),
        ("20 °C, ©, ½ and ㎏", "20 °C, ©, ½ and ㎏"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("a\u2028b\u00a0c", "a b c"),
        ("lone \ud800 half", "lone half"),
    ],
)
def test_clean(given_text: str, clean: str) -> None:
    assert clean_text(given_text).text == clean


@pytest.mark.parametrize("picture", ["😀", "👩\u200d👩\u200d👧", "👍🏽", "🇩🇪", "☃\ufe0f"])
def test_pictures_are_dropped_with_a_warning(picture: str) -> None:
    text, warnings = clean_text(f"Hi {picture} there")
    assert text == "Hi there"
    assert len(warnings) == 1
    assert warnings[0].startswith("Dropped")
    assert clean_text("Key 1\ufe0f\u20e3").text == "Key 1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (" \n\t", "is empty"),
        ("...!", "no letter or digit"),
        ("😀", "no letter or digit"),
        ("\x00\x01", "no letter or digit"),
        ("a" * 20_001, "20,001 characters and at most 20,000"),
        (5, "must be a string, not int"),
        (None, "must be a string"),
        (b"a", "must be a string, not bytes"),
    ],
)
def test_refused(text: object, message: str) -> None:
    with pytest.raises(LlasaError, match=message):
        clean_text(text)  # type: ignore[arg-type]


@given(any_text)
def test_cleaning_twice_changes_nothing(text: str) -> None:
    try:
        clean, _ = clean_text(text)
    except LlasaError:
        return
    assert clean_text(clean) == (clean, [])
    assert clean == " ".join(clean.split())


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


@given(
    st.text(st.sampled_from("ab .,!?X。,字"), max_size=400), st.integers(5, 120), st.integers(1, 50)
)
def test_split_text_loses_nothing(text: str, limit: int, enough: int) -> None:
    parts = split_text(text, limit, enough)
    assert "".join("".join(parts).split()) == "".join(text.split())
    assert all(part == part.strip() and part for part in parts)
    assert len(parts) < 2 or all(any(char.isalnum() for char in part) for part in parts)
    if text.isalnum():
        assert all(len(part) <= 2 * limit for part in parts)


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("Say 'hand' for 'worker'.", "Say hand for worker."),
        ('"Ma\'am," said Elinor, "don\'t."', "Ma'am, said Elinor, don't."),
        ("“Yes,” she said; ‘no’, it’s „so“.", "Yes, she said; no, it’s so."),
        ("the boys' toys; rock'n'roll in the '90s", None),
        ("The '90s and the boys' toys.", None),
        ("Get 'em, the dogs' owner.", None),
        ("'Tis 'I am' said.", "'Tis I am said."),
        ("He said“hi”there.", "He said hi there."),
        ("'I am here.", "I am here."),
        ("‘I am.", "I am."),
        ("We stage 'Othello.'", "We stage Othello."),
        ('"', '"'),
    ],
)
def test_unquoted(text: str, bare: str | None) -> None:
    assert unquoted(text) == (text if bare is None else bare)


def test_split_text() -> None:
    assert split_text("Hi. I am a fox. And you?", 16) == ["Hi. I am a fox.", "And you?"]
    assert split_text("Hi. I am a fox. And you?", 24, 8) == ["Hi. I am a fox.", "And you?"]
    assert split_text("I am a fox. Hi. And you?", 16, 8) == ["I am a fox. Hi.", "And you?"]
    assert split_text("I am a fox. And you?", 20) == ["I am a fox. And you?"]
    assert split_text("I am a fox. And, well, you?", 11, 2) == ["I am a fox.", "And, well,", "you?"]
    assert split_text("... Hi! - ?", 3) == ["... Hi! - ?"]
    assert split_text("", 10) == []
    chinese = "今天天气很好。我们去公园。"
    assert split_text(chinese, 30) == ["今天天气很好。", "我们去公园。"]
    assert split_text(chinese, 100) == [chinese]


def test_sentences_of_a_text_that_arrives() -> None:
    """Each as soon as the next one begins, however the text is cut."""
    text = "Dr. Smith came. He saw 3.5 cats! 你好。再见。\n\nA title\n\nThe end"
    sentences = ["Dr. Smith came.", "He saw 3.5 cats!", "你好。", "再见。", "A title", "The end"]
    for size in (1, 2, 5, 100):
        pieces = [text[i : i + size] for i in range(0, len(text), size)]
        assert list(stream_sentences(pieces)) == sentences
    read: list[str] = []

    def fragments() -> Iterator[str]:
        for piece in ("One. ", "T", "wo. ", "Three"):
            read.append(piece)
            yield piece

    arriving = stream_sentences(fragments())
    assert next(arriving) == "One."
    assert read == ["One. ", "T"]
    endless = stream_sentences(["word "] * 200)
    assert 50 < len(next(endless)) < 150
    assert list(stream_sentences([])) == []
    with pytest.raises(LlasaError, match="strings, not int"):
        list(stream_sentences([5]))  # type: ignore[list-item]


@given(st.lists(prose, max_size=4))
def test_a_text_that_arrives_loses_nothing(pieces: list[str]) -> None:
    assert "".join("".join(stream_sentences(pieces)).split()) == "".join("".join(pieces).split())


def test_pauses_and_places() -> None:
    assert pause_after("Yes.”") == pause_after("好。") > pause_after("yes;") > pause_after("yes,")
    assert pause_after("yes,") > pause_after("yes") > 0
    assert spans("A b.  C d, e", ["A b.", "C d,", "e"]) == [(0, 4), (6, 10), (11, 12)]


@given(prose, st.integers(20, 120))
def test_places_hold_the_parts(text: str, limit: int) -> None:
    text = " ".join(text.split())
    parts = split_text(text, limit)
    for part, (start, stop) in zip(parts, spans(text, parts), strict=True):
        assert text[start:stop].split() == part.split() or "。" in part

"""Words are where their writer sees them, however they are said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llasa.base.errors import LlasaError
from llasa.text import PLAIN, Lexicon, Reading, read_text
from llasa.text.form import Form
from llasa.text.words import spoken_words


def found(text: str, form: Form = PLAIN, **reading: object) -> list[tuple[str, str]]:
    """Each word as it is written and as the model is given it."""
    passages = read_text(text, Reading(**reading), form, 100, 0)  # type: ignore[arg-type]
    return [
        (text[slice(*word.span)], passage.given[word.first : word.stop])
        for passage in passages
        for word in spoken_words(text, passage)
    ]


def test_marks_are_no_part_of_a_word() -> None:
    assert found('"Well," she said (twice), "I can\'t!"') == [
        ("Well", "Well"),
        ("she", "she"),
        ("said", "said"),
        ("twice", "twice"),
        ("I", "I"),
        ("can't", "can't"),
    ]


@pytest.mark.parametrize(
    ("text", "word", "said"),
    [
        ("It costs $5.50 now.", "$5.50", "five dollars and fifty cents"),
        ("It is 3 km away.", "3 km", "three kilometers"),
        ("Ask the FBI about it.", "FBI", "eff bee eye"),
        ("Ask Dr. Who.", "Dr.", "doctor"),
        ("A well-known man.", "well-known", "well known"),
        ("Café olé!", "Café", "cafe"),
    ],
)
def test_what_is_said_otherwise_is_one_word(text: str, word: str, said: str) -> None:
    (own,) = [given for written, given in found(text) if written == word]
    assert own.lower() == said


def test_a_letter_that_is_spelled_is_a_word_beside_any_mark() -> None:
    assert found("—.C") == [("—.C", "See")]
    assert found("- C D") == [("C", "See"), ("D", "dee")]


def test_markup_is_no_part_of_a_word() -> None:
    text = "**Read** the [manual](http://example.com/a) _now_."
    words = [word for word, _ in found(text, format_in="markdown")]
    assert words == ["Read", "the", "manual", "now"]


def test_respelled_words_are_shown_as_written() -> None:
    words = found("Siobhan sings.", lexicon=Lexicon({"Siobhan": "shivawn"}))
    assert words == [("Siobhan", "Shivawn"), ("sings", "sings")]


def test_chinese_characters_are_words() -> None:
    assert [word for word, _ in found("你好，世界。", Form())] == list("你好世界")


def test_words_between_dashes_are_two() -> None:
    assert [word for word, _ in found("one—two…three")] == ["one", "two", "three"]


@given(st.text(st.sampled_from("abC 1$.,-'\"’é—*你%\n"), max_size=80))
def test_words_are_in_order_and_apart(text: str) -> None:
    try:
        passages = read_text(text, Reading(), PLAIN, 100, 0)
    except LlasaError:
        return
    for passage in passages:
        words = spoken_words(text, passage)
        assert words
        ends = [0, 0]
        for (start, stop), first, last in words:
            assert ends[0] <= start < stop <= len(text)
            assert ends[1] <= first < last <= len(passage.given)
            ends = [stop, last]

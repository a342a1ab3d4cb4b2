"""Texts as they are written and as they are said."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llasa.errors import LlasaError
from llasa.normalize import normalize_text

pytest.importorskip("num2words")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (
            "I have 3 dogs and 1,234 cats.",
            "I have three dogs and one thousand two hundred thirty-four cats.",
        ),
        ("Pi is 3.14, not -2.", "Pi is three point one four, not minus two."),
        ("Agent 007", "Agent zero zero seven"),
        ("It costs $3.50 or €1.", "It costs three dollars and fifty cents or one euro."),
        (
            "£0.01, $5 million, ¥300, $2.5bn",
            "one penny, five million dollars, three hundred yen, two point five billion dollars",
        ),
        ("On 2024-05-06.", "On May sixth, twenty twenty-four."),
        (
            "On 12/31/1999, at 5:30 p.m.",
            "On December thirty-first, nineteen ninety-nine, at five thirty p.m.",
        ),
        ("May 6, 2005 and 3 Jan.", "May sixth, two thousand five and January third"),
        ("At 5:00, 17:05 or 9:00 am.", "At five o'clock, seventeen oh five or nine am."),
        ("In 1990 and the 1980s.", "In nineteen ninety and the nineteen eighties."),
        ("The 21st of 3rd", "The twenty-first of third"),
        (
            "5 km, 1 kg, 20 °C and 3.5%",
            "five kilometers, one kilogram, twenty degrees Celsius and three point five percent",
        ),
        ("60 mph for 2 h", "sixty miles per hour for two hours"),
        (
            "Dr. Smith met Mr. Jones, e.g. at No. 5.",
            "Doctor Smith met Mister Jones, for example at Number five.",
        ),
        (
            "Apples, etc. Then more, etc. and so on, etc.",
            "Apples, et cetera. Then more, et cetera and so on, et cetera.",
        ),
        ("Tom & Jerry, 5-10 of them, #1", "Tom and Jerry, five to ten of them, number one"),
        ("99999999999999999999", "nine " * 19 + "nine"),
        ("A4 and B52s", "A four and B fifty-two s"),
        ("13/45/2020 and 2020-99-99 and 25:99", None),
        ("No digits, no change.", "No digits, no change."),
    ],
)
def test_english(written: str, said: str | None) -> None:
    result = normalize_text(written)
    if said is not None:
        assert result == said
    assert not any(char.isdigit() for char in result)


def test_titles_keep_their_capital() -> None:
    assert normalize_text("Mr. Bennet") == "Mister Bennet"


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("0123456789 .,:/-$€%°CkgmstndrhMay#@&aAp"), max_size=30))
def test_whatever_comes_is_said(text: str) -> None:
    result = normalize_text(text)
    assert not any(char in "0123456789" for char in result)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("num2words", "wetext"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(LlasaError, match=r"package num2words .*: run pip install .*normalize\]"):
        normalize_text("5")
    with pytest.raises(LlasaError, match=r"package wetext .*: run pip install .*normalize-zh\]"):
        normalize_text("今天5度")


def test_chinese() -> None:
    pytest.importorskip("wetext")
    assert normalize_text("今天是5度。") == "今天是五度。"

"""One form for words, however they are typed, said or written by a recogniser."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from llasa.verifiers.asr.word_errors import errors

pytest.importorskip("whisper_normalizer")
from llasa.verifiers.asr.words import EnglishWords

RECIPE = Path(__file__).parents[3] / "recipes" / "search"


@cache
def form(text: str) -> list[str]:
    return _words(text).split()


_words = EnglishWords()

ALIKE = {
    "phone": [
        ("five five five, zero one seven three", "555-0173", "555 0173", "5550173", "555.0173"),
        ("five five five zero one seven three", "555-0173"),
        ("four one five, five five five, zero one two six", "(415) 555-0126", "415-555-0126"),
        ("one, eight hundred, five five five, zero one nine nine", "1-800-555-0199"),
        ("one eight hundred, five five five, zero one nine nine", "1 800 555 0199"),
        ("extension forty two", "ext. 42", "extension 42"),
    ],
    "time": [
        ("five thirty p m", "5:30pm", "5:30 PM", "5:30 p.m.", "530 P.M."),
        ("nine oh five a m", "9:05 AM", "9.05 a.m."),
        ("nine a m to five p m", "9am–5pm", "9 AM to 5 PM", "9:00 AM - 5:00 PM"),
        ("seventeen forty five", "17:45"),
        ("nine o'clock", "9 o'clock", "9 o’clock", "9:00"),
        ("twenty four seven", "24/7"),
        ("March fifth, twenty twenty six", "March 5, 2026", "March 5th, 2026", "Mar. 5, 2026"),
        ("on February twenty ninth, nineteen ninety six", "on Feb. 29, 1996"),
        ("December twenty fourth to twenty sixth", "Dec. 24–26", "December 24th to 26th"),
        ("the eighteen nineties", "the 1890s"),
    ],
    "price": [
        ("three dollars and fifty cents", "$3.50"),
        ("one thousand two hundred thirty four dollars and fifty six cents", "$1,234.56"),
        ("seven pounds and twenty five pence", "£7.25"),
        ("twenty euros", "20€", "€20", "€20.00"),
        ("one point two million dollars", "$1.2M", "$1.2 million"),
        ("five to ten dollars", "$5-10", "$5 to $10", "$5-$10"),
        ("minus five dollars", "-$5"),
        ("ninety nine cents", "99¢", "$0.99", "99 cents"),
        ("twenty U S dollars", "US$20", "20 U.S. dollars"),
    ],
    "number": [
        ("ten to fourteen", "10–14", "10-14", "10 to 14"),
        ("one hundred one", "101", "a hundred and one", "one oh one"),
        ("two thousand five hundred", "2,500", "2500", "twenty five hundred"),
        ("minus five degrees Celsius", "-5°C", "-5 degrees Celsius", "minus 5 °C"),
        ("one half cup", "1/2 cup", "½ cup"),
        ("two and a half cups", "2½ cups", "2 ½ cups", "2 1/2 cups", "2.5 cups"),
        ("three quarters", "3/4", "¾"),
        ("sixty miles per hour", "60 mph", "60 miles per hour"),
        ("one teaspoon", "1 tsp", "1 teaspoon"),
        ("sixteen gigabytes", "16 GB", "16GB"),
        ("ten k", "10k", "10K"),
        ("zero point five percent", "0.5%"),
        ("number five", "#5", "No. 5"),
    ],
    "address": [
        ("Willow Road, Boise, Idaho, eight three seven zero two", "Willow Rd., Boise, ID 83702"),
        ("fourteen twenty eight Willow Road", "1428 Willow Rd."),
        ("eight ninety North Third Street", "890 N. 3rd St.", "890 N 3rd Street"),
        ("Forty seven Elm Drive", "47 Elm Dr."),
        ("Saint Mary's Lane", "St. Mary’s Ln."),
        ("apartment three C", "Apt. 3C"),
    ],
    "code": [
        ("jane dot doe at example dot com", "jane.doe@example.com"),
        ("example dot com slash help", "example.com/help"),
        ("W W W dot example dot com", "www.example.com"),
        ("version one point two point three", "version 1.2.3", "v1.2.3"),
        ("one ninety two dot one sixty eight dot zero dot one", "192.168.0.1"),
        ("C plus plus and C sharp", "C++ and C#"),
        ("user I D", "user_id", "userID"),
        ("Control C", "Ctrl+C", "Ctrl-C"),
        ("two plus two equals four", "2 + 2 = 4"),
        ("hashtag build in public", "#buildinpublic"),
        ("at Nina B", "@nina_b"),
    ],
    "name": [
        ("Henry the eighth", "Henry VIII", "Henry the 8th"),
        ("World War Two", "World War II", "World War 2"),
        ("chapter four", "Chapter IV", "Chapter 4"),
        ("missus O'Hara and doctor Smith", "Mrs. O’Hara and Dr. Smith"),
        ("the F B I", "the FBI", "the F.B.I."),
        ("C E O", "CEO", "C.E.O."),
        ("Wi-Fi", "wifi", "Wi Fi"),
        ("okay", "OK", "Okay."),
    ],
}


@pytest.mark.parametrize("forms", [forms for kind in ALIKE.values() for forms in kind])
def test_one_word_however_it_is_written(forms: tuple[str, ...]) -> None:
    said, *written = map(form, forms)
    assert [errors(said, heard) for heard in written] == [0] * len(written), (said, written)


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("five five five, zero one seven three", "555-0137"),
        ("five five five, zero one seven three", "a NOI"),
        ("five thirty p m", "5:30 AM"),
        ("five thirty p m", "5:13 PM"),
        ("three dollars and fifty cents", "$3.15"),
        ("three point five percent", "35%"),
        ("minus five degrees", "5 degrees"),
        ("five euros", "$5"),
        ("March fifth", "March 15th"),
        ("Henry the eighth", "Henry VII"),
        ("one half cup", "one cup"),
        ("number five", "five"),
        ("the F B I", "the FBA"),
        ("example dot com", "example"),
        ("the third of them", "three of them"),
        ("sixty miles", "60 mph"),
    ],
)
def test_other_words_stay_others(said: str, heard: str) -> None:
    assert errors(form(said), form(heard)) > 0


def rows(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (RECIPE / name).read_text("utf-8").split("\n") if line]


def test_the_everyday_lists_are_whole_and_share_no_line() -> None:
    report, development = rows("everyday.jsonl"), rows("everyday-dev.jsonl")
    assert len(report) >= 320
    kinds = Counter(row["kind"] for row in report)
    assert len(kinds) == 18
    assert min(kinds.values()) >= 18
    assert {row["kind"] for row in development} == set(kinds)
    texts = [row[key].casefold() for row in report + development for key in ("text", "said")]
    pairs = {(text, number // 2) for number, text in enumerate(texts)}
    assert len({text for text, _ in pairs}) == len(pairs)
    for row in report + development:
        assert set(row) == {"id", "kind", "text", "said"}
        assert not set(row["said"]) & set('0123456789$€£%@#&_/<>+=*\n"“”’–—…()[]'), row["said"]


@pytest.mark.parametrize("name", ["everyday.jsonl", "everyday-dev.jsonl"])
def test_typed_lines_read_as_what_is_said(name: str) -> None:
    """What a recogniser would write for perfect speech hardly counts as wrong.

    Abbreviations that no recogniser writes (brb, Thu) and asides in brackets are what is left.
    """
    pairs = [(form(row["said"]), form(row["text"])) for row in rows(name)]
    wrong = sum(errors(said, typed) for said, typed in pairs)
    assert wrong / sum(len(said) for said, _ in pairs) < 0.03
    for said, _ in pairs:
        assert errors(said, form(" ".join(said))) == 0, said

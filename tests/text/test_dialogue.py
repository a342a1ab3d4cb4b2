"""Who says what in a script."""

from __future__ import annotations

import re

import pytest

from llasa.base.errors import LlasaError
from llasa.text.dialogue import read_dialogue, speaker_key

SPEAKERS = {"anna", "ben"}


def turns(text: str, others: set[str] = frozenset()) -> list[tuple[str, str]]:  # type: ignore[assignment]
    """Who says what, and that all else stays where it is."""
    read, found = read_dialogue(text, SPEAKERS, others)
    assert len(read) == len(text)
    assert all(a in (b, "\n") for a, b in zip(read, text, strict=True))
    ends = [*(turn.start for turn in found[1:]), len(text)]
    spoken = (read[turn.start : end] for turn, end in zip(found, ends, strict=True))
    return [
        (turn.speaker, " ".join(said.split())) for turn, said in zip(found, spoken, strict=True)
    ]


@pytest.mark.parametrize(
    "label",
    [
        *("ANNA:", "anna: ", "  Anna:  ", "**Anna:** ", "__Anna__: ", "*Anna*:", "Anna："),
        "ANNA:\n",
        *("\ufeffANNA:", "\rANNA:", "\u2028ANNA:", "ANNA (softly):", "**ANNA** (turns, asks):"),
        *("**Anna (softly):** ", "**Anna：**", "Anna（轻声）："),
    ],
)
def test_ways_of_writing_a_name(label: str) -> None:
    assert turns(f"{label} Hello.\r\nBEN: Hi.") == [("anna", "Hello."), ("ben", "Hi.")]


def test_what_is_no_name() -> None:
    text = "ANNA: At 10:30: go.\nhttps://a.b\n10: ten\nWe all said this: no.\nSee a:b\nBEN:"
    said = "At 10:30: go. https://a.b 10: ten We all said this: no. See a:b"
    assert turns(text) == [("anna", said), ("ben", "")]
    assert turns("Ben: Hi.\nNote: this.", {"note"}) == [("ben", "Hi. Note: this.")]


def test_text_before_the_first_name_stays() -> None:
    read, found = read_dialogue("A play.\nBen: Hi.", SPEAKERS)
    assert read == "A play.\n\n\n\n\n\nHi."
    assert found[0].start == read.index("Hi")


def test_names_of_all_scripts() -> None:
    cast = {speaker_key("Zoë Müller"), speaker_key("小明")}
    script = "zoe\u0308  MÜLLER: Ja.\n小明：你好。\n小明:再见。\n时间:十点。"
    read, found = read_dialogue(script, cast)
    assert [turn.speaker for turn in found] == ["zoë müller", "小明", "小明"]
    assert read.endswith("时间:十点。")


@pytest.mark.parametrize("name", ["The Old Man by the Sea", "2nd Witch", "Anna & Ben", "M, Jr."])
def test_names_of_the_cast_may_be_longer(name: str) -> None:
    _, found = read_dialogue(f"{name.upper()}: Hi.", {speaker_key(name)})
    assert [turn.speaker for turn in found] == [speaker_key(name)]


def test_unknown_names_are_listed() -> None:
    with pytest.raises(LlasaError, match=re.escape("not have: Zoe, Mr. O'Hara. Give")):
        turns("ANNA: Hi.\nZoe: Hello.\nMr. O'Hara: No.\nZOE: Yes.")
    with pytest.raises(LlasaError, match="Did you mean anna"):
        turns("ANA: Hi.")
    many = "".join(f"Name {'abcdefghijklmnop'[n]}: Hi.\n" for n in range(16))
    with pytest.raises(LlasaError, match="Name j and 6 more"):
        turns(many)
    for text in ("Nobody speaks.", "We all said this together: no."):
        with pytest.raises(LlasaError, match="The text has no turns"):
            turns(text)


@pytest.mark.timeout(60)
def test_long_lines_and_many_are_read_in_no_time() -> None:
    lines = ("A" * 10**6, "a b " * 10**5, "**" * 10**5, " " * 10**6 + ":", "A:" * 10**5)
    for text in (*lines, "\r" * 10**5, "\u2028" * 10**5):
        with pytest.raises(LlasaError):
            turns(text)

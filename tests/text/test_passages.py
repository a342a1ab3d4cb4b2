"""From what people type to what a model is given."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llasa.base.errors import LlasaError
from llasa.text import PLAIN, Form, Lexicon, Passage, Reading, Script, read_text

marked = st.lists(
    st.sampled_from(
        [
            *(
                "word ",
                "Title\n",
                "\n\n",
                "\r\n",
                "- item\n",
                "1. one\n",
                "# Head\n",
                "| a | b |\n",
            ),
            *(
                "end. ",
                "Dr. ",
                "5pm ",
                "[pause 1s] ",
                "😀",
                "“no” ",
                "FBI ",
                "3. Mai ",
                "…",
                "> q\n",
            ),
            *(
                "你好。",
                "**b** ",
                "`c` ",
                "```\nx\n```\n",
                "[a](b) ",
                "<break/>",
                "wait... ",
                "e\u0301",
            ),
        ]
    ),
    max_size=40,
).map("".join)


def passages(text: str, form: Form = PLAIN, enough: int = 10, **reading: Any) -> list[Passage]:
    return read_text(text, Reading(**reading), form, 100, enough)


def given_to(text: str, **reading: Any) -> list[str]:
    return [passage.given for passage in passages(text, **reading)]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Battery low", ["Battery low."]),
        (
            "It’s 5:30pm — call 555-0173",
            ["It's five thirty pee em, call five five five, zero one seven three."],
        ),
        ("Your order number is 48291.", ["Your order number is four eight two nine one."]),
        ("NASA and the FBI.", ["Nasa and the eff bee eye."]),
        ("OK.", ["Okay."]),
        ("well-known 3-day trip", ["Well known three day trip."]),
        (
            "Chapter One\n\nThe Storm\n\nIt was a dark night.",
            ["Chapter One.", "The Storm.", "It was a dark night."],
        ),
        (
            "Shopping list:\n- apples\n- bread\n- milk\n\nCall me later",
            ["Shopping list:", "Apples.", "Bread.", "Milk.", "Call me later."],
        ),
        ("# Title\ntext of it", ["Title.", "Text of it."]),
        ("1. Open the box.\n2. Close it.", ["One. Open the box.", "Two. Close it."]),
        ("| Name | Price |\n|---|---|\n| Tea | $2 |", ["Name, Price.", "Tea, two dollars."]),
        ("Milk\nEggs\nTwo loaves", ["Milk.", "Eggs.", "Two loaves."]),
        (
            "This line is wrapped by a mail program\nand goes on here.",
            ["This line is wrapped by a mail program and goes on here."],
        ),
        ("> A quotation\n> that goes on.", ["A quotation that goes on."]),
        ("- [ ] Buy milk\n- [x] Done", ["Buy milk.", "Done."]),
        ("Hello [pause 1s] world", ["Hello,", "World."]),
    ],
)
def test_what_a_plain_model_is_given(text: str, parts: list[str]) -> None:
    assert given_to(text) == parts


def test_a_long_sentence_is_cut_with_a_comma() -> None:
    text = (
        "The farmer who lived beside the old stone bridge told us that the winter had been the "
        "hardest one that anyone in the valley could remember since the war."
    )
    first, last = passages(text)
    assert first.given.endswith(" the winter had,")
    assert last.given.startswith("Been the hardest")
    assert first.text.endswith(" the winter had")
    assert text[slice(*first.span)] == first.text
    assert first.pause < last.pause


def test_pauses() -> None:
    text = "One sentence. Another one.\n\nA paragraph\n\n# Head\n- item\n- item"
    pauses = [passage.pause for passage in passages(text)]
    sentence, paragraph, *_, heading, item, last = pauses
    assert sentence < item < paragraph < heading
    assert last == paragraph, "the text is over"


def test_silence() -> None:
    script = Script(Reading(), PLAIN, 100, 10)
    text = '[pause 1s]Hello. <break time="2s"/> World [pause 100ms] of foxes. [pause 3s]'
    hello, world, foxes = script.read(text, final=True)
    assert hello.before == 1
    assert hello.pause + world.before == pytest.approx(2)
    assert world.pause + foxes.before == pytest.approx(0.1)
    assert script.tail == 3


def test_what_is_said_and_what_is_shown() -> None:
    text = "Dr. Smith’s FBI file, 😀 p. 5…"
    (part,) = passages(text)
    assert part.given == "Doctor Smith's eff bee eye file, pee. five."
    assert part.text == "Doctor Smith’s FBI file, p. five…"
    assert text[slice(*part.span)] == text
    assert passages(text, form=Form())[0].given == part.text


def test_without_normalization() -> None:
    assert given_to("The FBI has 5 dogs", normalize=False) == ["The eff bee eye has 5 dogs."]


def test_other_languages() -> None:
    assert given_to("Am 3. Mai 2024", language="de") == [
        "Am dritten Mai zweitausendvierundzwanzig."
    ]
    script = Script(Reading(language="it"), PLAIN, 100, 10)
    assert [p.given for p in script.read("Ho 5 cani", final=True)] == ["Ho 5 cani."]
    assert script.warnings[0].startswith("Numbers were left as they are.")


def test_dropped_characters_are_told() -> None:
    script = Script(Reading(), PLAIN, 100, 10)
    list(script.read("Hi 😀.\n\n😀 there", final=True))
    assert script.warnings == ["Dropped 2 characters that cannot be spoken: 😀."]


def test_sentences_together() -> None:
    assert [p.text for p in passages("Hi. I am a fox. And you there?")] == [
        *("Hi. I am a fox.", "And you there?")
    ]
    assert [p.text for p in passages("Hi. I am a fox.", enough=0)] == ["Hi.", "I am a fox."]
    assert [p.text for p in passages("Hi.\n\nI am a fox.")] == ["Hi.", "I am a fox."]
    assert [p.text for p in passages("... Hi! - ?")] == ["Hi!"]
    assert [p.text for p in passages("今天天气很好。我们去公园。", enough=100)] == [
        "今天天气很好。我们去公园。"
    ]


def test_a_lexicon() -> None:
    lexicon = Lexicon({"Siobhan": "shivawn"})
    assert given_to("Siobhan's here", lexicon=lexicon) == ["Shivawn's here."]
    assert given_to("[Siobhan](shivawn)") == ["Shivawn."]


@settings(deadline=None, max_examples=150)
@given(marked, st.integers(1, 9), st.sampled_from(["text", "markdown"]))
def test_fragments_make_no_difference(text: str, size: int, form: str) -> None:
    reading = Reading(format_in=form)  # type: ignore[arg-type]
    whole = list(Script(reading, PLAIN, 100, 0).read(text, final=True))
    script = Script(reading, PLAIN, 100, 0)
    parts: list[Passage] = []
    for start in range(0, len(text), size):
        parts += script.read(text[start : start + size])
    parts += script.read("", final=True)
    assert parts == whole
    assert script.text == text
    for part in parts:
        start, stop = part.span
        assert 0 <= start < stop <= len(text)


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=200), st.integers(1, 40))
def test_nothing_breaks(text: str, limit: int) -> None:
    for part in read_text(text, Reading(), PLAIN, limit, 10):
        assert any(map(str.isalnum, part.given))
        start, stop = part.span
        assert 0 <= start < stop <= len(text)


def test_sentences_come_as_soon_as_they_are_complete() -> None:
    read: list[str] = []

    def parts(fragments: Iterable[str]) -> Iterable[str]:
        script = Script(Reading(), PLAIN, 100, 0)
        for fragment in fragments:
            read.append(fragment)
            yield from (passage.given for passage in script.read(fragment))

    arriving = iter(parts(["One. ", "T", "wo. ", "Three"]))
    assert next(iter(arriving)) == "One."
    assert read == ["One. ", "T"]
    endless = iter(parts(["word "] * 200))
    assert next(endless).endswith(",")
    with pytest.raises(LlasaError, match="strings, not int"):
        list(Script(Reading(), PLAIN, 100, 0).read(5))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "piece",
    ["12. A line of text\n", ".", "a", "\n", " ", "'a ", "[", "[pause] ", "1-", "# ", "|a", "("],
)
@pytest.mark.slow
def test_time_grows_with_the_text_alone(piece: str) -> None:
    """Four times the text takes no more than eight times as long."""

    def seconds(size: int) -> float:
        text = piece * (size // len(piece)) + " end"
        began = time.process_time()
        list(Script(Reading(), PLAIN, 100, 10).read(text, final=True))
        return time.process_time() - began

    assert seconds(40_000) < 8 * max(seconds(10_000), 0.01)


def test_bad_settings() -> None:
    with pytest.raises(LlasaError, match="1 character or more"):
        Script(Reading(), PLAIN, 0, 10)
    with pytest.raises(LlasaError, match="Did you mean markdown"):
        Reading.of(True, None, "markdwn", None)

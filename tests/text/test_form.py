"""Text in the form that a model has seen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llasa.base.errors import LlasaError
from llasa.text.form import PLAIN, Form

GIVEN = {
    # end marks
    "hello world": "Hello world.",
    "Hi": "Hi.",
    "Hello.": "Hello.",
    "Hello!!": "Hello!",
    "Really?!": "Really?",
    "I see…": "I see.",
    "I see...": "I see.",
    "It goes on —": "It goes on.",
    "It goes on -": "It goes on.",
    "(at last)": "At last.",
    'He said "go"': "He said go.",
    "Dear John,": "Dear John.",
    "Shopping list:": "Shopping list:",
    "你好。": "你好.",
    # typographic marks
    "don’t": "Don't.",
    "It`s Joe´s and Annʼs": "It's Joe's and Ann's.",
    "“Yes,” she said; ‘no’, it’s „so“.": "Yes, she said; no, it's so.",
    "The house—which stood—was empty.": "The house, which stood, was empty.",
    "The house – which stood - was empty.": "The house, which stood, was empty.",
    "Well… maybe.": "Well, maybe.",
    "A (very) old house [sic].": "A, very, old house, sic.",
    "well-known open‑source": "Well known open source.",
    "two- and three-year": "Two and three year.",
    "**bold** `code` _so_": "Bold code so.",
    "a | b / c ~ d": "A bee see dee.",
    "'Tis so, in the '90s": "'Tis so, in the '90s.",
    "I use .NET , always": "I use .net, always.",
    # letters
    "The ﬁrst oﬃcer": "The first officer.",
    "Ｔｈｅ ｆｉｒｓｔ．": "The first.",
    "𝗧𝗵𝗲 𝗳𝗶𝗿𝘀𝘁.": "The first.",
    "café Zürich Łódź straße": "Cafe Zurich Lodz strasse.",
    "Привет": "Привет.",
    # capitals
    "HOW ARE YOU.": "How are you.",
    "WARNING!": "Warning!",
    "The FBI called.": "The eff bee eye called.",
    "Open the PDF on your USB drive.": "Open the pee dee eff on your you ess bee drive.",
    "It's seven forty-five PM": "It's seven forty five pee em.",
    "NASA and the CEO of IBM.": "Nasa and the see ee oh of eye bee em.",
    "GPUs and a PhD": "Gee pee yous and a pee aitch dee.",
    "I'M HERE, DON'T GO": "I'm here, don't go.",
    "FREE PDF FOR YOU": "Free pee dee eff for you.",
    "Press the RED button NOW": "Press the red button now.",
    "My IT team is in the US": "My eye tee team is in the you ess.",
    "A dog and I. Plan B, plan A.": "A dog and I. Plan bee, plan ay.",
    "Is it so? As he said. Us": "Is it so? As he said. Us.",
    "HTTPS XKCD": "Aitch tee tee pee ess ex kay see dee.",
}


typed = st.text(st.sampled_from("abosIABO .,;:!?'’\"“”()-—…*_5é"), max_size=40)


@pytest.mark.parametrize(("written", "seen"), GIVEN.items())
def test_plain(written: str, seen: str) -> None:
    assert PLAIN(written) == seen


@given(st.one_of(st.sampled_from(sorted(GIVEN)), typed), st.booleans())
def test_twice_is_once(text: str, goes_on: bool) -> None:
    seen = PLAIN(text, goes_on)
    assert PLAIN(seen, goes_on) == seen


def test_a_sentence_that_goes_on_gets_a_comma() -> None:
    assert PLAIN("that the winter had", goes_on=True) == "That the winter had,"
    assert PLAIN("as he said;", goes_on=True) == "As he said;"
    assert PLAIN("It ends.", goes_on=True) == "It ends."


@given(st.text(max_size=60))
def test_models_that_read_everything_keep_their_text(text: str) -> None:
    assert Form()(text) == Form()(text, goes_on=True) == text


def test_parts_of_a_form() -> None:
    assert Form(ends=".")("FBI “now”") == "FBI “now”."
    assert Form(capitals=False)("The FBI") == "The eff bee eye"
    assert Form(alphabet='abcdefghijklmnopqrstuvwxyz -"')("A “b”—c-d") == 'A "b" c-d'


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "form must be an object"),
        ({"ends": 1}, "form cannot have ends 1"),
        ({"capitals": "no"}, "form cannot have capitals 'no'"),
        ({"alfabet": ""}, "Did you mean alphabet?"),
    ],
)
def test_bad_forms(values: object, message: str) -> None:
    with pytest.raises(LlasaError, match=message):
        Form.of(values)
    assert Form.of({}) == Form()

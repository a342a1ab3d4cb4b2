"""Characters that can be spoken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llasa.base.errors import LlasaError
from llasa.text.clean import check_text, clean_text

any_text = st.text(st.characters(codec="utf-8"), max_size=400)


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
    assert clean_text(given_text) == clean


@pytest.mark.parametrize("picture", ["😀", "👩\u200d👩\u200d👧", "👍🏽", "🇩🇪", "☃\ufe0f"])
def test_pictures_are_dropped(picture: str) -> None:
    assert clean_text(f"Hi {picture} there") == "Hi there"
    assert clean_text("Key 1\ufe0f\u20e3") == "Key 1"


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
    with pytest.raises(LlasaError, match=message):
        check_text(text)  # type: ignore[arg-type]


@given(any_text)
def test_cleaning_twice_changes_nothing(text: str) -> None:
    try:
        clean = clean_text(text)
    except LlasaError:
        return
    assert clean_text(clean) == clean
    assert clean == " ".join(clean.split())

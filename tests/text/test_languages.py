"""Texts that a model cannot say are refused, and no others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llasa.base.errors import LlasaError
from llasa.text.languages import check_language, language_code

GERMAN = "Guten Tag, mein Name ist Jürgen, und ich komme aus Köln am schönen Rhein, wo es regnet."


def check(text: str, *languages: str, force: bool = False) -> list[str]:
    return check_language(text, "nano", languages or ("en",), force)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Привет, как дела?", "most of the text is in Cyrillic letters"),
        ("你好,世界", "most of the text is in Chinese letters"),
        ("こんにちは", "most of the text is in Hiragana letters"),
        ("My name is Анна Каренина, hello there. " * 3, "the text has many Cyrillic letters"),
        (GERMAN, "the text is German"),
        (GERMAN.upper(), "the text is German"),
        ("Je ne sais pas ce que tu veux dire. " * 3, "the text is French"),
        ("No entiendo lo que quieres decir con eso. " * 2, "the text is Spanish"),
    ],
)
def test_what_english_models_cannot_say(text: str, problem: str) -> None:
    with pytest.raises(LlasaError, match=f"Model nano speaks English only, and {problem}: .*force"):
        check(text)
    (warning,) = check(text, force=True)
    assert problem in warning
    assert check_language(text, "any", (), False) == []


@pytest.mark.parametrize(
    "text",
    [
        "Hello.",
        "12345",
        "Ich bin da.",  # too short to be sure
        "I met Jürgen Müller and François Hollande in Düsseldorf.",
        "We flew to São Paulo with Björk Guðmundsdóttir.",
        "Crème brûlée, coq au vin and pâté de foie gras are on the menu.",
        "Siobhan O'Connor and Rajesh Krishnamurthy work at Deutsche Bank.",
        "We ﬁnally left the oﬃce.",
        "Ｆｕｌｌｗｉｄｔｈ letters",
        "𝐁𝐨𝐥𝐝 letters",
        "a staccato command",
        "Llama llama llama.",
    ],
)
def test_what_they_can(text: str) -> None:
    assert check(text) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Pizza pasta spaghetti carbonara lasagna", "Italian"),
        ("Deutsche Bank AG Frankfurt am Main", "German"),
        ("E = mc²; αβγ δ", "Greek letters"),
        ("My name is Анна Каренина, hello.", "Cyrillic letters"),
    ],
)
def test_short_texts_with_names_are_spoken_with_a_warning(text: str, problem: str) -> None:
    (warning,) = check(text)
    assert problem in warning
    assert warning.endswith("it was spoken all the same.")


def test_codes_of_languages() -> None:
    assert [language_code(c) for c in ("en", "EN", "en-GB", "zh_Hant", "yue", None)] == [
        *("en", "en", "en", "zh", "yue", None)
    ]
    for wrong in ("xx", "eng", "english", "", "e"):
        with pytest.raises(
            LlasaError, match=f"'{wrong}' is not a language: give a code such as en"
        ):
            language_code(wrong)
    with pytest.raises(LlasaError) as error:
        language_code("x" * 10_000)
    assert len(str(error.value)) < 200


def test_a_few_strange_letters_are_named() -> None:
    (warning,) = check("He said привет to the old woman at the corner of the street.")
    assert warning == "Model nano speaks English only and cannot say: привет."


def test_other_models() -> None:
    assert check(GERMAN, "de", "en") == []
    assert check("你好,世界", "en", "zh") == []
    assert check("Привет, как дела? Хорошо.", "ru") == []
    with pytest.raises(LlasaError, match="English and German only, and the text is French"):
        check("Je ne sais pas ce que tu veux dire. " * 3, "en", "de")


def test_only_the_beginning_is_judged() -> None:
    english = "Somebody left a blue umbrella in a hall. " * 60
    assert check(english + GERMAN) == []


def test_real_sentences(speech_data: Path) -> None:
    def texts(name: str) -> list[str]:
        lines = (speech_data / f"{name}.jsonl").read_text().splitlines()
        return [json.loads(line)["text"] for line in lines]

    for name in ("librispeech", "kathleen.test", "kathleen.train"):
        assert [text for text in texts(name) if check(text, force=True)] == []
    german = texts("kerstin.test")
    assert sum(bool(check(text, force=True)) for text in german) >= 0.95 * len(german)

"""Words that are said otherwise than they are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from llasa.base.errors import LlasaError
from llasa.text.lexicon import Lexicon, inline, lexicon_folder, read_lexicon, user_lexicon
from llasa.text.traced import Traced


def said(text: str, **entries: str) -> str:
    return Lexicon(entries).apply(Traced.of(text)).text


def test_words() -> None:
    names = {"Siobhan": "shivawn", "O'Connor": "oh connor", "Deutsche Bank": "doycha bank"}
    text = "Siobhan O’Connor, Siobhan's Deutsche  Bank, Siobhana."
    assert said(text, **names) == "shivawn oh connor, shivawn's doycha bank, Siobhana."
    assert said("SQL and Sql", sql="sequel") == "sequel and sequel"
    assert said("Polish polish", Polish="poe lish") == "poe lish polish"
    assert said("New York City", **{"New York": "en why", "New York City": "gotham"}) == "gotham"


def test_words_with_signs_are_others() -> None:
    assert said("C, C++, C# and c.", c="see") == "see, C++, C# and see."
    assert said("c+d and Disney+", c="see", disney="dizney") == "see+d and dizney+"


def test_the_later_lexicon_counts() -> None:
    def both(first: dict[str, str], then: dict[str, str]) -> str:
        lexicon = Lexicon(first) | Lexicon(then)
        return lexicon.apply(Traced.of("Siobhan siobhan SIOBHAN")).text

    assert both({"Siobhan": "one"}, {"siobhan": "two"}) == "two two two"
    assert both({"siobhan": "one"}, {"Siobhan": "two"}) == "two one one"
    assert both({"Siobhan": "one"}, {"Siobhan": "two"}) == "two siobhan SIOBHAN"
    assert both({"Siobhan": "one"}, {"other": "two"}) == "one siobhan SIOBHAN"


def test_places() -> None:
    text = Lexicon({"Rajesh": "radjesh"}).apply(Traced.of("So Rajesh came"))
    assert text.text == "So radjesh came"
    assert text[3:10].span == (3, 9)


def test_inline() -> None:
    def read(text: str) -> str:
        return inline(Traced.of(text)).text

    assert read("[Siobhan](shivawn) [O'Hara](oh harra)") == "shivawn oh harra"
    assert read("the [guide](https://a.org/b.html) and ![a fox](fox.png)") == "the guide and a fox"
    assert read("[1] (see) a[0](1)") == "[1] (see) a0"


def test_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_text("\ufeff# names\n\nSiobhan = shivawn\r\nDeutsche Bank\tdoycha bank\n")
    assert read_lexicon(path).entries == {"Siobhan": "shivawn", "Deutsche Bank": "doycha bank"}
    monkeypatch.setenv("LLASA_LEXICONS", str(tmp_path))
    (tmp_path / "b.txt").write_text("Siobhan = chevonne\n")
    assert lexicon_folder() == tmp_path
    assert user_lexicon().entries["Siobhan"] == "chevonne", "the later file counts"
    monkeypatch.setenv("LLASA_LEXICONS", str(tmp_path / "none"))
    assert user_lexicon().entries == {}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Siobhan", "line 2: it has no respelling"),
        ("Siobhan =", "line 2: The lexicon has ''"),
        ("C++ = see plus plus", "begin and end with a letter or digit"),
        ("a = " + "b" * 300, "1 to 200 characters"),
    ],
)
def test_bad_lines(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(f"a = b\n{line}\n")
    with pytest.raises(LlasaError, match=message.replace("+", r"\+")):
        read_lexicon(path)
    path.write_bytes(b"\xff")
    with pytest.raises(LlasaError, match="is not UTF-8"):
        read_lexicon(path)
    with pytest.raises(LlasaError, match="does not exist"):
        read_lexicon(tmp_path / "none.txt")

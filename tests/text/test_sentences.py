"""Where sentences end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llasa.text.sentences import LONGEST_SILENCE, find_sentences, pause_after, split_sentences
from llasa.text.splitting import PATIENCE

from .strategies import any_text, prose


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


def test_pauses_that_are_asked_for() -> None:
    """They end a part, and stay within a limit."""

    def silences(text: str) -> list[tuple[str, float]]:
        found = find_sentences(text, 0, len(text), final=True)
        return [(text[s.start : s.stop].strip(), s.silence) for s in found]

    assert silences("One [pause 500ms] two.") == [("One", 0.5), ("two.", 0)]
    assert silences("One.[pause 1.5s]Two.[pause]") == [("One.", 1.5), ("Two.", 0.5)]
    assert silences('A <break time="250ms"/> b') == [("A", 0.25), ("b", 0)]
    assert silences("A <break time='2 s'></break> b <break strength=\"strong\"/> c <break/> d") == [
        *(("A", 2), ("b", 0.8), ("c", 0.5), ("d", 0))
    ]
    assert silences("A [pause 3600s] b") == [("A", LONGEST_SILENCE), ("b", 0)]
    assert silences("[pausing] <breaking>") == [("[pausing] <breaking>", 0)]


def test_what_never_ends_is_cut() -> None:
    endless = "word " * 200
    first = split_sentences(endless)[0]
    assert PATIENCE // 2 < len(first) <= PATIENCE
    assert len(split_sentences("a" * 5000)) > 10


def test_pauses() -> None:
    assert pause_after("Yes.”") == pause_after("好。") > pause_after("yes;") > pause_after("yes,")
    assert pause_after("yes,") > pause_after("yes") > 0

"""Cues that can be read, in the two formats of subtitles."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llasa.base.errors import LlasaError
from llasa.tts.subtitles import LINE, LINES, LONGEST, cues, to_srt, to_vtt, write_timings
from llasa.tts.timing import Timings, Word

LONG = (
    "The captain told the passengers that the ship, which had left the harbour in the morning, "
    "would arrive an hour late because of the storm that had broken out over the northern sea."
)


def words_of(text: str, each: float = 0.4) -> list[Word]:
    """Every word takes as long, and they follow each other at once."""
    found = re.finditer(r"\w[\w'.-]*\w|\w", text)
    return [Word(match[0], n * each, (n + 1) * each, match.span()) for n, match in enumerate(found)]


def shown(text: str) -> list[str]:
    return [cue.text for cue in cues(text, words_of(text))]


def test_a_sentence_has_a_cue_of_its_own() -> None:
    assert shown('"Well," she said. (Not much!) Who? Me…') == [
        '"Well," she said.',
        "(Not much!)",
        "Who?",
        "Me…",
    ]


def test_what_stands_between_words_is_kept() -> None:
    assert shown("one — two—three, and/or “four” **five** €6 7%") == [
        "one — two—three, and/or “four” five €6 7%"
    ]


def test_a_mark_inside_a_word_ends_no_sentence() -> None:
    words = [Word("Dr.", 0, 0.3, (0, 3)), Word("Who", 0.3, 0.6, (4, 7))]
    assert [cue.text for cue in cues("Dr. Who", words)] == ["Dr. Who"]


def test_long_sentences_are_cut_at_marks_and_wrapped() -> None:
    found = cues(LONG, words_of(LONG, each=0.2))
    assert " ".join(cue.text.replace("\n", " ") for cue in found) == LONG
    assert found[0].text.endswith("ship,")
    for cue in found:
        assert len(cue.text.split("\n")) <= LINES
        assert all(len(line) <= LINE for line in cue.text.split("\n"))
        assert cue.end - cue.start <= LONGEST


def test_slow_speech_and_silence_are_cut() -> None:
    text = "a b c d e"
    assert len(cues(text, words_of(text, each=3.0))) == 3
    words = [Word("a", 0, 0.2, (0, 1)), Word("b", 3, 3.2, (2, 3))]
    assert [(cue.text, cue.end) for cue in cues(text, words)] == [("a", 1.0), ("b", 4.0)]


def test_chinese_is_wrapped_between_characters() -> None:
    text = "今天天气很好我们一起去公园散步然后回家吃饭看书写字听音乐聊天睡觉做梦。" * 2
    found = cues(text, [Word(c, n, n + 0.1, (n, n + 1)) for n, c in enumerate(text) if c != "。"])
    assert all(len(line) <= LINE for cue in found for line in cue.text.split("\n"))
    assert "".join(cue.text for cue in found).replace("\n", "") == text


def test_srt() -> None:
    text = "Hi. Tom & I <3."
    words = words_of(text)
    words[-1] = Word(words[-1].text, 3725.0004, 3725.9996, words[-1].span)
    assert to_srt(cues(text, words[-1:])) == "1\n01:02:05,000 --> 01:02:06,000\n3.\n"
    blocks = to_srt(cues(text, words_of(text))).split("\n\n")
    assert blocks[0] == "1\n00:00:00,000 --> 00:00:00,400\nHi."
    assert blocks[1] == "2\n00:00:00,400 --> 00:00:01,600\nTom I 3.\n"


def test_vtt_is_escaped() -> None:
    text = "AT&T."
    found = to_vtt(cues(text, [Word("AT&T", 0, 0.5, (0, 4))]))
    assert found == "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nAT&amp;T.\n"
    assert to_vtt([]) == "WEBVTT\n"


def test_files(tmp_path: Path) -> None:
    timings = Timings(tuple(words_of("Hello there.")), source="attention")
    names = {kind: tmp_path / f"a.{kind}" for kind in ("srt", "vtt", "json")}
    write_timings("Hello there.", timings, **names)
    assert "Hello there." in names["srt"].read_text()
    assert names["vtt"].read_text().startswith("WEBVTT\n")
    told = json.loads(names["json"].read_text())
    assert told["words"][1] == {"word": "there", "start": 0.4, "end": 0.8, "span": [6, 11]}
    assert (told["text"], told["source"]) == ("Hello there.", "attention")
    assert sorted(tmp_path.iterdir()) == sorted(names.values())
    with pytest.raises(LlasaError, match="cannot be written"):
        write_timings("Hello there.", timings, srt=tmp_path / "none" / "a.srt")


@given(st.text(st.sampled_from("abc .,!?-—\"'()\n"), max_size=300), st.floats(0.05, 2))
def test_all_words_are_shown_in_order(text: str, each: float) -> None:
    words = words_of(text, each)
    found = cues(text, words)
    assert re.findall(r"\w+", " ".join(cue.text for cue in found)) == re.findall(
        r"\w+", " ".join(word.text for word in words)
    )
    for cue in found:
        assert cue.start < cue.end
        assert cue.text
        assert "\n\n" not in cue.text
    for one, other in pairwise(found):
        assert one.end <= other.start + 1e-9

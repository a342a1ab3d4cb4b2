"""Parts of long texts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llasa.chunks import split_text


@given(st.text(st.sampled_from("ab .,!?X。,字"), max_size=400), st.integers(5, 120))
def test_split_text_loses_nothing(text: str, limit: int) -> None:
    parts = split_text(text, limit)
    assert "".join("".join(parts).split()) == "".join(text.split())
    assert all(part == part.strip() and part for part in parts)
    assert len(parts) < 2 or all(any(char.isalnum() for char in part) for part in parts)
    if text.isalnum():
        assert all(len(part) <= 2 * limit for part in parts)


def test_split_text() -> None:
    assert split_text("Hi. I am a fox. And you?", 16) == ["Hi. I am a fox.", "And you?"]
    assert split_text("... Hi! - ?", 3) == ["... Hi! - ?"]
    assert split_text("", 10) == []
    chinese = "今天天气很好。我们去公园。"
    assert split_text(chinese, 30) == ["今天天气很好。", "我们去公园。"]
    assert split_text(chinese, 100) == [chinese]

"""Chunks of a text."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llasa.base.errors import LlasaError
from llasa.text.splitting import CHUNK_CHARS, chunk_places

from .strategies import any_text, prose


def chunk_text(text: str, most: int = CHUNK_CHARS) -> list[str]:
    chunks = (text[start:stop].strip() for start, stop in chunk_places(text, most))
    return [chunk for chunk in chunks if chunk]


@pytest.mark.parametrize(("length", "count"), [(1, 1), (100, 1), (101, 2), (200, 2), (201, 3)])
def test_chunk_count_is_the_papers(length: int, count: int) -> None:
    assert len(chunk_text("x" * length)) == count
    words = ("word " * 100)[:length].strip()
    assert len(chunk_text(words)) == math.ceil(len(words) / 100)


def test_chunks_end_at_the_nearest_punctuation() -> None:
    text = (
        "It was the best of times, it was the worst of times, it was the age of wisdom, it was the "
        "age of foolishness, it was the epoch of belief, it was the epoch of incredulity."
    )
    first, second = chunk_text(text)
    assert first.endswith("wisdom,")
    assert second.startswith("it was the age of foolishness")
    decimal = "The value of pi is about 3.14159 and that of e is 2.71828 and both of them go on so."
    assert all(chunk.count(".") for chunk in chunk_text(decimal, 50))
    assert chunk_text("你好，世界，" * 20) == ["你好，世界，" * 10] * 2
    combining = "e\u0301" * 100
    assert all(chunk[0] == "e" for chunk in chunk_text(combining))


@given(st.one_of(prose, any_text), st.integers(1, 120))
def test_chunks_lose_nothing_and_stay_near_the_size(text: str, size: int) -> None:
    chunks = chunk_text(text, size)
    assert "".join("".join(chunks).split()) == "".join(text.split())
    assert all(chunk == chunk.strip() != "" for chunk in chunks)
    assert len(chunks) <= math.ceil(len(text.strip()) / size)
    assert chunk_text(text, 10_000) == ([text.strip()] if text.strip() else [])


def test_chunks_of_a_book_are_quick() -> None:
    chunks = chunk_text("Some words, and more of them. " * 20_000)
    assert len(chunks) == 6000
    assert max(map(len, chunks)) < 160


def test_bad_chunk_size() -> None:
    with pytest.raises(LlasaError, match="1 or more"):
        chunk_text("a", 0)

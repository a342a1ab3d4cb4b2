"""How long texts take to read."""

from __future__ import annotations

import pytest

from llasa.text.duration import reading_seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Hello.", 0.5 + 5 * 0.07),
        ("I see a fox", 0.5 + 8 * 0.07),  # words of one letter
        ("b 7", 0.5 + 2 * 0.3),  # said by their names
        ("don't", 0.5 + 4 * 0.07),
        ("你好", 0.5 + 2 * 0.22),
        ("...", 0.5),
    ],
)
def test_letters_digits_and_ideographs(text: str, seconds: float) -> None:
    assert reading_seconds(text) == pytest.approx(seconds)

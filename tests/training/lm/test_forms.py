"""Other forms of a text: the same words, each still said when it was."""

from __future__ import annotations

import numpy as np
import pytest

from llasa.training.lm.forms import FORMS, as_typed

TEXT = 'He said, "We don\'t know - yet."'


def forms(text: str) -> set[str]:
    return {as_typed(text, [], np.random.default_rng(seed))[0] for seed in range(200)}


def test_every_form_comes() -> None:
    assert forms("Well, it's late.") == {
        "Well, it's late",
        "well, it's late.",
        "well, it's late",
        "WELL, IT'S LATE.",
        "WELL, IT'S LATE",
        "Well, it’s late.",
        "Well, it’s late",
        "Well — it's late.",
    }
    assert 'He said — "We don\'t know — yet."' in forms(TEXT)
    assert "He said, “We don’t know - yet.”" in forms(TEXT)


def test_questions_stay_questions() -> None:
    assert all(form.endswith("?") for form in forms("Is it late?"))


@pytest.mark.parametrize("seed", range(len(FORMS) * 4))
def test_times_stay_with_their_letters(seed: int) -> None:
    times = [(at / len(TEXT), float(at)) for at, letter in enumerate(TEXT) if letter.isalnum()]
    typed, moved = as_typed(TEXT, times, np.random.default_rng(seed))
    whole = typed.encode()
    for (share, moment), (_, before) in zip(moved, times, strict=True):
        assert moment == before
        letter = whole[round(share * len(whole)) :].decode()[0]
        assert letter.lower() == TEXT[int(moment)].lower()


def test_letters_whose_capital_is_two_stay() -> None:
    times = [(0.0, 0.0), (1.0, 5.0)]
    for seed in range(40):
        typed, moved = as_typed("Straße.", times, np.random.default_rng(seed))
        assert "SS" not in typed or moved is times

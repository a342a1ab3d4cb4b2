"""Quotation marks and apostrophes."""

from __future__ import annotations

import pytest

from llasa.text.quotes import unquoted


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("Say 'hand' for 'worker'.", "Say hand for worker."),
        ('"Ma\'am," said Elinor, "don\'t."', "Ma'am, said Elinor, don't."),
        ("“Yes,” she said; ‘no’, it’s „so“.", "Yes, she said; no, it’s so."),
        ("the boys' toys; rock'n'roll in the '90s", None),
        ("The '90s and the boys' toys.", None),
        ("Get 'em, the dogs' owner.", None),
        ("'Tis 'I am' said.", "'Tis I am said."),
        ("He said“hi”there.", "He said hi there."),
        ("'I am here.", "I am here."),
        ("‘I am.", "I am."),
        ("We stage 'Othello.'", "We stage Othello."),
        ('"', '"'),
    ],
)
def test_unquoted(text: str, bare: str | None) -> None:
    assert unquoted(text) == (text if bare is None else bare)

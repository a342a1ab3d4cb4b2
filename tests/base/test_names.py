"""The gates for names and numbers."""

from __future__ import annotations

import ast
import re
import unicodedata
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from llasa.base.errors import LlasaError
from llasa.base.names import check_name, number, plain, shorten, whole

SOURCE = Path(__file__).parents[2] / "src" / "llasa"


@pytest.mark.parametrize(
    "name", ["anna", "a", "_a-", "v1.2", "Zoë", "आवाज़", "เสียง", "音声", "x" * 64]
)
def test_names_of_all_scripts_are_kept_in_one_form(name: str) -> None:
    for form in ("NFC", "NFD"):
        found = check_name(unicodedata.normalize(form, name), "voice name")  # type: ignore[arg-type]
        assert found == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize(
    "name",
    [
        *["", ".", "a.", ".a", "-a", "a/b", "a b", "a\n", "\u0301a", "a\0", "\ud83d"],
        *["x" * 65, "\U00020000" * 64, "\U0001f600", 3, None, b"a"],
    ],
)
def test_names_that_may_not_be(name: Any) -> None:
    with pytest.raises(LlasaError, match="not a valid voice name"):
        check_name(name, "voice name")


def test_sentences_name_the_beginning_of_long_values() -> None:
    assert shorten("x" * 60) == "x" * 60
    assert shorten("x" * 61) == "x" * 60 + "..."
    for wrong in (lambda: check_name("x" * 5000, "name"), lambda: whole("seed", "x" * 5000)):
        with pytest.raises(LlasaError, match=r"x{50,60}\.\.\.") as error:
            wrong()
        assert len(str(error.value)) < 200


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), torch.tensor(3), np.array(3)])
def test_whole_numbers_of_any_type(value: Any) -> None:
    found = whole("seed", value, 0)
    assert (type(found), found) == (int, 3)


@pytest.mark.parametrize("value", [True, 3.0, "3", None, np.array([3, 4]), -1, [3], np.float32(3)])
def test_what_is_no_whole_number(value: Any) -> None:
    with pytest.raises(LlasaError, match="seed is .*; give a whole number of at least 0"):
        whole("seed", value, 0)


@pytest.mark.parametrize(
    "value",
    [0.5, np.float32(0.5), np.float64(0.5), torch.tensor(0.5), Fraction(1, 2), Decimal("0.5")],
)
def test_numbers_of_any_type(value: Any) -> None:
    found = number("top_p", value, 0, 1)
    assert (type(found), found) == (float, 0.5)


@pytest.mark.parametrize(
    "value", [True, "0.5", None, float("nan"), float("inf"), 2, -1, 10**400, 1j, np.array([0.5])]
)
def test_what_is_no_number(value: Any) -> None:
    with pytest.raises(LlasaError, match="top_p is .*; give a number from 0 to 1"):
        number("top_p", value, 0, 1)


def test_nothing_steers_the_terminal() -> None:
    assert plain("a\x1b[31mé\n\ud83d\u202e") == "a\\x1b[31mé\\n\\ud83d\\u202e"


def test_no_other_place_judges_numbers_by_their_type() -> None:
    """`isinstance(x, int)` and the like refuse NumPy's and torch's numbers."""
    allowed = {
        "base/names.py",
        "audio/audio.py",
        "search/selector.py",
        "lm/config.py",
        "training/config.py",
    }
    for path in SOURCE.rglob("*.py"):
        name = path.relative_to(SOURCE).as_posix()
        if name in allowed or name.startswith("serving/"):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
                kinds = {n.id for n in ast.walk(node.args[1]) if isinstance(n, ast.Name)}
                assert not kinds & {"int", "float"}, f"{name}, line {node.lineno}"


def test_no_other_place_brings_names_into_one_form() -> None:
    for path in SOURCE.rglob("*.py"):
        if path.name != "names.py" and path.parent.name != "text":  # of words that are spoken
            assert not re.search(r"""["']NF[CD]["']""", path.read_text("utf-8")), path

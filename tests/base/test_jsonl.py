"""Lines of JSON: what is written comes back, and a wrong line is a sentence with its number."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llasa.base import jsonl
from llasa.base.errors import LlasaError

SOURCE = Path(__file__).parents[2] / "src" / "llasa"

numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False)
texts = st.text(st.characters())  # halves of surrogate pairs included
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=5,
)


@given(st.lists(values, max_size=4), st.booleans(), st.booleans())
@settings(max_examples=200, deadline=None)
@pytest.mark.slow
def test_what_is_written_comes_back(rows: list[object], mark: bool, blanks: bool) -> None:
    between = b"\n \r\n" if blanks else b""
    data = b"\xef\xbb\xbf" * mark + between.join(map(jsonl.render, rows))
    found = list(jsonl.read(data, "a.jsonl"))
    assert [value for _, value in found] == rows
    assert found == list(jsonl.read(io.BytesIO(data), "a.jsonl")), "a file is read alike"
    if not blanks:
        assert [number for number, _ in found] == list(range(1, len(rows) + 1))


@given(st.lists(st.binary(max_size=40) | values.map(jsonl.render), max_size=5))
@settings(max_examples=200, deadline=None)
@pytest.mark.slow
def test_any_bytes_are_values_or_reasons_with_a_number(lines: list[bytes]) -> None:
    data = b"\n".join(lines)
    skipped: dict[int, str] = {}
    found = dict(jsonl.read(data, "a.jsonl", skip=skipped.__setitem__))
    filled = [number for number, _ in jsonl.lines(data)]
    assert sorted([*found, *skipped]) == filled
    for number, reason in skipped.items():
        assert reason.startswith(f"a.jsonl, line {number}: ")
        assert reason.endswith(".")
    if skipped:
        with pytest.raises(LlasaError, match=rf"a\.jsonl, line {min(skipped)}: "):
            list(jsonl.read(data, "a.jsonl"))


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x1c", "\x0b", "\x0c"])
def test_lines_end_at_line_feeds_alone(separator: str) -> None:
    data = f'{{"text": "a{separator}b"}}\n"c"\n'
    data = data if separator > "\x1f" else data.replace(separator, f"\\u{ord(separator):04x}")
    assert [value for _, value in jsonl.read(data.encode(), "a")] == [
        {"text": f"a{separator}b"},
        "c",
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a": ', "it is not valid JSON"),
        (b'"caf\xe9"', "it is not UTF-8 text"),
        ('"a"'.encode("utf-16"), "it is not UTF-8 text"),
        (b"[" * 100_000, "nested more than 100 deep"),
        (b"[" * 101 + b"]" * 101, "nested more than 100 deep"),
        (b'{"a": ' * 500 + b"1" + b"}" * 500, "nested more than 100 deep"),
        (b"1" * 5000, "it is not valid JSON"),
    ],
)
def test_wrong_lines(line: bytes, reason: str) -> None:
    with pytest.raises(LlasaError, match=f"a.jsonl, line 2: .*{reason}"):
        list(jsonl.read(b'"first"\n' + line, "a.jsonl"))


def test_what_looks_deep_but_is_not() -> None:
    assert jsonl.parse(b"[" * 100 + b"]" * 100, "a")
    assert jsonl.parse(jsonl.render(["[" * 1000]), "a") == ["[" * 1000]


def test_no_other_place_splits_or_parses_lines_of_json() -> None:
    """Of everything else, these alone parse JSON, and none of it is lines of a file."""
    single = {"codec/checkpoints/transformers.py", "evaluation/experiment.py", "cli/serve.py"}
    single |= {"vocabulary/ids.py", "vocabulary/vocabulary.py", "serving/body.py"}
    single |= {"training/config.py", "evaluation/scaling_grid.py"}  # what they have just rendered
    found = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if re.search(r"json\.loads?\(", path.read_text("utf-8"))
    }
    assert found <= single | {"base/jsonl.py"}
    for path in SOURCE.rglob("*.py"):
        if path.name not in ("doctor.py", "jsonl.py", "play.py"):  # a card, a docstring, a player
            assert ".splitlines(" not in path.read_text("utf-8"), path

"""Texts without speech, line by line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llasa.base.errors import LlasaError
from llasa.data.texts import TextDataset


def test_lines_of_several_files(tmp_path: Path) -> None:
    one, other = tmp_path / "one.jsonl", tmp_path / "other.jsonl"
    lines = [{"text": "A fox."}, {"text": "Yes\u2028.", "prompt": "Is it?"}]
    one.write_text("\n\n".join(map(json.dumps, lines)))  # a blank line, and no line feed at the end
    other.write_text(json.dumps({"text": "Ein Fuß."}, ensure_ascii=False) + "\n  \n")
    texts = TextDataset(one, other)
    assert len(texts) == len(texts.sizes()) == 3
    assert [(item.text, item.prompt) for item in (texts[0], texts[1], texts[2])] == [
        ("A fox.", None),
        ("Yes\u2028.", "Is it?"),
        ("Ein Fuß.", None),
    ]
    assert texts.sizes()[2] == len('{"text": "Ein Fuß."}'.encode())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1]", r"texts.jsonl, text 1: it is not a JSON object such as \{\"text\""),
        ('{"text": " "}', r"text 1: give \{\"text\""),
        ('{"text": "a", "prompt": 3}', r"text 1: give \{\"text\""),
        ("nonsense that is long enough to count", "text 1: it is not valid JSON"),
    ],
)
def test_lines_of_another_kind(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text(content + "\n")
    with pytest.raises(LlasaError, match=message):
        TextDataset(path)[0]


def test_missing_and_empty_files(tmp_path: Path) -> None:
    with pytest.raises(LlasaError, match="nowhere cannot be read as texts"):
        TextDataset("nowhere")
    (tmp_path / "empty").touch()
    with pytest.raises(LlasaError, match="it is empty"):
        TextDataset(tmp_path / "empty")

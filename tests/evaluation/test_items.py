"""Manifests: what is read, and what is refused with the line's number."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llasa.base.errors import LlasaError
from llasa.evaluation.items import Item, choose, read_items

from .tools import write_clip


def manifest(folder: Path, *rows: object) -> Path:
    path = folder / "items.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    return path


def test_items_of_a_manifest(tmp_path: Path) -> None:
    full = {"id": "x", "text": "Hi.", "audio": "a.wav", "prompt": "p.wav", "prompt_text": "Ho."}
    path = manifest(tmp_path, {"text": "Hello."}, {**full, "kind": "g", "timing": [[0, 1]]})
    first, second = read_items(path)
    assert first == Item("00001", "Hello.")
    files = tmp_path / "a.wav", tmp_path / "p.wav"
    assert second == Item("x", "Hi.", *files, "Ho.", kind="g")
    assert (first.words, second.words) == ("Hello.", "Hi.")
    assert read_items(path, Path("root"))[1].audio == Path("root/a.wav")


def test_lines_that_are_not_written_as_they_are_said(tmp_path: Path) -> None:
    row = {"text": "Back at 5pm", "said": "Back at five p m.", "kind": "time"}
    (item,) = read_items(manifest(tmp_path, row))
    assert item == Item("00001", row["text"], kind="time", said=row["said"])
    assert item.words == row["said"]


def test_manifests_of_the_trainers_are_items(speech_data: Path) -> None:
    items, language = choose(read_items(speech_data / "kerstin.test.jsonl"), None, 3, "text")
    assert (len(items), language) == (3, "de")
    assert all(item.audio and item.audio.is_file() for item in items)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ([1], "line 1: it is not a JSON object"),
        ({"text": 3}, '"text" must be a string'),
        ({"text": "1", "said": 1}, '"said" must be a string'),
        ({"language": "en"}, 'neither "text" nor "audio"'),
        ({"text": "a", "prompt": "p.wav"}, "go together"),
    ],
)
def test_bad_lines_are_refused(tmp_path: Path, row: object, sentence: str) -> None:
    with pytest.raises(LlasaError, match=sentence):
        read_items(manifest(tmp_path, row))


def test_files_that_are_no_manifests(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    cases = {b"{": "not valid JSON", b" \n": "is empty", b"\xff\xfe\x00\xd8": "isn't a text file"}
    for data, sentence in cases.items():
        path.write_bytes(data)
        with pytest.raises(LlasaError, match=sentence):
            read_items(path)
    with pytest.raises(LlasaError, match="does not exist: give a list"):
        read_items(tmp_path / "none.jsonl")


def test_choosing_by_language_need_and_limit(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.wav")
    items = [
        Item("a", "x", language="en"),
        Item("b", "y", clip, language="de"),
        Item("c", audio=clip, language="en"),
    ]
    with pytest.raises(LlasaError, match="de, en: choose one with --language"):
        choose(items, None, None, "text")
    assert choose(items, "en", None, "text")[0] == [items[0]]
    assert choose(items, "de", 1, "audio")[0] == [items[1]]
    with pytest.raises(LlasaError, match="No item in 'fr' has text; there are items in de, en"):
        choose(items, "fr", None, "text")
    assert choose([Item("a", "x")], "fr", None, "text") == ([Item("a", "x")], "fr")
    assert choose([Item("a", "x")], None, None, "text")[1] == "en"


def test_languages_with_regions_are_languages(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"text": "a", "language": "en-US"}\n{"text": "b", "language": "en"}\n')
    items = read_items(path)
    assert choose(items, None, None, "text") == (items, "en")
    assert choose(items, "en-GB", None, "text") == (items, "en")
    path.write_text('{"text": "a", "language": "klingon"}\n')
    with pytest.raises(LlasaError, match="line 1: 'klingon' is not a language"):
        read_items(path)


def test_what_cannot_be_judged_is_refused(tmp_path: Path) -> None:
    for items, sentence in [
        ([Item("a", "x"), Item("a", "y")], "occurs twice"),
        ([Item("a/b", "x")], "not a valid id"),
        ([Item("a", "x", tmp_path / "no.wav")], "does not exist"),
    ]:
        with pytest.raises(LlasaError, match=sentence):
            choose(items, None, None, "text")

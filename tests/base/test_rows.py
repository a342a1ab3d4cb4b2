"""Rows: kept as they come, and damage goes with the next one."""

from __future__ import annotations

from pathlib import Path

from llasa.base.rows import Rows


def test_rows_are_kept_and_damage_goes_with_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"

    def read() -> Rows:
        return Rows(path, lambda row: row["id"])

    rows = read()
    for row in ({"id": "a", "n": 1}, {"id": "b", "n": 2}):
        rows.add(row)
    before = path.read_bytes()
    damaged = b'[3]\n{"n": 4}\n' + before[:-4]
    path.write_bytes(damaged)
    rows = read()
    assert (len(rows), "a" in rows, "b" in rows) == (1, True, False)
    assert path.read_bytes() == damaged
    rows.add({"id": "b", "n": 2})
    assert path.read_bytes() == before
    rows.add({"id": "a", "n": 5})
    assert path.read_bytes() == before + b'{"id": "a", "n": 5}\n', "a line of its own"
    assert read()["a"]["n"] == 5
    rows.close()
    assert path.read_bytes() == b'{"id": "b", "n": 2}\n{"id": "a", "n": 5}\n'
    assert read()["a"]["n"] == 5


def test_texts_with_line_separators_and_halves_of_pairs(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = Rows(path, lambda row: row["id"])
    for number, text in enumerate(["a\u2028b", "a\x85b", "\ud83d", "\x00", "\n"]):
        rows.add({"id": number, "text": text})
    before = path.read_bytes()
    again = Rows(path, lambda row: row["id"])
    assert [again[n]["text"] for n in range(5)] == ["a\u2028b", "a\x85b", "\ud83d", "\x00", "\n"]
    again.add({"id": 5})
    assert path.read_bytes() == before + b'{"id": 5}\n', "nothing had to be tidied"

"""A crash-safe file of JSON objects by key, which grows line by line."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

from llasa.base import jsonl
from llasa.base.errors import LlasaError
from llasa.base.files import read_bytes, write_atomic


class Rows:
    """JSON objects by key, kept in a file, one a line, each as soon as it is finished.

    Of two rows with one key the later one counts. `key` raises KeyError, TypeError or ValueError
    for a useless row. Rows that do not count, and a line that a crash cut off, are removed with the
    first new row or `close`; before that, the file is not touched.
    """

    def __init__(self, path: Path, key: Callable[[dict[str, Any]], Hashable]) -> None:
        self._path, self._key = path, key
        self._rows: dict[Hashable, dict[str, Any]] = {}
        data = read_bytes(path) if path.exists() else b""
        self._damaged, self._stale = bool(data) and not data.endswith(b"\n"), False
        for number, line in jsonl.lines(data):
            try:
                self._damaged |= self._put(jsonl.parse_object(line, f"{path}, line {number}"))
            except (ValueError, KeyError, TypeError):
                self._damaged = True

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._rows

    def __getitem__(self, key: Hashable) -> dict[str, Any]:
        return self._rows[key]

    def add(self, row: dict[str, Any]) -> None:
        """Keep a row, in place of an older one with its key, whose line stays until `close`."""
        self._stale |= self._put(row)
        if self._damaged:
            self.close()
            return
        try:
            with self._path.open("ab") as file:
                file.write(jsonl.render(row))
        except OSError as error:
            raise LlasaError(f"{self._path} cannot be written: {error.strerror}.") from error

    def close(self) -> None:
        """Leave only the rows that count in the file."""
        if self._damaged or self._stale:
            write_atomic(self._path, b"".join(map(jsonl.render, self._rows.values())))
            self._damaged = self._stale = False

    def _put(self, row: dict[str, Any]) -> bool:
        """Returns whether there was an older one."""
        key = self._key(row)
        older = self._rows.pop(key, None)
        self._rows[key] = row
        return older is not None

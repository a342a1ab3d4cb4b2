"""``manifest.jsonl`` in the folder of a batch: what is finished, and what was asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llasa.errors import LlasaError
from llasa.files import write_atomic

MANIFEST = "manifest.jsonl"


class BatchManifest:
    """One row for each id. The file is first touched when something new is finished.

    A row stays as it is until another takes its id; what is no row (a line cut off by a crash) or
    has lost its audio goes with the first write.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / MANIFEST
        self._rows: dict[str, dict[str, Any]] = {}
        self._clean = True
        try:
            lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines(True)
        except FileNotFoundError:
            lines = []
        except OSError as error:
            raise LlasaError(f"{self._path} cannot be read: {error.strerror}.") from error
        for line in lines:
            try:
                values = json.loads(line)
                id_, there = str(values["id"]), (folder / values["audio"]).is_file()
            except (ValueError, KeyError, TypeError):
                there = False
            if there:
                self._rows[id_] = values
            self._clean &= there and line.endswith("\n")

    def holds(self, id: str, audio: str, text: str, request: dict[str, Any]) -> bool:
        """Whether the file `audio` is there and was made of this text with this request."""
        row = self._rows.get(id)
        asked = {"audio": audio, "text": text, "request": request}
        return row is not None and all(row.get(key) == value for key, value in asked.items())

    def add(self, row: dict[str, Any]) -> None:
        """Keep a row, in place of an older one with its id."""
        replaces = self._rows.pop(row["id"], None) is not None
        self._rows[row["id"]] = row
        if replaces or not self._clean:
            write_atomic(self._path, b"".join(map(_line, self._rows.values())))
            self._clean = True
            return
        try:
            with self._path.open("ab") as file:
                file.write(_line(row))
        except OSError as error:
            raise LlasaError(f"{self._path} cannot be written: {error.strerror}.") from error


def _line(row: dict[str, Any]) -> bytes:
    return (json.dumps(row, ensure_ascii=False) + "\n").encode(errors="replace")

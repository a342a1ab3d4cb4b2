"""Parquet files of Hugging Face `datasets`, with the recordings inside in an audio column."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llasa.base.errors import LlasaError, first_line
from llasa.base.packages import require
from llasa.data.importers.common import (
    AUDIO,
    LANGUAGE,
    SECONDS,
    SPEAKER,
    TEXT,
    files_of,
    save_clip,
    utterance,
)
from llasa.data.manifest import Utterance

_ROWS = 64
"""Rows that are in memory together."""


def read(path: Path, clips: Path) -> Iterator[Utterance]:
    """Recordings are written to a folder for each parquet file."""
    parquet = require("pyarrow.parquet")
    for table in files_of(path, ".parquet"):
        try:
            with parquet.ParquetFile(table) as file:
                names = file.schema_arrow.names
                audio = next((name for name in AUDIO if name in names), None)
                if audio is None:
                    raise LlasaError(f"{table} has no column audio, only {', '.join(names)}.")
                told = {*TEXT, *SPEAKER, *LANGUAGE, *SECONDS}
                columns = [audio, *(name for name in names if name in told)]
                batches = file.iter_batches(_ROWS, columns=columns)
                rows = (row for batch in batches for row in batch.to_pylist())
                for number, row in enumerate(rows, 1):
                    yield utterance(_clip(row[audio], table, number, clips / table.stem), row)
        except (OSError, require("pyarrow").ArrowException) as error:
            raise LlasaError(
                f"{table} is not a complete parquet file: {first_line(error)}."
            ) from error


def _clip(audio: Any, table: Path, number: int, clips: Path) -> Path:
    """The file of a recording, which is a path, or {"bytes": ..., "path": ...}."""
    about = audio if isinstance(audio, dict) else {"path": audio}
    path = str(about.get("path") or "")
    if about.get("bytes"):
        name = f"{number:08d}-{Path(path).name}" if path else f"{number:08d}"
        return save_clip(clips, name, about["bytes"])
    if path:
        return table.parent / path
    raise LlasaError(f"{table}, row {number}: the recording has neither bytes nor a path.")

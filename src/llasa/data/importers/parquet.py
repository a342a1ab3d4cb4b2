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
    SPEAKER,
    TEXT,
    files_of,
    save_clip,
    seconds_of,
    text_of,
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
                told = {*TEXT, *SPEAKER, *LANGUAGE, "duration", "seconds"}
                columns = [audio, *(name for name in names if name in told)]
                number = 0
                for batch in file.iter_batches(_ROWS, columns=columns):
                    for row in batch.to_pylist():
                        number += 1
                        yield _utterance(row, row[audio], table, number, clips / table.stem)
        except (OSError, require("pyarrow").ArrowException) as error:
            raise LlasaError(f"{table} is no whole parquet file: {first_line(error)}.") from error


def _utterance(
    row: dict[str, Any], audio: Any, table: Path, number: int, clips: Path
) -> Utterance:
    """`audio` is a path, or {"bytes": ..., "path": ...}."""
    about = audio if isinstance(audio, dict) else {"path": audio}
    name = Path(str(about.get("path") or "")).name
    if about.get("bytes"):
        clip = save_clip(clips, f"{number:08d}-{name}" if name else f"{number:08d}", about["bytes"])
    elif about.get("path"):
        clip = table.parent / str(about["path"])
    else:
        raise LlasaError(f"{table}, row {number}: the recording has neither bytes nor a path.")
    told = (text_of(row, names) for names in (TEXT, SPEAKER))
    return Utterance(clip, *told, seconds_of(row), text_of(row, LANGUAGE))

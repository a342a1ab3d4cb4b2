"""Corpora as they are published, read as manifest rows; one file a format."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from llasa.base.errors import LlasaError
from llasa.base.names import check_choice
from llasa.data.manifest import Utterance

FORMATS = {
    "folder": "recordings, each with its text in a .txt file beside it",
    "table": "a .csv or .tsv file with a header: audio, text, speaker, language",
    "ljspeech": "LJSpeech and its like: metadata.csv (id|text|normalized text) and wavs/",
    "commonvoice": "a .tsv file of Common Voice, with clips/ beside it",
    "librispeech": "LibriSpeech and MLS: SPEAKER/CHAPTER/*.trans.txt with the recordings beside",
    "vctk": "VCTK: txt/ and wav48_silence_trimmed/ or wav48/",
    "webdataset": "a .tar file or a folder of them, as Emilia: recordings with .json or .txt",
    "parquet": "a .parquet file or a folder of them, from Hugging Face datasets (extra data)",
    "lhotse": "cuts of Lhotse: .jsonl or .jsonl.gz",
    "xcodec2": "a list of X-codec2: the root on the first line, then PATH<tab>SAMPLES a line",
}
"""Formats and what they are; each is a module here with `read(path, clips)`."""


def read_corpus(
    format: str,
    path: Path,
    clips: Path,
    language: str | None = None,
    speaker: str | None = None,
) -> Iterator[Utterance]:
    """The recordings of a corpus in its own order.

    `clips` is the folder for recordings that are not files of their own yet, as those inside tar
    files; it is made where it is needed. `language` and `speaker` are for rows that do not tell.
    Raises `LlasaError` for an unknown format, and where the corpus is not what the format says or
    holds no recording.
    """
    check_choice(format, FORMATS, "The format")
    if not path.exists():
        raise LlasaError(f"{path} does not exist: give {FORMATS[format]}.")
    rows = import_module(f"llasa.data.importers.{format}").read(path, clips)
    empty = True
    for row in rows:
        empty = False
        yield row.with_defaults(language, speaker)
    if empty:
        raise LlasaError(f"{path} holds no recordings: give {FORMATS[format]}.")

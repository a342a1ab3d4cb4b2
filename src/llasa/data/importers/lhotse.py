"""Cuts of Lhotse: pieces of recordings with what is said in them."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from llasa.audio.audio import Audio, read_audio
from llasa.base import jsonl
from llasa.base.errors import LlasaError
from llasa.base.files import reason
from llasa.data.importers.common import LANGUAGE, SPEAKER, TEXT, save_clip, text_of
from llasa.data.manifest import Utterance

_SHORTER = 0.01
"""Seconds by which a cut is shorter than its recording without being a piece of it."""


def read(path: Path, clips: Path) -> Iterator[Utterance]:
    """A cut of a whole recording names its file; others are written as files of their own."""
    for number, cut in _cuts(path):
        where = f"{path}, line {number}"
        try:
            start, seconds = float(cut["start"]), float(cut["duration"])
            recording, said = cut["recording"], cut.get("supervisions") or []
            sources = recording["sources"]
            whole = start < _SHORTER and recording["duration"] - seconds < _SHORTER
            kind, source = sources[0]["type"], str(sources[0]["source"])
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise LlasaError(
                f"{where}: it is not a cut with start, duration and recording (MonoCut)."
            ) from error
        if kind != "file":
            raise LlasaError(f"{where}: its sound is not a file but a {kind}: export it to files.")
        audio = path.parent / source
        if not whole:
            sound = _recording(audio)
            first, last = (round(second * sound.rate) for second in (start, start + seconds))
            piece = Audio(sound.samples[first:last], sound.rate)
            audio = save_clip(clips, f"{cut.get('id', number)}.flac", piece.encode("flac"))
        texts = [text for part in said if (text := text_of(part, TEXT)) is not None]
        people = {text_of(part, SPEAKER) for part in said}
        tongues = {text_of(part, LANGUAGE) for part in said}
        speaker, language = (n.pop() if len(n) == 1 else None for n in (people, tongues))
        yield Utterance(audio, " ".join(texts) or None, speaker, seconds, language)


@lru_cache(maxsize=1)
def _recording(path: Path) -> Audio:
    return read_audio(path)


def _cuts(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in jsonl.lines(file):
                yield number, jsonl.parse_object(line, f"{path}, line {number}")
    except (OSError, EOFError) as error:
        raise LlasaError(f"{path} cannot be read: {reason(error)}.") from error

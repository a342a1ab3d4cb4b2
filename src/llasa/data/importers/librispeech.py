"""LibriSpeech: SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt with the recordings beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from llasa.base.errors import LlasaError
from llasa.data.importers.common import AUDIO_SUFFIXES, found, read_lines
from llasa.data.manifest import Utterance


def read(path: Path, clips: Path) -> Iterator[Utterance]:
    """The first number of a recording's name is its speaker."""
    for transcript in found(path, "*.trans.txt"):
        for line in read_lines(transcript):
            name, _, text = line.partition(" ")
            beside = (transcript.with_name(name + suffix) for suffix in AUDIO_SUFFIXES)
            audio = next((file for file in beside if file.exists()), None)
            if audio is None:
                raise LlasaError(f"{transcript}: the recording {name} is not beside it.")
            yield Utterance(audio, text.strip() or None, name.partition("-")[0])

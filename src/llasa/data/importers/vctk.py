"""VCTK: a folder of texts and one of recordings, each with a folder a speaker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from llasa.base.errors import LlasaError
from llasa.data.importers.common import found, read_lines
from llasa.data.manifest import Utterance

_AUDIO = ("wav48_silence_trimmed/{}_mic1.flac", "wav48/{}.wav")


def read(path: Path, clips: Path) -> Iterator[Utterance]:
    """Recordings of the first microphone; those that VCTK lacks are left out."""
    if not (path / "txt").is_dir():
        raise LlasaError(f"{path} is not a VCTK corpus: it has no folder txt.")
    for transcript in found(path / "txt", "*.txt"):
        speaker, name = transcript.parent.name, transcript.stem
        places = (path / place.format(f"{speaker}/{name}") for place in _AUDIO)
        audio = next((place for place in places if place.exists()), None)
        if audio is not None:
            text = " ".join(read_lines(transcript)) or None
            yield Utterance(audio, text, speaker, language="en")

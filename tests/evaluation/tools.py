"""Judges that need no package, and clips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from llasa.audio.audio import Audio
from llasa.evaluation.judges import Judges
from llasa.verifiers import Candidate
from llasa.verifiers.asr.base import Transcript
from llasa.verifiers.content import Content
from tests.tiny_model import tone


class Echo:
    """A recogniser that says what it was told, however the clip sounds."""

    family = "echo"

    def __init__(self, *texts: str, language: str = "en") -> None:
        self.name, self.language = "echo", language
        self.texts = list(texts)
        self.seconds: list[float] = []

    def load(self) -> None:
        pass

    def transcribe(self, clips: Sequence[np.ndarray]) -> list[Transcript]:
        self.seconds += [len(clip) / 16_000 for clip in clips]
        return [Transcript(self.texts.pop(0) if self.texts else "", -0.1) for _ in clips]


class Loudness:
    """Likeness in level, for the plumbing of speaker judges."""

    name, family, needs = "loudness", "level", frozenset({"audio", "prompt"})

    def score(self, batch: Sequence[Candidate]) -> list[float]:
        return [-abs(c.audio.level() - c.prompt.level()) for c in batch if c.audio and c.prompt]


def echo_judges(*texts: str, chosen_by: Sequence[object] = ()) -> Judges:
    """Content and likeness judged without any model."""
    return Judges([Content(Echo(*texts)), Loudness()], chosen_by=chosen_by)  # type: ignore[arg-type]


def write_clip(path: Path, seconds: float = 1.5, rate: int = 16_000) -> Path:
    """A tone, with the folders around it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tone(seconds, rate).write(path)
    return path


def silence(seconds: float) -> Audio:
    return Audio(np.zeros(round(seconds * 16_000), np.float32), 16_000)

"""Random fixed-length audio segments from manifests, a pure function of (seed, step)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soxr
import torch
from torch import Tensor

from llasa.audio import read_audio
from llasa.data.manifest import read_manifest
from llasa.errors import LlasaError


@dataclass
class Source:
    """A manifest and its share of the segments."""

    manifest: str
    weight: float = 1.0


@dataclass
class AudioDataSettings:
    """Training audio.

    ``fill`` says what happens when a clip is shorter than ``seconds``: ``pad`` with zeros at the
    end (released trainer) or ``join`` further clips.
    """

    train: list[Source] = field(default_factory=list)
    valid: str | None = None
    valid_clips: int = 16
    seconds: float = 6.0
    batch: int = 8
    fill: str = "pad"
    cache_hours: float = 4.0


class Segments:
    """Batches of segments; clips are decoded once and kept in memory as 16-bit samples."""

    def __init__(self, settings: AudioDataSettings, rate: int, hop: int, seed: int) -> None:
        if not settings.train:
            raise LlasaError("data.train is empty; give at least one {manifest: path}")
        self.settings, self.rate, self.seed = settings, rate, seed
        self.length = int(settings.seconds * rate) // hop * hop
        self.paths = [[u.path for u in read_manifest(Path(s.manifest))] for s in settings.train]
        weights = np.array([s.weight for s in settings.train])
        self.weights = weights / weights.sum()
        self._cache: dict[Path, np.ndarray] = {}
        self._cached = 0

    def batch(self, step: int, rank: int, world: int) -> Tensor:
        """(batch, samples) for one worker; the same for the same arguments, whatever came before."""
        rows = [
            self._segment(np.random.default_rng((self.seed, step, rank + world * row)))
            for row in range(self.settings.batch)
        ]
        return torch.from_numpy(np.stack(rows)).float() / 32768

    def _segment(self, rng: np.random.Generator) -> np.ndarray:
        paths = self.paths[int(rng.choice(len(self.paths), p=self.weights))]
        out = np.zeros(self.length, np.int16)
        filled = 0
        while filled < self.length:
            clip = self._clip(paths[int(rng.integers(len(paths)))])
            room = self.length - filled
            start = int(rng.integers(0, len(clip) - room + 1)) if len(clip) > room else 0
            piece = clip[start : start + room]
            out[filled : filled + len(piece)] = piece
            filled += len(piece)
            if self.settings.fill == "pad":
                break
        return out

    def _clip(self, path: Path) -> np.ndarray:
        if path in self._cache:
            return self._cache[path]
        audio = load_mono(path, self.rate)
        clip = (audio.clip(-1, 1) * 32767).astype(np.int16)
        if self._cached + len(clip) <= self.settings.cache_hours * 3600 * self.rate:
            self._cache[path] = clip
            self._cached += len(clip)
        return clip


def load_mono(path: Path, rate: int) -> np.ndarray:
    """One clip as mono float32 at ``rate``."""
    audio = read_audio(path).mono()
    if audio.rate == rate:
        return audio.samples
    return np.asarray(soxr.resample(audio.samples, audio.rate, rate), np.float32)

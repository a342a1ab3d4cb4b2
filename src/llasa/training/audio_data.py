"""Random fixed-length audio segments from manifests, a pure function of (seed, step)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llasa.audio import read_audio
from llasa.codec.harmonic import SUBFRAMES, Pitch
from llasa.data.manifest import read_manifest
from llasa.errors import LlasaError
from llasa.training.phones import phones_at
from llasa.training.pitch import UNVOICED, PitchTracker, Track
from llasa.vocabulary import IGNORE


@dataclass
class Source:
    """A manifest and its share of the segments."""

    manifest: str
    weight: float = 1.0


@dataclass
class AudioDataSettings:
    """Training audio; ``batch`` segments of ``seconds`` for each worker.

    ``phones`` are symbols to look for in the manifests: with them comes which phone each frame is.
    ``fill`` says what happens when a clip is shorter than ``seconds``: ``pad`` with zeros at the
    end (released trainer) or ``join`` further clips. ``valid`` is a manifest of held-out clips.
    """

    train: list[Source] = field(default_factory=list)
    valid: str | None = None
    phones: list[str] = field(default_factory=list)
    valid_clips: int = 16
    seconds: float = 6.0
    batch: int = 8
    fill: Literal["pad", "join"] = "pad"
    cache_hours: float = 4.0

    def __post_init__(self) -> None:
        if self.batch < 1 or self.valid_clips < 1:
            raise LlasaError("data.batch and data.valid_clips must be 1 or more")


class Segment(NamedTuple):
    """Segments side by side."""

    samples: Tensor
    """(batch, samples)."""
    phones: Tensor
    """(batch, frames), number of the phone in ``phones`` of the settings, or IGNORE."""
    pitch: Pitch | None = None
    """(batch, subframes), if asked for."""

    def to(self, device: torch.device) -> Segment:
        """The same on another device."""
        pitch = self.pitch and Pitch(*(part.to(device) for part in self.pitch))
        return Segment(self.samples.to(device), self.phones.to(device), pitch)


class Segments:
    """Batches of segments; clips are decoded once and kept in memory as 16-bit samples."""

    def __init__(
        self, settings: AudioDataSettings, rate: int, hop: int, seed: int, pitch: bool = False
    ) -> None:
        if not settings.train:
            raise LlasaError("data.train is empty; give at least one {manifest: path}")
        weights = np.array([source.weight for source in settings.train])
        if weights.min() < 0 or weights.sum() == 0:
            raise LlasaError("the weights in data.train must be 0 or more, and one above 0")
        self.settings, self.rate, self.hop, self.seed = settings, rate, hop, seed
        self.length = int(settings.seconds * rate) // hop * hop
        self.clips = [read_manifest(source.manifest) for source in settings.train]
        self._numbers = {symbol: number for number, symbol in enumerate(settings.phones)}
        self.weights = weights / weights.sum()
        self._cache: dict[Path, NDArray[np.int16]] = {}
        self._tracks: dict[Path, Track] = {}  # small, and slow to find
        self._cached = 0
        self._tracker = PitchTracker() if pitch else None

    def batch(self, step: int, rank: int, world: int) -> Segment:
        """Segments of one worker; depends on nothing but seed and arguments."""
        rows = [
            self._segment(np.random.default_rng((self.seed, step, rank + world * row)))
            for row in range(self.settings.batch)
        ]
        samples, phones, *pitch = (
            torch.from_numpy(np.stack(part)) for part in zip(*rows, strict=True)
        )
        heard = Pitch(*pitch) if self._tracker else None
        return Segment(samples.float() / 32768, phones, heard)

    def _segment(self, rng: np.random.Generator) -> tuple[NDArray[Any], ...]:
        """Samples, phones, Hertz and voicing."""
        clips = self.clips[int(rng.choice(len(self.clips), p=self.weights))]
        out = np.zeros(self.length, np.int16)
        phones = np.full(self.length // self.hop, IGNORE)
        middles = (np.arange(len(phones)) + 0.5) * self.hop
        count = SUBFRAMES * len(phones)
        hertz, voiced = np.full(count, UNVOICED, np.float32), np.zeros(count, np.float32)
        short_middles = (np.arange(count) + 0.5) * self.hop / SUBFRAMES
        filled = 0
        while filled < self.length:
            clip = clips[int(rng.integers(len(clips)))]
            sound = self._sound(clip.path)
            room = self.length - filled
            start = int(rng.integers(0, len(sound) - room + 1)) if len(sound) > room else 0
            piece = sound[start : start + room]
            end = filled + len(piece)
            out[filled:end] = piece
            inside = (middles >= filled) & (middles < end)
            moments = (middles[inside] - filled + start) / self.rate
            phones[inside] = phones_at(moments, clip.phones, self._numbers)
            if (track := self._tracks.get(clip.path)) is not None:
                inside = (short_middles >= filled) & (short_middles < end)
                moments = (short_middles[inside] - filled + start) / self.rate
                hertz[inside], voiced[inside] = track.at(moments)
            filled = end
            if self.settings.fill == "pad":
                break
        return out, phones, hertz, voiced

    def _sound(self, path: Path) -> NDArray[np.int16]:
        if path in self._cache:
            return self._cache[path]
        samples = load_mono(path, self.rate).clip(-1, 1)
        if not len(samples):
            raise LlasaError(f"{path} is too short: leave it out of the manifest")
        if self._tracker and path not in self._tracks:
            self._tracks[path] = self._tracker(samples)
        clip = (samples * 32767).astype(np.int16)
        if self._cached + len(clip) <= self.settings.cache_hours * 3600 * self.rate:
            self._cache[path] = clip
            self._cached += len(clip)
        return clip


def load_mono(path: Path, rate: int) -> NDArray[np.float32]:
    """One clip as mono float32 at ``rate``."""
    return read_audio(path).mono().resample(rate).samples

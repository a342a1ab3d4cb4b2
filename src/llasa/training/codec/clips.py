"""Clips of training audio, read once, with what belongs to the clip: its pitch and its codes."""

from __future__ import annotations

from collections.abc import Callable
from math import gcd
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from llasa.audio.audio import read_audio
from llasa.base.errors import LlasaError
from llasa.training.auxiliary.pitch import PitchTracker, Track

Encode = Callable[[NDArray[np.float32]], NDArray[np.int64]]
"""Samples (n,), whole frames, to their codes (frames,)."""


class Rates(NamedTuple):
    """Hertz that the encoder hears and that the decoder speaks, and samples per code heard."""

    heard: int
    spoken: int
    hop: int

    @property
    def step(self) -> int:
        """Heard samples from one moment that is a sample of both to the next."""
        return self.heard // gcd(self.heard, self.spoken)

    def to_spoken(self, samples: int) -> int:
        """As many spoken samples as last just as long; of heard ones a multiple of `step`."""
        return samples * self.spoken // self.heard


class Clip(NamedTuple):
    """One recording; both sounds begin and end together."""

    heard: NDArray[np.int16]
    spoken: NDArray[np.int16]
    """The same array as `heard` where the rates are equal."""
    track: Track | None
    codes: NDArray[np.int32] | None
    """Of the whole clip, and of zeros behind it up to the shortest length."""


class Clips:
    """Clips by their paths; what is asked for again is not read again.

    Args:
        rates: of the codec.
        hours: clips to keep in memory, as 16-bit samples; pitch and codes are small and all kept.
        pitch: whether pitch is tracked.
        encode: makes codes of clips; with it they are cut to whole frames.
        shortest: heard samples up to which zeros follow a clip before it is encoded.
    """

    def __init__(
        self,
        rates: Rates,
        hours: float,
        pitch: bool = False,
        encode: Encode | None = None,
        shortest: int = 0,
    ) -> None:
        self.rates = rates
        self.step = rates.step if encode is None else rates.hop
        """Crops of clips begin at multiples of so many heard samples."""
        self._encode, self._shortest = encode, shortest
        self._tracker = PitchTracker() if pitch else None
        self._room = hours * 3600 * rates.heard
        self._kept: dict[Path, tuple[NDArray[np.int16], NDArray[np.int16]]] = {}
        self._tracks: dict[Path, Track] = {}
        self._codes: dict[Path, NDArray[np.int32]] = {}

    def __getitem__(self, path: Path) -> Clip:
        """The clip; `LlasaError` where it cannot be read or is too short."""
        heard, spoken = self._kept[path] if path in self._kept else self._read(path)
        return Clip(heard, spoken, self._tracks.get(path), self._codes.get(path))

    def _read(self, path: Path) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        rates = self.rates
        sound = read_audio(path).mono().resample(rates.spoken)
        samples = sound.resample(rates.heard).samples.clip(-1, 1)
        # Rounding may give one of the two a sample less.
        length = min(len(samples), len(sound.samples) * rates.heard // rates.spoken)
        length -= length % self.step
        if not length:
            raise LlasaError(f"{path} is too short: leave it out of the manifest")
        if self._tracker and path not in self._tracks:
            self._tracks[path] = self._tracker(samples)
        heard = spoken = _whole(samples[:length])
        if rates.heard != rates.spoken:
            spoken = _whole(sound.samples.clip(-1, 1)[: rates.to_spoken(length)])
        if self._encode and path not in self._codes:
            padded = np.pad(heard, (0, max(0, self._shortest - length)))
            self._codes[path] = self._encode(padded.astype(np.float32) / np.float32(32768)).astype(
                np.int32
            )
        if length <= self._room:
            self._room -= length
            self._kept[path] = heard, spoken
        return heard, spoken


def _whole(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """16-bit samples."""
    return (samples * 32767).astype(np.int16)

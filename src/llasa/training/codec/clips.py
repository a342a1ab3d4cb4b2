"""Clips of training audio, read once, with what belongs to the clip: its pitch and its codes."""

from __future__ import annotations

from collections.abc import Callable
from math import gcd
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from llasa.audio.audio import from_int16, read_audio, to_int16
from llasa.base.errors import LlasaError
from llasa.training.auxiliary.pitch import PitchTrack, PitchTracker

Encode = Callable[[NDArray[np.float32]], NDArray[np.int64]]
"""Samples (n,), whole frames, to their codes (frames,)."""


class Rates(NamedTuple):
    """Hertz of the encoder's input and of the decoder's output, and input samples per code."""

    input: int
    output: int
    hop: int

    @property
    def step(self) -> int:
        """Input samples between two moments that are samples of both."""
        return self.input // gcd(self.input, self.output)

    def to_output(self, samples: int) -> int:
        """Output samples that last as long as so many input samples, a multiple of `step`."""
        return samples * self.output // self.input


class Clip(NamedTuple):
    """One recording at both rates."""

    samples: NDArray[np.int16]
    output: NDArray[np.int16]
    """The same array as `samples` where the rates are equal."""
    track: PitchTrack | None
    codes: NDArray[np.int32] | None
    """Of the whole clip, and of zeros behind it up to the shortest length."""


class Clips:
    """Clips by their paths; what is asked for again is not read again.

    Args:
        rates: of the codec.
        hours: clips to keep in memory, as 16-bit samples; pitch and codes are small and all kept.
        pitch: whether pitch is tracked.
        encode: makes codes of clips; with it they are cut to whole frames.
        shortest: input samples up to which zeros follow a clip before it is encoded.
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
        """Crops of clips begin at multiples of so many input samples."""
        self._encode, self._shortest = encode, shortest
        self._tracker = PitchTracker() if pitch else None
        self._room = hours * 3600 * rates.input
        self._kept: dict[Path, tuple[NDArray[np.int16], NDArray[np.int16]]] = {}
        self._tracks: dict[Path, PitchTrack] = {}
        self._codes: dict[Path, NDArray[np.int32]] = {}

    def __getitem__(self, path: Path) -> Clip:
        """The clip; `LlasaError` where it cannot be read or is too short."""
        samples, output = self._kept[path] if path in self._kept else self._read(path)
        return Clip(samples, output, self._tracks.get(path), self._codes.get(path))

    def _read(self, path: Path) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        rates = self.rates
        sound = read_audio(path).mono().resample(rates.output)
        exact = sound.resample(rates.input).samples.clip(-1, 1)
        # Rounding may give one of the two a sample less.
        length = min(len(exact), len(sound.samples) * rates.input // rates.output)
        length -= length % self.step
        if not length:
            raise LlasaError(f"{path} is too short: leave it out of the manifest.")
        if self._tracker and path not in self._tracks:
            self._tracks[path] = self._tracker(exact)
        samples = output = to_int16(exact[:length])
        if rates.input != rates.output:
            output = to_int16(sound.samples[: rates.to_output(length)])
        if self._encode and path not in self._codes:
            padded = np.pad(samples, (0, max(0, self._shortest - length)))
            codes = self._encode(from_int16(padded))
            self._codes[path] = codes.astype(np.int32)
        if length <= self._room:
            self._room -= length
            self._kept[path] = samples, output
        return samples, output

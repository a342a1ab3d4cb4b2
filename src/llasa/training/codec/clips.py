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

LABELLED = 20
"""Pitch and codes of a clip take about so much less memory than its samples."""
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


_Labels = tuple[PitchTrack | None, NDArray[np.int32] | None]
"""Pitch and codes of a clip."""


class Clips:
    """Clips by their paths; what is asked for again is not read again.

    Args:
        rates: of the codec.
        hours: clips to keep in memory, as 16-bit samples; pitch and codes, which are small, of
            `LABELLED` times as many, and of as many hours at least.
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
        self._labels_room = LABELLED * max(hours, 1.0) * 3600 * rates.input
        self._kept: dict[Path, Clip] = {}
        self._labels: dict[Path, _Labels] = {}

    def __getitem__(self, path: Path) -> Clip:
        """The clip; `LlasaError` where it cannot be read or is too short."""
        return self._kept.get(path) or self._read(path)

    def _read(self, path: Path) -> Clip:
        rates = self.rates
        sound = read_audio(path).mono().resample(rates.output)
        exact = sound.resample(rates.input).samples.clip(-1, 1)
        # Rounding may give one of the two a sample less.
        length = min(len(exact), len(sound.samples) * rates.input // rates.output)
        length -= length % self.step
        if not length:
            raise LlasaError(f"{path} is too short: leave it out of the manifest.")
        samples = output = to_int16(exact[:length])
        if rates.input != rates.output:
            output = to_int16(sound.samples[: rates.to_output(length)])
        labels = self._labels.get(path) or self._label(exact, samples)
        clip = Clip(samples, output, *labels)
        if length <= self._room:
            self._room -= length
            self._kept[path] = clip
        elif path not in self._labels and length <= self._labels_room:
            self._labels_room -= length
            self._labels[path] = labels
        return clip

    def _label(self, exact: NDArray[np.float32], samples: NDArray[np.int16]) -> _Labels:
        track = self._tracker(exact) if self._tracker else None
        if self._encode is None:
            return track, None
        padded = np.pad(samples, (0, max(0, self._shortest - len(samples))))
        return track, self._encode(from_int16(padded)).astype(np.int32)

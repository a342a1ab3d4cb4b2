"""Faster and slower speech at the same pitch."""

from __future__ import annotations

import numpy as np

from llasa.audio.audio import Audio, Samples
from llasa.base.names import number

SPEEDS = (0.25, 4.0)
_HOP_SECONDS = 0.015
"""Half the length of a window, which holds two periods of the lowest voices."""
_SEARCH_SECONDS = 0.0125
"""How far a window may be moved either way: a period of a voice at 80 Hz."""


def as_speed(value: object) -> float:
    """Check a speed: 0.25 to 4, where 2 is twice as fast."""
    return number("speed", value, *SPEEDS)


def stretched(audio: Audio, speed: float) -> Audio:
    """Mono sound at another speed."""
    stretch = TimeStretch(speed, audio.rate)
    samples = np.concatenate([stretch.push(audio.samples), stretch.finish()])
    return Audio(samples, audio.rate)


class TimeStretch:
    """Sound at another speed, piece by piece.

    Half-overlapping windows are placed closer together or further apart; each is first moved a
    little, to where it best continues the one before (WSOLA, Verhelst and Roelands 1993). The
    result does not depend on how the sound is cut into pieces.

    Args:
        speed: 0.25 to 4; 2 is twice as fast.
        rate: samples a second.
    """

    def __init__(self, speed: float, rate: int) -> None:
        self._speed = as_speed(speed)
        self._hop = hop = round(_HOP_SECONDS * rate)
        self._search = round(_SEARCH_SECONDS * rate)
        turn = np.linspace(0, np.pi / 2, hop, endpoint=False, dtype=np.float32)
        self._rise = np.sin(turn) ** 2
        self._sound = np.zeros(0, np.float32)  # what is still needed
        self._start = 0  # place of its first sample
        self._next = 0  # where the last window went on
        self._frames = 0
        self._tail = np.zeros(0, np.float32)  # of the last window, fading out

    def push(self, samples: Samples) -> Samples:
        """Take samples (n,); give those that are ready."""
        if self._speed == 1:
            return samples
        self._sound = np.concatenate([self._sound, samples])
        pieces = [np.zeros(0, np.float32)]
        while self._needed() <= self._start + len(self._sound):
            pieces.append(self._window())
        return np.concatenate(pieces)

    def finish(self) -> Samples:
        """The rest; after this nothing can be pushed."""
        if self._speed == 1:
            return self._tail
        length = round((self._start + len(self._sound)) / self._speed)
        rest = length - self._frames * self._hop
        silence = np.zeros(round(rest * self._speed) + self._search + 4 * self._hop, np.float32)
        return self.push(silence)[: max(0, rest)]

    def _place(self) -> int:
        """Where the next window would begin if it was not moved."""
        return round(self._frames * self._hop * self._speed)

    def _needed(self) -> int:
        """Place up to which there must be sound for the next window."""
        return max(self._place() + self._search, self._next) + 2 * self._hop

    def _window(self) -> Samples:
        hop, place = self._hop, self._place()
        if self._frames == 0:
            self._tail = self._sound[:hop] * (1 - self._rise)
        else:
            place = self._best(place)
        window = self._sound[place - self._start :][: 2 * hop]
        ready = self._tail + window[:hop] * self._rise
        self._tail = window[hop:] * (1 - self._rise)
        self._frames += 1
        self._next = place + hop
        unneeded = min(self._next, self._place() - self._search) - self._start
        if unneeded > 0:
            self._sound, self._start = self._sound[unneeded:], self._start + unneeded
        return ready

    def _best(self, place: int) -> int:
        """The start near `place` from which the sound is most like what would have come."""
        length = 2 * self._hop
        first = max(place - self._search, self._start)
        due = self._sound[self._next - self._start :][:length]
        field = self._sound[first - self._start : place - self._start + self._search + length]
        size = 1 << (len(field) - 1).bit_length()
        spectrum = np.fft.rfft(field, size) * np.fft.rfft(due, size).conj()
        alike = np.fft.irfft(spectrum, size)[: len(field) - length + 1]
        energy = np.concatenate([[0.0], np.cumsum(field.astype(np.float64) ** 2)])
        energy = energy[length:] - energy[:-length]
        return first + int(np.argmax(alike / np.sqrt(energy + 1e-6)))

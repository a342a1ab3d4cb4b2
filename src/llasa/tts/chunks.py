"""``AudioChunk``: what a stream consists of."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from llasa.audio.audio import Samples, to_int16
from llasa.tts.parts import Part
from llasa.tts.request import Request
from llasa.tts.timing import Timer, Timings, Track, Word

if TYPE_CHECKING:
    from llasa.search.result import Check
    from llasa.verifiers.base import FinishReason


@dataclass(frozen=True, eq=False)
class AudioChunk:
    """A piece of a stream: float32 `samples` (n,) at `rate` Hz that go on where the last one ended.

    `text` is the part of the text that is being spoken, as it was given, and `span` where it lies
    in the whole text (first character, one past the last). `codes` are those heard in this chunk,
    int64 (n,). The last chunk may have no sound; it alone has a `finish_reason`, as a `Speech` has.
    `warnings` are those that have come up since the chunk before, and `check` is how the part was
    heard, in its last chunk where it was checked. That one also has the `timings` of the part.
    """

    samples: Samples
    rate: int
    text: str
    span: tuple[int, int]
    codes: NDArray[np.int64]
    is_last: bool = False
    warnings: tuple[str, ...] = ()
    check: Check | None = None
    finish_reason: FinishReason | None = None
    timer: Callable[[], Timings] | None = field(default=None, repr=False)
    """Finds the timings, in the last chunk of a part."""

    @cached_property
    def timings(self) -> Timings | None:
        """When the words of the part that ends here are heard, in seconds of the whole stream.

        Found when it is first asked for; None where no part ends.
        """
        return None if self.timer is None else self.timer()

    @property
    def words(self) -> tuple[Word, ...]:
        """The words of the part that ends here; see `timings`."""
        return () if self.timings is None else self.timings.words

    @property
    def tokens(self) -> int:
        """Number of speech tokens."""
        return len(self.codes)

    @property
    def seconds(self) -> float:
        """Length of the sound."""
        return len(self.samples) / self.rate

    def pcm(self) -> bytes:
        """The samples as 16-bit little-endian integers."""
        return to_int16(self.samples).tobytes()


def as_chunks(
    parts: Generator[tuple[int, Part]], request: Request, timer: Timer, rate: int
) -> Iterator[AudioChunk]:
    """The parts of a request as chunks, with the warnings that came up meanwhile."""
    told, cut = 0, False
    track = Track(timer, rate)
    with closing(parts):
        for _, part in parts:
            new, cut = tuple(request.warnings[told:]), cut or part.cut
            told += len(new)
            yield AudioChunk(
                part.samples,
                rate,
                request.text[slice(*part.span)],
                part.span,
                part.codes,
                part.last,
                new + part.warnings,
                part.check,
                ("length" if cut else "stop") if part.last else None,
                track.add(request.text, part.samples, part.said),
            )

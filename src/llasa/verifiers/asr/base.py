"""Speech recognition for verifiers: the protocol, and clips of any length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from llasa.audio.audio import Samples
from llasa.verifiers.base import RATE, Named


@dataclass(frozen=True)
class Transcript:
    """What was heard, and the mean natural log-probability of its tokens under the recogniser.

    `complete` is False where the recogniser cut it off, because it repeated itself or grew longer
    than words of that time can be: then it should not be trusted.
    """

    text: str
    logprob: float
    complete: bool = True


class Recognizer(Named, Protocol):
    """Turns clips of 16 kHz speech into text."""

    @property
    def language(self) -> str: ...

    def load(self) -> None:
        """Open the model if it is not open."""

    def transcribe(self, clips: Sequence[Samples]) -> list[Transcript]:
        """One transcript a clip, float32 (n,) each; clips may have any length."""


def in_pieces(
    clips: Sequence[Samples],
    longest: float,
    transcribe: Callable[[Sequence[Samples]], list[Transcript]],
) -> list[Transcript]:
    """Transcribe clips of any length by a function for up to `longest` seconds."""
    parts = [pieces(clip, longest) for clip in clips]
    heard = iter(transcribe([piece for part in parts for piece in part]))
    found = []
    for part in parts:
        some = [next(heard) for _ in part]
        text = " ".join(transcript.text for transcript in some if transcript.text)
        logprob = float(np.mean([transcript.logprob for transcript in some]))
        found.append(Transcript(text, logprob, all(transcript.complete for transcript in some)))
    return found


def pieces(clip: Samples, longest: float) -> list[Samples]:
    """Cut a clip into pieces of at most `longest` seconds, at quiet places in their second half."""
    found, frame, most = [], RATE // 50, round(longest * RATE)
    while len(clip) > most:
        window = clip[most // 2 : most]
        window = window[: len(window) // frame * frame].reshape(-1, frame)
        place = most // 2 + frame * int((window**2).sum(axis=1).argmin()) + frame // 2
        found.append(clip[:place])
        clip = clip[place:]
    return [*found, clip]

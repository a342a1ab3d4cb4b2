"""A checked text and how it is to be spoken."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from llasa.lm.sampling import SamplingParams
from llasa.models.voice import Voice
from llasa.text import Passage
from llasa.tts.fragments import TextSource


@dataclass(frozen=True, eq=False)
class Request:
    """A checked text and how to speak it. Speaking does not change it.

    rule: how tokens are chosen; each part has its own seed and length. longest: seconds, of all of
    it and so of one part, as the model speaks. speed: how many times faster that is heard.
    turns: where others begin to speak (first character), and with which voice.
    """

    source: TextSource
    voice: Voice | None
    seed: int
    rule: SamplingParams
    longest: float
    speed: float = 1.0
    turns: Sequence[tuple[int, Voice]] = ()

    def cast_voice(self, passage: Passage) -> Voice | None:
        """The voice of whose turn it is; None where it is nobody's, which `voice` speaks."""
        place = bisect_right(self.turns, passage.span[0], key=lambda turn: turn[0])
        return self.turns[place - 1][1] if place else None

    def is_formed(self, passage: Passage) -> bool:
        """Whether a part is spoken in a voice that comes from this very text."""
        return self.voice is None and self.cast_voice(passage) is None

    @property
    def text(self) -> str:
        """The text as it was given, as far as it has come."""
        return self.source.text

    @property
    def passages(self) -> Sequence[Passage]:
        """Its parts, as far as it has come."""
        return self.source.passages

    @property
    def warnings(self) -> Sequence[str]:
        """Warnings about the text, as far as it has come."""
        return self.source.warnings

"""A checked text: where its parts come from, and how they are to be spoken."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from llasa.lm.sampling import SamplingParams
from llasa.models.voice import Voice
from llasa.text import Passage, Script, no_words

Judge = Callable[[str, bool], list[str]]
"""Returns warnings about a text; raises an error for one to refuse, unless forced."""


class TextSource:
    """The parts of a text, which iterating gives: each as soon as it is complete.

    passages: the parts that are known. warnings: about the text, so far. arriving: whether it
    comes in fragments; then nobody knows which part is the last.
    """

    def __init__(self, script: Script, fragments: Iterable[str], judge: Judge) -> None:
        """A text that is still arriving, and is judged as it arrives."""
        self._script, self._judge = script, judge
        self._fragments: Iterator[str | None] = itertools.chain(fragments, [None])
        self._shown: str | None = None
        self.passages: list[Passage] = []
        self.warnings: list[str] = []
        self.arriving = True

    @classmethod
    def whole(
        cls, script: Script, text: str, warnings: Iterable[str], shown: str | None = None
    ) -> TextSource:
        """A complete text that was judged already; `LlasaError` if it has no words.

        shown: the text as it came, of the same length, where not all of it is to be read.
        """
        source = cls(script, (), lambda text, force: [])
        source._fragments, source.arriving = iter(()), False
        source._shown = shown
        source.passages = list(script.read(text, final=True))
        source.warnings = [*script.warnings, *warnings]
        if not source.passages:
            raise no_words(text)
        return source

    @property
    def text(self) -> str:
        """The text so far, as it came."""
        return self._script.text if self._shown is None else self._shown

    @property
    def tail(self) -> float:
        """Seconds of silence that the text asks for at its end, so far."""
        return self._script.tail

    def silences(self, number: int) -> tuple[float, float]:
        """Seconds of silence before and after a part among the others."""
        passage = self.passages[number]
        if self.is_last(number):
            return passage.before, max(passage.pause, self.tail) if self.tail else 0.0
        return passage.before, passage.pause

    def is_last(self, number: int) -> bool:
        """Whether a part is known to be the last one."""
        return not self.arriving and number == len(self.passages) - 1

    def __iter__(self) -> Iterator[Passage]:
        yield from self.passages
        for fragment in self._fragments:
            for passage in list(self._script.read(fragment or "", final=fragment is None)):
                # All text so far is judged; once some of it was heard, it is not refused.
                so_far = self.text[: passage.span[1]]
                self._warn(self._judge(so_far, bool(self.passages)))
                self.passages.append(passage)
                yield passage
            if fragment is None:
                self._warn(self._script.warnings)
        if not self.passages:
            raise no_words(self.text)

    def _warn(self, warnings: Iterable[str]) -> None:
        self.warnings += [warning for warning in warnings if warning not in self.warnings]


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

"""A text that comes in fragments, or whole, as the parts that are spoken."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator

from llasa.text import Passage, Script, no_words
from llasa.text.clean import whole_characters

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
        source._shown = None if shown is None else whole_characters(shown)
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

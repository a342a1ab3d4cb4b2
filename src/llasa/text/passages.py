"""Turns every text, complete or in fragments, into the parts that are spoken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from llasa.base.errors import LlasaError
from llasa.base.names import check_choice
from llasa.text.clean import cleaned, dropped_warnings, whole_characters
from llasa.text.form import Form
from llasa.text.languages import language_code
from llasa.text.lexicon import Lexicon, inline
from llasa.text.markdown import MarkdownReader
from llasa.text.normalize import normalized
from llasa.text.sentences import LONGEST_SILENCE, mostly_wide, pause_after
from llasa.text.splitting import chunk_places
from llasa.text.structure import PlainReader, Sentence
from llasa.text.traced import Traced, join

TextFormat = Literal["text", "markdown"]
FORMATS: tuple[TextFormat, ...] = ("text", "markdown")
"""How a text may be marked up."""
READING = ("normalize", "language", "format_in", "lexicon")
"""Names of the settings in `Reading`."""
_WIDE_LETTERS = 3
"""How many letters a Chinese, Japanese or Korean character counts as, by speaking time."""


@dataclass(frozen=True)
class Reading:
    """How a text is read.

    normalize: spell out numbers, dates, money, units, signs and abbreviations.
    language: of what is spelled out, one of `LANGUAGES`; None: by the letters of each sentence.
    format_in: text (paragraphs, lists and headings as people type them) or markdown.
    lexicon: respellings of words.
    pause: seconds between sentences; None: as long as their ends suggest.
    """

    normalize: bool = True
    language: str | None = None
    format_in: TextFormat = "text"
    lexicon: Lexicon = field(default_factory=Lexicon)
    pause: float | None = None

    @classmethod
    def of(
        cls,
        normalize: bool,
        language: str | None,
        format_in: str,
        lexicon: Mapping[str, str] | Lexicon | None,
    ) -> Reading:
        """Built from a caller's arguments; `LlasaError` for invalid ones."""
        check_choice(format_in, FORMATS, "The format of the text")
        language_code(language)
        if not isinstance(lexicon, Lexicon):
            if not isinstance(lexicon, Mapping | None):
                raise LlasaError(f"lexicon must map words to respellings, not be {lexicon!r}.")
            lexicon = Lexicon(lexicon)
        return cls(bool(normalize), language, format_in, lexicon)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Passage:
    """A part of a text that is spoken in one go.

    `text` is what is said, in words; `given` the same as the model is given it; `span` where it
    lies in the text that came in (first character, one past the last). `before` are the seconds of
    silence that the text asks for before it, `pause` those that follow where more is said. `traced`
    is `text` with the characters of the text that came in for which each of its own stands.
    """

    text: str
    given: str
    span: tuple[int, int]
    pause: float
    before: float = 0.0
    traced: Traced = field(default_factory=lambda: Traced.of(""), compare=False, repr=False)


class Script:
    """Turns text into passages by these steps: clean, structure, lexicon, words, form.

    text: all that has come in. warnings: what was dropped from it. tail: seconds of silence that
    the text asks for at its end; known when all is read.
    """

    def __init__(self, reading: Reading, form: Form, limit: int, enough: int) -> None:
        """limit: characters of a passage, at most about (a third where the text is Chinese).

        enough: a sentence of so many is not spoken together with others; with 0 none is, and each
        comes as soon as it is complete.
        """
        if limit < 1:
            raise LlasaError(f"A part of a text has 1 character or more, not {limit}.")
        self._reading, self._form, self._limit, self._enough = reading, form, limit, enough
        self.text = ""
        self._reader = MarkdownReader() if reading.format_in == "markdown" else PlainReader()
        self._dropped: Counter[str] = Counter()
        self._group: tuple[Traced, Sentence] | None = None  # spoken together, and the last of it
        self._missing: str | None = None
        self._silence = self._paused = 0.0

    @property
    def warnings(self) -> list[str]:
        """A sentence about dropped characters, if there are any."""
        numbers = [f"Numbers were left as they are. {self._missing}"] if self._missing else []
        return dropped_warnings(self._dropped) + numbers

    @property
    def tail(self) -> float:
        """Seconds of silence that the text asks for at its end, so far."""
        return self._silence

    def read(self, fragment: str, final: bool = False) -> Iterator[Passage]:
        """Add text; returns the passages that are complete, with `final` all that are left."""
        if not isinstance(fragment, str):
            raise LlasaError(f"Text must come in strings, not {type(fragment).__name__}.")
        fragment = whole_characters(fragment)
        self.text += fragment
        for sentence in self._reader.read(fragment, final):
            yield from self._add(sentence)
            if not self._enough:
                yield from self._flush()
        if final:
            yield from self._flush()

    def _add(self, sentence: Sentence) -> Iterator[Passage]:
        said = self._said(sentence.text)
        if any(map(str.isalnum, said.text)):
            if not self._joins(said, sentence):
                yield from self._flush()
                self._group = said, sentence
        elif self._group is not None and sentence.ends:  # marks alone end what came before
            text, last = self._group
            self._group = text, last._replace(pause=max(last.pause, sentence.pause), ends=True)
        if sentence.silence:
            yield from self._flush()
            self._silence = min(self._silence + sentence.silence, LONGEST_SILENCE)

    def _said(self, written: Traced) -> Traced:
        """A sentence with numbers and signs spelled out."""
        text = cleaned(inline(written), self._dropped)
        text = self._reading.lexicon.apply(text)
        if not self._reading.normalize:
            return text
        try:
            return normalized(text, self._reading.language)
        except LlasaError as error:
            self._missing = str(error)
            return text

    def _joins(self, said: Traced, sentence: Sentence) -> bool:
        """Add a sentence to the waiting group if it belongs there; returns whether it does."""
        if self._group is None or self._group[1].cut or self._group[1].ends:
            return False
        text, wide = self._group[0], mostly_wide(said.text)
        share = _WIDE_LETTERS if wide else 1
        short = share * min(len(text), len(said)) < self._enough
        if not short or share * (len(text) + 1 + len(said)) > self._limit:
            return False
        self._group = join([text, said], "" if wide else " "), sentence
        return True

    def _flush(self) -> Iterator[Passage]:
        """The passages of the waiting group."""
        if self._group is None:
            return
        (text, last), self._group = self._group, None
        limit = max(1, self._limit // (_WIDE_LETTERS if mostly_wide(text.text) else 1))
        places = [
            (start, stop)
            for start, stop in chunk_places(text.text, limit)
            if any(map(str.isalnum, text.text[start:stop]))
        ]
        for number, (start, stop) in enumerate(places, 1):
            part = text[start:stop].strip()
            cut = number < len(places) or last.cut
            pause = pause_after(part.text) if number < len(places) else last.pause
            pause = pause if cut or self._reading.pause is None else self._reading.pause
            given = self._form(part.text, goes_on=cut)
            before = max(0.0, self._silence - self._paused)
            self._silence, self._paused = 0.0, pause
            yield Passage(part.text, given, part.span, pause, before, part)


def read_text(text: str, reading: Reading, form: Form, limit: int, enough: int) -> list[Passage]:
    """All passages of a text, see `Script`."""
    return list(Script(reading, form, limit, enough).read(text, final=True))

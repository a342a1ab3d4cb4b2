"""``Llasa.stream``: sound while the text is still being spoken, or even still arriving."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from llasa.audio import Samples
from llasa.codec.streaming import StreamingDecoder, StreamSettings
from llasa.errors import LlasaError
from llasa.request import Part, Request, joined, nothing_said, prepare_text, spoken_part
from llasa.search.checked import another_try
from llasa.search.result import Check
from llasa.search.strategies import Strategy
from llasa.synthesis import Llasa
from llasa.text import spans, stream_sentences


@dataclass(frozen=True, eq=False)
class AudioChunk:
    """A piece of a stream: float32 `samples` (n,) at `rate` Hz that go on where the last one ended.

    `text` is the part of the text that is being spoken, and `span` where it lies in the whole text
    (first character, one past the last), after cleaning. `codes` are those heard in this chunk,
    int64 (n,). The last chunk may have no sound. `warnings` are those that have come up since the
    chunk before, and `check` is how the part was heard, in its last chunk where it was checked.
    """

    samples: Samples
    rate: int
    text: str
    span: tuple[int, int]
    codes: NDArray[np.int64]
    is_last: bool = False
    warnings: tuple[str, ...] = ()
    check: Check | None = None

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
        return (self.samples * 32767).round().astype("<i2").tobytes()


_Piece = tuple[NDArray[np.int64], Samples, bool]
"""Codes and sound as they come, and whether the part ends with them; it is noted before that."""


_UNHEARD = np.zeros(0, np.float32)


@dataclass(frozen=True)
class _Passage:
    """A part of the text and where it lies; `more` where another one may follow."""

    text: str
    span: tuple[int, int]
    more: bool


def stream(
    tts: Llasa,
    request: Request,
    search: Strategy | None = None,
    settings: StreamSettings | None = None,
) -> Iterator[AudioChunk]:
    """Speak a request while its sound, or even its text, is still coming; see `Llasa.stream`."""
    most, told = request.longest * tts.rate, 0
    with closing(_speak(tts, request, search, settings)) as chunks:
        for chunk in chunks:
            chunk = replace(chunk, warnings=tuple(request.warnings[told:]))
            told = len(request.warnings)
            most -= len(chunk.samples)
            if most > 0 or (chunk.is_last and most > -0.5):
                yield chunk
                continue
            kept = max(1, len(chunk.samples) + round(most))
            request.cut = True
            yield replace(chunk, samples=chunk.samples[:kept], is_last=True)
            return


def _passages(request: Request) -> Iterator[_Passage]:
    places = spans(request.text, request.chunks)
    last = len(places) - 1
    for n, (part, place) in enumerate(zip(request.chunks, places, strict=True)):
        yield _Passage(part, place, n < last)


def _arriving(tts: Llasa, request: Request, fragments: Iterable[str]) -> Iterator[_Passage]:
    """The parts of each sentence; spans are those in the sentences joined by spaces."""
    for sentence in stream_sentences(fragments):
        if not any(char.isalnum() for char in sentence):
            continue
        clean, warnings = prepare_text(sentence, request.normalize)
        request.warnings += warnings + tts.check_language(clean, request.force)
        length = len(request.text) + bool(request.text)
        request.text = f"{request.text} {clean}" if request.text else clean
        parts = tts.chunks(clean, request.voice, alone=False)
        request.chunks += parts
        for part, (first, stop) in zip(parts, spans(clean, parts), strict=True):
            yield _Passage(part, (length + first, length + stop), True)
    if not request.text:
        raise LlasaError("The text has no letter or digit: give at least one word.")


def _speak(
    tts: Llasa, request: Request, search: Strategy | None, settings: StreamSettings | None
) -> Generator[AudioChunk]:
    """Chunks of all passages, with pauses between them."""
    text = request.fragments
    for number, passage in enumerate(
        _passages(request) if text is None else _arriving(tts, request, text)
    ):
        starts = number > 0
        if search is None:
            said = _part(tts, request, number, settings)
        else:
            said = _searched(tts, request, number, search)
        with closing(said) as pieces:
            for codes, samples, ends in pieces:
                more = ends and passage.more
                sound = joined(samples, tts.rate, passage.text, starts, more).clip(-1, 1)
                starts, last = False, ends and not passage.more
                check = request.checks[-1] if ends and request.checks else None
                about = (passage.text, passage.span, codes, last)
                yield AudioChunk(sound, tts.rate, *about, check=check)
    if passage.more:
        end = (passage.span[1], passage.span[1])
        yield AudioChunk(np.zeros(0, np.float32), tts.rate, "", end, np.zeros(0, np.int64), True)


def _part(
    tts: Llasa, request: Request, number: int, settings: StreamSettings | None
) -> Generator[_Piece]:
    """A part as its codes come; again where nothing came, or babble before it was heard."""
    task = tts.task(request, number)
    for again, params in enumerate((task.params, another_try(task.params, 1))):
        decoder = StreamingDecoder(tts.codec, settings, task.before, task.timbre)
        (generation,) = tts.engine.start([task.prompt], [params])
        taken = heard = 0
        codes = np.zeros(0, np.int64)
        try:
            while generation.finish is None:
                tts.engine.advance([generation], decoder.missing)
                new = tts.vocabulary.ids_to_codes(generation.tokens[taken:])
                taken, codes = len(generation.tokens), np.concatenate([codes, new])
                samples = decoder.push(new)
                if generation.finish is not None:
                    if not (heard or again) and task.failed(len(codes), generation.finish):
                        break
                    samples = np.concatenate([samples, decoder.finish()])
                    if len(codes):
                        part = spoken_part(task, codes, _UNHEARD, generation.finish)
                        _ended(request, number, part)
                if frames := len(samples) // tts.codec.hop:
                    heard += frames
                    yield codes[heard - frames : heard], samples, generation.finish is not None
        finally:
            tts.engine.release([generation])
        if heard:
            return
    raise nothing_said(task.text)


def _searched(tts: Llasa, request: Request, number: int, search: Strategy) -> Generator[_Piece]:
    """A part as the best of several, in one piece."""
    part = tts.search(request, number, search)
    _ended(request, number, part)
    yield part.codes, part.samples, True


def _ended(request: Request, number: int, part: Part) -> None:
    request.note(part)
    if number == 0:
        request.parts.append(part)  # the prompt of the others

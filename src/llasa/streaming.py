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
from llasa.request import Part, Request, joined, nothing_said, prepare_text, second_chance
from llasa.search.strategies import Strategy
from llasa.synthesis import Llasa
from llasa.text import spans, stream_sentences


@dataclass(frozen=True, eq=False)
class AudioChunk:
    """A piece of a stream: float32 `samples` (n,) at `rate` Hz that go on where the last one ended.

    `text` is the part of the text that is being spoken, and `span` where it lies in the whole text
    (first character, one past the last), after cleaning. `codes` are those heard in this chunk,
    int64 (n,). The last chunk may have no sound.
    """

    samples: Samples
    rate: int
    text: str
    span: tuple[int, int]
    codes: NDArray[np.int64]
    is_last: bool = False

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
"""Codes and sound as they come, and whether the part ends with them."""


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
    most = request.longest * tts.rate
    with closing(_in_turn(tts, _speak(tts, request, search, settings))) as chunks:
        for chunk in chunks:
            most -= len(chunk.samples)
            if most > 0 or chunk.is_last:
                yield chunk
                continue
            kept = max(1, len(chunk.samples) + round(most))
            request.cut = True
            yield replace(chunk, samples=chunk.samples[:kept], is_last=True)
            return


def _in_turn(tts: Llasa, chunks: Generator[AudioChunk]) -> Generator[AudioChunk]:
    """The same chunks; while one is made, other threads wait, and between two they may speak."""
    try:
        while True:
            with tts.turn():
                chunk = next(chunks, None)
            if chunk is None:
                return
            yield chunk
    finally:
        with tts.turn():
            chunks.close()


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
        request.warnings += warnings
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
                yield AudioChunk(sound, tts.rate, passage.text, passage.span, codes, last)
    if passage.more:
        end = (passage.span[1], passage.span[1])
        yield AudioChunk(np.zeros(0, np.float32), tts.rate, "", end, np.zeros(0, np.int64), True)


def _part(
    tts: Llasa, request: Request, number: int, settings: StreamSettings | None
) -> Generator[_Piece]:
    """A part as its codes come."""
    task = tts.task(request, number)
    for params in (task.params, second_chance(task.params)):
        decoder = StreamingDecoder(tts.codec, settings, task.before, task.timbre)
        (generation,) = tts.engine.start([task.prompt], [params])
        taken = heard = 0
        try:
            while generation.finish is None:
                tts.engine.advance([generation], decoder.missing)
                new = generation.tokens[taken:]
                taken += len(new)
                samples = decoder.push(tts.vocabulary.ids_to_codes(new))
                if generation.finish is not None:
                    samples = np.concatenate([samples, decoder.finish()])
                if frames := len(samples) // tts.codec.hop:
                    ids = generation.tokens[heard : heard + frames]
                    heard += frames
                    codes = tts.vocabulary.ids_to_codes(ids)
                    yield codes, samples, generation.finish is not None
        finally:
            tts.engine.release([generation])
        if generation.tokens:
            break
    else:
        raise nothing_said(task.text)
    codes, unheard = tts.vocabulary.ids_to_codes(generation.tokens), np.zeros(0, np.float32)
    _ended(request, number, Part(task.text, codes, unheard, generation.finish != "stop"))


def _searched(tts: Llasa, request: Request, number: int, search: Strategy) -> Generator[_Piece]:
    """A part as the best of several, in one piece."""
    part = tts.search(request, number, search)
    yield part.codes, part.samples, True
    _ended(request, number, part)


def _ended(request: Request, number: int, part: Part) -> None:
    request.cut |= part.cut
    if number == 0:
        request.parts.append(part)  # the prompt of the others

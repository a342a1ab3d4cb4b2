"""``Llasa.stream``: sound while the text is still being spoken, or even still arriving."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from llasa.audio.audio import Samples
from llasa.codec.streaming import StreamingDecoder, StreamSettings
from llasa.search.result import Check
from llasa.search.strategies import Strategy
from llasa.text import Passage, no_words
from llasa.tts.check import another_try
from llasa.tts.llasa import Llasa
from llasa.tts.request import Part, Request, joined, nothing_said, silence, spoken_part


@dataclass(frozen=True, eq=False)
class AudioChunk:
    """A piece of a stream: float32 `samples` (n,) at `rate` Hz that go on where the last one ended.

    `text` is the part of the text that is being spoken, as it was given, and `span` where it lies
    in the whole text (first character, one past the last). `codes` are those heard in this chunk,
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


def _in_turn(tts: Llasa, pieces: Generator[_Piece]) -> Generator[_Piece]:
    """The same pieces; while one is made, other threads wait, and between two they may speak."""
    try:
        while True:
            with tts.turn():
                piece = next(pieces, None)
            if piece is None:
                return
            yield piece
    finally:
        with tts.turn():
            pieces.close()


def _arriving(tts: Llasa, request: Request) -> Iterator[Passage]:
    """The parts of a text, each as soon as it is complete."""
    if request.fragments is None or request.script is None:
        yield from request.chunks
        return
    script = request.script
    for fragment in itertools.chain(request.fragments, [None]):
        new = list(script.read(fragment or "", final=fragment is None))
        request.text = script.text
        for passage in new:
            # What has come so far is judged, as a whole text is; once heard, it is not refused.
            so_far = request.text[: passage.span[1]]
            warnings = tts.check_language(so_far, request.force or bool(request.chunks))
            request.warnings += [w for w in warnings if w not in request.warnings]
            request.chunks.append(passage)
            yield passage
    request.tail = script.tail
    request.warnings += script.warnings
    if not request.chunks:
        raise no_words(request.text)


def _speak(
    tts: Llasa, request: Request, search: Strategy | None, settings: StreamSettings | None
) -> Generator[AudioChunk]:
    """Chunks of all passages, with pauses between them."""

    def chunk(samples: Samples, place: tuple[int, int], codes: NDArray[np.int64]) -> AudioChunk:
        return AudioChunk(samples, tts.rate, request.text[slice(*place)], place, codes)

    nothing = np.zeros(0, np.int64)
    for number, passage in enumerate(_arriving(tts, request)):
        if passage.before:
            yield chunk(silence(passage.before, tts.rate), passage.span, nothing)
        arriving = request.fragments is not None
        more = arriving or request.tail > 0 or number < len(request.chunks) - 1
        starts = number > 0
        if search is None:
            said = _part(tts, request, number, settings)
        else:
            said = _searched(tts, request, number, search)
        with closing(_in_turn(tts, said)) as pieces:
            for codes, samples, ends in pieces:
                sound = joined(samples, tts.rate, passage, starts, ends and more).clip(-1, 1)
                starts = False
                check = request.checks[-1] if ends and request.checks else None
                piece = chunk(sound, passage.span, codes)
                yield replace(piece, is_last=ends and not more, check=check)
    if more:
        end = passage.span[1], passage.span[1]
        rest = silence(max(0.0, request.tail - passage.pause), tts.rate)
        yield replace(chunk(rest, end, nothing), is_last=True)


def _part(
    tts: Llasa, request: Request, number: int, settings: StreamSettings | None
) -> Generator[_Piece]:
    """A part as its codes come; again where nothing came, or babble before it was heard."""
    task = tts.task(request, number)
    for again, params in enumerate((task.params, another_try(task.params, 1))):
        decoder = StreamingDecoder(tts.codec, settings, task.before, task.speaker_embedding)
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
    raise nothing_said(task.written)


def _searched(tts: Llasa, request: Request, number: int, search: Strategy) -> Generator[_Piece]:
    """A part as the best of several, in one piece."""
    part = tts.search(request, number, search)
    _ended(request, number, part)
    yield part.codes, part.samples, True


def _ended(request: Request, number: int, part: Part) -> None:
    request.note(part)
    if number == 0:
        request.parts.append(part)  # the prompt of the others

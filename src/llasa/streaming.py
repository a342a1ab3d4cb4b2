"""``Llasa.stream``: sound while the text is still being spoken, or even still arriving."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from llasa.audio import Samples
from llasa.codec.streaming import StreamingDecoder, StreamSettings
from llasa.request import Part, Request, joined, nothing_said, second_chance, silence
from llasa.search.strategies import Strategy
from llasa.synthesis import Llasa
from llasa.text import Passage, no_words


@dataclass(frozen=True, eq=False)
class AudioChunk:
    """A piece of a stream: float32 `samples` (n,) at `rate` Hz that go on where the last one ended.

    `text` is the part of the text that is being spoken, as it was given, and `span` where it lies
    in the whole text (first character, one past the last). `codes` are those heard in this chunk,
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


def stream(
    tts: Llasa,
    request: Request,
    search: Strategy | None = None,
    settings: StreamSettings | None = None,
) -> Iterator[AudioChunk]:
    """Speak a request while its sound, or even its text, is still coming; see `Llasa.stream`."""
    most = request.longest * tts.rate
    with closing(_speak(tts, request, search, settings)) as chunks:
        for chunk in chunks:
            most -= len(chunk.samples)
            if most > 0 or chunk.is_last:
                yield chunk
                continue
            kept = max(1, len(chunk.samples) + round(most))
            request.cut = True
            yield replace(chunk, samples=chunk.samples[:kept], is_last=True)
            return


def _arriving(request: Request) -> Iterator[Passage]:
    """The parts of a text, each as soon as it is complete."""
    if request.fragments is None or request.script is None:
        yield from request.chunks
        return
    script = request.script
    for fragment in itertools.chain(request.fragments, [None]):
        new = list(script.read(fragment or "", final=fragment is None))
        request.text = script.text
        request.chunks += new
        yield from new
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
    for number, passage in enumerate(_arriving(request)):
        if passage.before:
            yield chunk(silence(passage.before, tts.rate), passage.span, nothing)
        arriving = request.fragments is not None
        more = arriving or request.tail > 0 or number < len(request.chunks) - 1
        starts = number > 0
        if search is None:
            said = _part(tts, request, number, settings)
        else:
            said = _searched(tts, request, number, search)
        with closing(said) as pieces:
            for codes, samples, ends in pieces:
                sound = joined(samples, tts.rate, passage, starts, ends and more).clip(-1, 1)
                starts = False
                piece = chunk(sound, passage.span, codes)
                yield replace(piece, is_last=ends and not more)
    if more:
        end = passage.span[1], passage.span[1]
        rest = silence(max(0.0, request.tail - passage.pause), tts.rate)
        yield replace(chunk(rest, end, nothing), is_last=True)


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

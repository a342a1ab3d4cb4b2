"""``Llasa.stream``: sound while the text is still being spoken, or even still arriving."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from llasa.audio import Samples, fade
from llasa.codec.streaming import StreamingDecoder, StreamSettings
from llasa.engine.sampling import SamplingParams
from llasa.errors import LlasaError
from llasa.synthesis import RETRY, Llasa, Part, Request, codes_before, nothing_said, prepare_text
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


@dataclass(frozen=True)
class _Passage:
    """A part of the text and where it lies; `more` where another one may follow."""

    text: str
    span: tuple[int, int]
    more: bool


def stream(
    tts: Llasa,
    text: str | Iterable[str],
    request: Request,
    rule: SamplingParams,
    settings: StreamSettings | None,
) -> Iterator[AudioChunk]:
    """Speak what `request` holds, or a text in fragments as it asks for; see `Llasa.stream`."""
    if isinstance(text, str):
        passages = _passages(request)
    else:
        request.chunks.clear()
        passages = _arriving(tts, request, text)
    most = request.longest * tts.rate
    with closing(_speak(tts, request, passages, rule, settings)) as chunks:
        for chunk in chunks:
            most -= len(chunk.samples)
            if most > 0 or chunk.is_last:
                yield chunk
                continue
            kept = max(1, len(chunk.samples) + round(most))
            yield replace(chunk, samples=chunk.samples[:kept], is_last=True)
            return


def _passages(request: Request) -> Iterator[_Passage]:
    places = spans(request.text, request.chunks)
    last = len(places) - 1
    for n, (part, place) in enumerate(zip(request.chunks, places, strict=True)):
        yield _Passage(part, place, n < last)


def _arriving(tts: Llasa, request: Request, fragments: Iterable[str]) -> Iterator[_Passage]:
    """The parts of each sentence; spans are those in the sentences joined by spaces."""
    length = 0
    for sentence in stream_sentences(fragments):
        if not any(char.isalnum() for char in sentence):
            continue
        clean, _ = prepare_text(sentence, request.normalize)
        parts = tts._chunks(clean, request.voice, alone=False)
        request.chunks += parts
        for part, (first, stop) in zip(parts, spans(clean, parts), strict=True):
            yield _Passage(part, (length + first, length + stop), True)
        length += len(clean) + 1
    if not length:
        raise LlasaError("The text has no letter or digit: give at least one word.")


def _speak(
    tts: Llasa,
    request: Request,
    passages: Iterator[_Passage],
    rule: SamplingParams,
    settings: StreamSettings | None,
) -> Generator[AudioChunk]:
    """Chunks of all passages, with pauses between them."""
    rate = tts.rate
    for number, passage in enumerate(passages):
        starts = number > 0
        with closing(_part(tts, request, number, rule, settings)) as pieces:
            for codes, samples, ends in pieces:
                if starts:
                    fade(samples, rate)
                if ends and passage.more:
                    fade(samples[::-1], rate)
                    samples = np.concatenate([samples, tts._pause(passage.text)])
                starts, last = False, ends and not passage.more
                sound = samples.clip(-1, 1)
                yield AudioChunk(sound, rate, passage.text, passage.span, codes, last)
    if passage.more:
        end = (passage.span[1], passage.span[1])
        yield AudioChunk(np.zeros(0, np.float32), rate, "", end, np.zeros(0, np.int64), True)


def _part(
    tts: Llasa,
    request: Request,
    number: int,
    rule: SamplingParams,
    settings: StreamSettings | None,
) -> Generator[tuple[NDArray[np.int64], Samples, bool]]:
    """Codes and sound of a part as they come, and whether the part ends with them."""
    voice = tts._part_voice(request, number)
    prompt = tts._prompt(request.chunks[number], voice)
    limit = tts._limit(request, number, prompt)
    for seed in (request.seed + number, request.seed + number + RETRY):
        decoder = StreamingDecoder(tts.codec, settings, codes_before(voice))
        (generation,) = tts.engine.start([prompt], [replace(rule, seed=seed, max_tokens=limit)])
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
        raise nothing_said(request.chunks[number])
    if number == 0:  # the prompt of the others
        codes = tts.vocabulary.ids_to_codes(generation.tokens)
        unheard = np.zeros(0, np.float32)
        request.parts.append(Part(request.chunks[0], codes, unheard, generation.finish != "stop"))

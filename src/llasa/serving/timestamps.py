"""When words are heard, as clients read it: OpenAI's names, and those of Kokoro-FastAPI."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any, Literal

from llasa.tts.request import Request
from llasa.tts.timing import Timings

Granularity = Literal["word", "segment", "phone"]
Piece = bytes | Mapping[str, Any]
"""Of a speech: sound, or an event that is not sound."""
EVENT = "speech.audio.timestamps"


def timestamps(
    request: Request, timings: Timings, kinds: Collection[Granularity]
) -> dict[str, Any]:
    """Times of what was spoken of a request, of the kinds that are wanted.

    A segment is a part of the text that was spoken in one go, as a rule a sentence; its `id` is its
    number in the whole text.
    """
    found: dict[str, Any] = {"source": timings.source}
    if "word" in kinds:
        found["words"] = [word.to_dict() for word in timings.words]
    if "segment" in kinds:
        found["segments"] = list(_segments(request, timings))
    if "phone" in kinds:
        found["phones"] = [phone.to_dict() for phone in timings.phones]
    return found


def _segments(request: Request, timings: Timings) -> list[dict[str, Any]]:
    segments = []
    for number, passage in enumerate(request.passages):
        first, stop = passage.span
        words = [word for word in timings.words if first <= word.span[0] < stop]
        if words:
            times = {"id": number, "start": words[0].start, "end": words[-1].end}
            text = request.text[first:stop]
            segments.append({**times, "text": text, "span": [first, stop]})
    return segments


async def captioned(
    pieces: AsyncIterator[Piece], media_type: str, stamped: bool
) -> AsyncIterator[dict[str, Any]]:
    """The answers of Kokoro-FastAPI's /dev/captioned_speech: sound in base64 and its words.

    Each has the sound since the one before, and the words of the part that ends with it; `stamped`:
    else null in their place.
    """
    sound = b""

    def answer(words: list[dict[str, Any]]) -> dict[str, Any]:
        stamps = [
            {"word": word["word"], "start_time": word["start"], "end_time": word["end"]}
            for word in words
        ]
        return {
            "audio": base64.b64encode(sound).decode(),
            "audio_format": media_type.partition(";")[0],
            "timestamps": stamps if stamped else None,
        }

    async for piece in pieces:
        if isinstance(piece, bytes):
            sound += piece
            continue
        yield answer(piece.get("words", []))
        sound = b""
    if sound:
        yield answer([])

"""Encodes sound into bytes while more of it is still being made."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import numpy as np

from llasa.audio.audio import Audio, Samples, to_int16
from llasa.audio.formats import encoder, resampler
from llasa.base.errors import LlasaError
from llasa.base.packages import PIP, has_package

PCM_RATE = 24_000
"""Hz of raw samples, which carry no header: what OpenAI's clients expect."""
_MP3_LEVEL = 0.5
MEDIA_TYPES = {
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "opus": "audio/ogg",
    "pcm": f"audio/pcm;rate={PCM_RATE};channels=1",
}


def encoders() -> list[str]:
    """Those of `MEDIA_TYPES` whose encoder is installed."""
    return [name for name in MEDIA_TYPES if name != "aac" or has_package("av")]


def check_encoder(format: str) -> None:
    """`LlasaError` for a format whose encoder is not installed."""
    if format == "aac" and format not in (found := encoders()):
        raise LlasaError(
            f"Format aac needs a package that is not installed: run pip install {PIP['av']}, or "
            f"take one of {', '.join(found)}."
        )


def encode(audio: Audio, format: str) -> bytes:
    """A complete mono file."""
    if format != "pcm":
        check_encoder(format)
        return audio.encode(format)
    encoder = StreamEncoder(format, audio.rate)
    return encoder.push(audio.samples) + encoder.finish()


class StreamEncoder:
    """Mono float32 pieces to the bytes of a file whose length is not known yet.

    `format` is one of `MEDIA_TYPES`; pcm is 16 bit, little-endian, at `PCM_RATE`, and aac, in
    frames with headers (ADTS), needs the extra `av`.
    """

    def __init__(self, format: str, rate: int) -> None:
        self._format = format
        check_encoder(format)
        self._convert = resampler(rate, PCM_RATE if format == "pcm" else rate)
        self._buffer = io.BytesIO()
        self._sent = 0
        self._open = ExitStack()
        # Not a method, which would make a reference cycle.
        self._write: Callable[[Samples], None] = partial(_write_pcm, self._buffer)
        if format == "wav":
            self._buffer.write(_endless_wav(rate))
        elif format != "pcm":
            # Players guess the length of a streamed mp3 by its first frames' bitrate.
            level, mode = (_MP3_LEVEL, "CONSTANT") if format == "mp3" else (None, None)
            file = encoder(self._buffer, format, rate, compression=level, bitrate=mode)
            self._write = self._open.enter_context(file)

    def push(self, samples: Samples) -> bytes:
        """Take samples (n,); give the bytes that are ready, which may be none."""
        return self._push(samples, last=False)

    def finish(self) -> bytes:
        """The rest of the file."""
        ready = self._push(np.zeros(0, np.float32), last=True)
        self._open.close()
        return ready + self._new()

    def _push(self, samples: Samples, last: bool) -> bytes:
        self._write(self._convert(samples, last))
        # No FLAC before its end: libsndfile itself cannot read one of unknown length.
        return b"" if self._format == "flac" else self._new()

    def _new(self) -> bytes:
        """What was appended since the last time. (Closing a file also mends its header.)"""
        with self._buffer.getbuffer() as buffer:
            new = bytes(buffer[self._sent :])
        self._sent += len(new)
        return new


def _write_pcm(buffer: io.BytesIO, samples: Samples) -> None:
    buffer.write(to_int16(samples).tobytes())


def _endless_wav(rate: int) -> bytes:
    """Header of a WAV file (mono, 16 bit) of the greatest length there is."""
    most = 0xFFFFFFFF
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16)
    data = struct.pack("<4sI", b"data", most)
    return struct.pack("<4sI4s", b"RIFF", most, b"WAVE") + form + data

"""Formats of sound files, and encoders that take sound piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from llasa.audio.containers import container_encoder
from llasa.base.errors import LlasaError
from llasa.base.names import check_choice

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class _Format:
    """A file format: its names, and the sample rates (Hz) it can hold (None: any).

    The names are those of libsndfile, or of FFmpeg where `by_av`.
    """

    container: str
    subtype: str
    rates: tuple[int, ...] | None = None
    by_av: bool = False

    def rate_for(self, rate: int) -> int:
        """The rate that sound of `rate` is written at."""
        if self.rates is None or rate in self.rates:
            return rate
        return min((higher for higher in self.rates if higher > rate), default=max(self.rates))


_MPEG_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
FORMATS = {
    "wav": _Format("WAV", "PCM_16"),
    "flac": _Format("FLAC", "PCM_16"),
    "mp3": _Format("MP3", "MPEG_LAYER_III", _MPEG_RATES),
    "ogg": _Format("OGG", "VORBIS"),
    "opus": _Format("OGG", "OPUS", _OPUS_RATES),
    "m4a": _Format("ipod", "aac", _MPEG_RATES, by_av=True),
    "aac": _Format("adts", "aac", _MPEG_RATES, by_av=True),
    "webm": _Format("webm", "libopus", _OPUS_RATES, by_av=True),
}
"""Formats that can be read and written, by suffix; the last three need the extra `av`."""


@contextmanager
def encoder(
    file: IO[bytes] | Path,
    format: str,
    rate: int,
    channels: int = 1,
    compression: float | None = None,
    bitrate: str | None = None,
) -> Iterator[Callable[[Samples], None]]:
    """Encode sound piece by piece: yields a function that takes samples, any number of times.

    Sound of a `rate` that the format cannot hold is resampled; `compression` is libsndfile's level,
    0 (largest file) to 1, and `bitrate` its mode, such as CONSTANT. The file is complete when the
    block ends.
    """
    import soundfile

    chosen = _format(format)
    target = chosen.rate_for(rate)
    convert = resampler(rate, target, channels)
    try:
        if chosen.by_av:
            with container_encoder(
                file, chosen.container, chosen.subtype, target, channels
            ) as into:
                yield lambda samples: into(convert(samples, False).clip(-1, 1))
                into(convert(_nothing(channels), True).clip(-1, 1))
            return
        with soundfile.SoundFile(
            file,
            "w",
            target,
            channels,
            chosen.subtype,
            format=chosen.container,
            compression_level=compression,
            bitrate_mode=bitrate,
        ) as sound:

            def write(samples: Samples, last: bool = False) -> None:
                samples = convert(samples, last)
                # Second by second: libsndfile's Vorbis encoder overflows its stack on long blocks.
                for start in range(0, len(samples), target):
                    sound.write(samples[start : start + target].clip(-1, 1))

            yield write
            write(_nothing(channels), last=True)
            if chosen.subtype == "OPUS":
                # libsndfile's last Opus frame is distorted: let it be 20 ms of silence.
                sound.write(np.zeros((target // 50, *_nothing(channels).shape[1:]), np.float32))
    except (soundfile.SoundFileError, OSError) as error:
        raise LlasaError(
            f"Audio of {rate} Hz and {channels} channels cannot be written as {format}: {error}."
        ) from error


def _nothing(channels: int) -> Samples:
    """No samples of so many channels."""
    return np.zeros(0 if channels == 1 else (0, channels), np.float32)


def resampler(rate: int, target: int, channels: int = 1) -> Callable[[Samples, bool], Samples]:
    """A function from pieces of sound to the same at another rate (soxr, high quality).

    It takes samples (n,) or (n, channels), and whether they are the last; it gives what is ready.
    """
    if rate == target:
        return lambda samples, last: samples
    import soxr

    stream = soxr.ResampleStream(rate, target, channels, dtype="float32")
    return lambda samples, last: stream.resample_chunk(samples, last)


def suffix_format(path: str | Path) -> str:
    """The format that a file name asks for; `LlasaError` for one that cannot be written."""
    name = Path(path).suffix[1:].lower()
    if not name:
        raise LlasaError(f"{path} has no suffix: end it in {', '.join(FORMATS)}.")
    _format(name)
    return name


def _format(name: str) -> _Format:
    check_choice(name.lower(), FORMATS, "The audio format")
    return FORMATS[name.lower()]

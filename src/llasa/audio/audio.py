"""Audio in memory and in files: reading, writing, resampling, levels and silence."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from llasa.audio.containers import ContainerFile, container_encoder, demuxer_of
from llasa.audio.play import play
from llasa.base.errors import LlasaError
from llasa.base.files import read_bytes, write_atomic
from llasa.base.names import check_choice, whole

Samples = NDArray[np.float32]
SPEECH_RATE = 16_000
"""Hertz at which models of speech listen."""


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

_MOST_CHANNELS, _HIGHEST_RATE = 8, 384_000
_MOST_VALUES = 12_000_000
"""Samples of all channels together, where a length is given: 60 s in stereo at 96 kHz."""
_LOUDEST = 8.0
"""Times full scale: up to this a recording is just too loud, beyond it has another scale."""
_CANCELLED = 0.01
"""Share of a channel's power: if their mean has less, the channels cancel each other."""

FRAME_SECONDS = 0.02
"""Length of the frames over which a level is measured."""
FADE_SECONDS = 0.01
"""Length of `fade`."""


@dataclass(frozen=True)
class Audio:
    """Sound: float32 samples in [-1, 1], shape (n,) or (n, channels), and their rate in Hz.

    Lists, NumPy arrays and torch tensors are taken, see `as_samples`. Raises `LlasaError` for what
    cannot be sound.
    """

    samples: Samples
    rate: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "samples", as_samples(self.samples, "The audio"))
        object.__setattr__(self, "rate", as_rate(self.rate, "The audio"))

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate

    def mono(self) -> Audio:
        """The mean of all channels, shape (n,); the loudest one where they cancel each other."""
        if self.samples.ndim == 1:
            return self
        mean: Samples = self.samples.mean(axis=1, dtype=np.float32)
        power = np.einsum("nc,nc->c", self.samples, self.samples, dtype=np.float64)
        if np.einsum("n,n->", mean, mean, dtype=np.float64) < _CANCELLED * power.max(initial=0.0):
            mean = self.samples[:, int(power.argmax())]
        return replace(self, samples=mean)

    def resample(self, rate: int) -> Audio:
        """The same sound at another rate (soxr, high quality)."""
        rate = as_rate(rate, "The audio")
        if rate == self.rate:
            return self
        import soxr

        samples = soxr.resample(self.samples, self.rate, rate)
        return Audio(np.ascontiguousarray(samples, dtype=np.float32), rate)

    def trim_silence(self, threshold: float = -45.0, margin: float = 0.06) -> Audio:
        """Without silence at both ends: what stays `threshold` dB or more below the peak.

        `margin` seconds of it are kept. Raises `LlasaError` where the sound is silent throughout.
        """
        loudness = np.abs(self.samples) if self.samples.ndim == 1 else np.abs(self.samples).max(1)
        peak = float(loudness.max(initial=0.0))
        if peak == 0.0:
            raise LlasaError("The audio is silent.")
        loud = np.flatnonzero(loudness > peak * 10 ** (threshold / 20))
        keep = round(margin * self.rate)
        return replace(self, samples=self.samples[max(0, loud[0] - keep) : loud[-1] + 1 + keep])

    def level(self) -> float:
        """Loudness of the speech in dB below full scale: RMS over the frames that are not pauses.

        Pauses are frames of 20 ms more than 40 dB below the loudest. -inf for silence.
        """
        mono = self.mono().samples.astype(np.float64)
        frame = max(1, round(FRAME_SECONDS * self.rate))
        padded = np.pad(mono, (0, -len(mono) % frame)).reshape(-1, frame)
        power = (padded**2).mean(axis=1)
        top = power.max(initial=0.0)
        if top == 0.0:
            return float("-inf")
        return float(10 * np.log10(power[power > top * 1e-4].mean()))

    def play(self) -> None:
        """Play it and wait for its end.

        The package sounddevice (extra `play`) does it, or else a player of the system. Raises
        `LlasaError` where there is none.
        """
        if len(self.samples):
            play(self)

    def encode(self, format: str = "wav", compression: float | None = None) -> bytes:
        """The bytes of a file in one of `FORMATS`; m4a, aac and webm need the extra `av`.

        Samples beyond [-1, 1] are clipped; rates that mp3 and opus cannot hold are resampled.
        `compression` is libsndfile's level, 0 (largest file) to 1, in place of its default.
        """
        if len(self.samples) == 0:
            raise LlasaError("The audio is empty: there is nothing to write.")
        if not np.isfinite(self.samples).all():
            raise LlasaError("The audio holds values that are not numbers (NaN or infinity).")
        channels = 1 if self.samples.ndim == 1 else self.samples.shape[1]
        buffer = io.BytesIO()
        with encoder(buffer, format, self.rate, channels, compression) as write:
            write(self.samples)
        return buffer.getvalue()

    def write(self, path: str | Path) -> None:
        """Write a file in the format its suffix names, in one step.

        Raises `LlasaError` for an unknown suffix, a missing folder, missing rights or a full disk.
        """
        write_atomic(path, self.encode(suffix_format(path)))


@contextmanager
def encoder(
    file: IO[bytes] | Path,
    format: str,
    rate: int,
    channels: int = 1,
    compression: float | None = None,
    bitrate: str | None = None,
) -> Iterator[Callable[[Samples], None]]:
    """Encode sound as it comes: gives a function that takes samples, any number of times.

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


def fade(samples: Samples, rate: int) -> None:
    """Let sound begin from silence, in place; given backwards, end in it."""
    count = min(len(samples), round(FADE_SECONDS * rate))
    samples[:count] *= rise(count)


def rise(count: int) -> Samples:
    """Gains from 0 to 1, (count,); with what is missing to 1 they fade one sound into another."""
    rising: Samples = np.sin(np.linspace(0, np.pi / 2, count, dtype=np.float32)) ** 2
    return rising


def as_samples(value: Any, name: str) -> Samples:
    """The gate for sound: float32 samples (n,) or (n, channels), contiguous.

    Takes floats in [-1, 1], and integers, which are scaled: int16, int32, int8, and uint8 around
    128. The longer side of an array is time; a single channel becomes (n,). `name` begins errors.
    Raises `LlasaError` for other shapes and types, and for floats that are scaled otherwise.
    """
    if hasattr(value, "detach"):  # a torch tensor; NumPy has no bfloat16
        value = value.detach().cpu()
        value = (value.float() if value.is_floating_point() else value).numpy()
    try:
        array = np.asarray(value)
    except ValueError as error:  # lists of unequal length
        raise LlasaError(f"{name} is not an array of numbers.") from error
    if array.size == 0:
        return np.zeros(0, np.float32)
    if array.ndim == 2 and array.shape[0] < array.shape[1]:
        array = array.T
    if array.ndim == 2 and 1 in array.shape[1:]:
        array = array[:, 0]
    if array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[1] > _MOST_CHANNELS):
        raise LlasaError(
            f"{name} has shape {np.shape(value)}: give (n,) or (n, channels), with at most "
            f"{_MOST_CHANNELS} channels."
        )
    if array.dtype.kind == "f":
        samples = np.ascontiguousarray(array, dtype=np.float32)
        peak = max(samples.max(initial=0.0), -samples.min(initial=0.0))
        if _LOUDEST < peak < np.inf:
            raise LlasaError(
                f"{name} reaches {peak:g}, where full scale is 1: divide its samples by the "
                "largest value of their format (32768 for 16 bits)."
            )
        return samples
    scale = _INTEGERS.get(array.dtype.name)
    if scale is None:
        raise LlasaError(
            f"{name} holds {array.dtype} values: give floats in [-1, 1], or int16 or int32."
        )
    zero, full = scale
    return ((np.ascontiguousarray(array).astype(np.float64) - zero) / full).astype(np.float32)


_INTEGERS = {"int8": (0, 128), "uint8": (128, 128), "int16": (0, 2**15), "int32": (0, 2**31)}
"""What silence and full scale are in integers."""


def as_rate(value: object, name: str) -> int:
    """The gate for sample rates: whole Hertz above 0, which may come as a float."""
    if isinstance(value, float | np.floating) and value.is_integer():
        value = int(value)
    return whole(f"{name}: the sample rate", value)


def read_audio(
    source: str | Path | bytes | IO[bytes],
    name: str | None = None,
    max_seconds: float | None = None,
) -> Audio:
    """Read wav, flac, mp3, ogg, opus and whatever else libsndfile knows; m4a, aac and webm, too.

    Args:
        source: path, bytes of a file, or an open binary file.
        name: what error messages call it; by default the path.
        max_seconds: longer files, and those of more than 8 channels or 12 million samples, are
            refused before they fill the memory.

    Raises `LlasaError` where it is missing, empty, damaged, or holds values that are not numbers.
    """
    import soundfile

    if isinstance(source, str | Path):
        data, name = read_bytes(Path(source), "an audio file"), name or str(source)
    else:
        data = source if isinstance(source, bytes) else source.read()
        name = name or str(getattr(source, "name", "The audio"))
    if not data:
        raise LlasaError(f"{name} is empty (0 bytes): give a wav, flac, mp3, ogg or opus file.")
    demuxer = demuxer_of(data)
    try:
        with (
            soundfile.SoundFile(io.BytesIO(_finished(data)))
            if demuxer is None
            else ContainerFile(data, demuxer)
        ) as file:
            most = -1 if max_seconds is None else _most_frames(file, name, max_seconds)
            rate, samples = int(file.samplerate), file.read(most, dtype="float32")
    except LlasaError:
        raise
    except (soundfile.SoundFileError, OSError, ValueError, TypeError) as error:
        raise LlasaError(
            f"{name} is not a readable audio file ({', '.join(FORMATS)} are), or it is damaged."
        ) from error
    if len(samples) == most:
        raise LlasaError(f"{name} is longer than {max_seconds:g} s: cut it.")
    if len(samples) == 0:
        raise LlasaError(f"{name} holds no sound: it has no samples.")
    if not np.isfinite(samples).all():
        raise LlasaError(f"{name} holds values that are not numbers (NaN or infinity).")
    return Audio(as_samples(samples, name), rate)


def _most_frames(file: Any, name: str, max_seconds: float) -> int:
    """How many frames of an open file to read: one more than are allowed.

    What the file says of itself is checked first, as few bytes of FLAC may hold hours of silence.
    """
    channels, rate = file.channels, file.samplerate
    if channels > _MOST_CHANNELS or rate > _HIGHEST_RATE:
        raise LlasaError(
            f"{name} has {channels} channels at {rate} Hz: at most {_MOST_CHANNELS} at "
            f"{_HIGHEST_RATE} are taken."
        )
    most = int(max_seconds * rate) + 1
    if min(file.frames, most) * channels > _MOST_VALUES:
        raise LlasaError(
            f"{name} has {file.frames:,} samples in each of {channels} channels, and at most "
            f"{_MOST_VALUES:,} in all are taken: cut it, or give it in mono or at a lower rate."
        )
    return min(most, _MOST_VALUES // channels + 1)


def _finished(data: bytes) -> bytes:
    """A WAV file without a length, as an interrupted recorder leaves it: read to the end."""
    place = data.find(b"data", 12, 4096)
    if data[:4] != b"RIFF" or place < 0 or data[place + 4 : place + 8] != bytes(4):
        return data
    return data[: place + 4] + b"\xff\xff\xff\xff" + data[place + 8 :]


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

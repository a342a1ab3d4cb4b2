"""Audio in memory and in files: reading, writing, resampling, levels and silence."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from llasa.audio.containers import ContainerFile, demuxer_of
from llasa.audio.formats import FORMATS, encoder, suffix_format
from llasa.audio.formats import Samples as Samples
from llasa.audio.notebook import MOST_SECONDS, player
from llasa.audio.play import play
from llasa.base.errors import LlasaError
from llasa.base.files import read_bytes, write_atomic
from llasa.base.names import whole

SPEECH_RATE = 16_000
"""Sample rate in Hz of what codecs, recognisers and other speech models hear."""
INT16_SCALE = 32767
"""The 16-bit value of 1.0 in `to_int16` and `from_int16`."""


_MOST_CHANNELS, _HIGHEST_RATE = 8, 384_000
MOST_VALUES = 12_000_000
"""Most samples of all channels of a recording together: 60 s of stereo at 96 kHz."""
_LOUDEST = 8.0
"""Multiple of full scale up to which samples count as too loud; beyond, as wrongly scaled."""
_CANCELLED = 0.01
"""If the mean of all channels has less than this share of their power, they cancel out."""

FRAME_SECONDS = 0.02
"""Length of the frames over which a level is measured."""
FADE_SECONDS = 0.01
"""Length of `fade`."""


@dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        channels = "mono" if self.samples.ndim == 1 else f"{self.samples.shape[1]} channels"
        return f"Audio({self.duration:.2f} s, {self.rate} Hz, {channels})"

    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None
    ) -> NDArray[np.float32]:
        """The samples, for `np.asarray`."""
        return np.array(self.samples, dtype, copy=copy)

    def _repr_html_(self) -> str:
        """A waveform and a player, for notebooks."""
        return self.to_html(repr(self))

    def to_html(self, about: str) -> str:
        """A waveform, a player, and a line about what is heard; HTML without any outside part."""
        sound = self.mono()
        playable = 0 < self.duration <= MOST_SECONDS
        mp3 = sound.encode("mp3", compression=0.7) if playable else None
        return player(sound.samples, mp3, about)

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate

    def mono(self) -> Audio:
        """The mean of all channels, shape (n,), or the loudest one where they cancel out."""
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
        check_finite(self.samples, "The audio")
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


def fade(samples: Samples, rate: int) -> None:
    """Fade in, in place; on a reversed view, fade out."""
    count = min(len(samples), round(FADE_SECONDS * rate))
    samples[:count] *= rise(count)


def rise(count: int) -> Samples:
    """Gains of a cross-fade, 0 to 1, (count,); the other sound gets 1 minus these."""
    rising: Samples = np.sin(np.linspace(0, np.pi / 2, count, dtype=np.float32)) ** 2
    return rising


def as_samples(value: Any, name: str) -> Samples:
    """Check sound and convert it to contiguous float32 samples (n,) or (n, channels).

    Takes floats in [-1, 1], and integers, which are scaled: int16, int32, int8, and uint8 around
    128. The longer side of an array is time; a single channel becomes (n,). Error messages begin
    with `name`. Raises `LlasaError` for other shapes and types, and for floats that are scaled
    otherwise.
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


def check_finite(samples: Samples, name: str) -> None:
    """`LlasaError`, which begins with `name`, for samples that are not finite numbers."""
    if not np.isfinite(samples).all():
        raise LlasaError(f"{name} holds values that are not numbers (NaN or infinity).")


def to_int16(samples: Samples) -> NDArray[np.int16]:
    """Samples in [-1, 1] as 16-bit integers; 1 becomes `INT16_SCALE`, and the rest is clipped."""
    return (samples.clip(-1, 1) * INT16_SCALE).round().astype("<i2")


def from_int16(samples: NDArray[np.integer]) -> Samples:
    """The inverse of `to_int16`, in [-1, 1]. (For 16-bit samples from elsewhere use `as_samples`,
    which divides by 32,768 as audio files do.)
    """
    return samples.astype(np.float32) / np.float32(INT16_SCALE)


_INTEGERS = {"int8": (0, 128), "uint8": (128, 128), "int16": (0, 2**15), "int32": (0, 2**31)}
"""Zero level and full scale of each integer type."""


def as_rate(value: object, name: str) -> int:
    """Check a sample rate: whole Hertz above 0, which may come as a float."""
    if isinstance(value, float | np.floating) and value.is_integer():
        value = int(value)
    return whole(f"{name}: the sample rate", value)


def read_audio(
    source: str | Path | bytes | IO[bytes],
    name: str | None = None,
    max_seconds: float | None = None,
    max_values: int = MOST_VALUES,
) -> Audio:
    """Read wav, flac, mp3, ogg, opus and whatever else libsndfile knows; m4a, aac and webm, too.

    Args:
        source: path, bytes of a file, or an open binary file.
        name: what error messages call it; by default the path.
        max_seconds: longer files, and those of more than 8 channels or `max_values` samples of all
            channels together, are refused before they fill the memory.

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
            most = -1 if max_seconds is None else _most_frames(file, name, max_seconds, max_values)
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
    check_finite(samples, name)
    return Audio(as_samples(samples, name), rate)


def _most_frames(file: Any, name: str, max_seconds: float, max_values: int) -> int:
    """How many frames of an open file to read: one more than allowed.

    The header is checked first, because a few bytes of FLAC may hold hours of silence.
    """
    channels, rate = file.channels, file.samplerate
    if channels > _MOST_CHANNELS or rate > _HIGHEST_RATE:
        raise LlasaError(
            f"{name} has {channels} channels at {rate} Hz: at most {_MOST_CHANNELS} at "
            f"{_HIGHEST_RATE} are taken."
        )
    most = int(max_seconds * rate) + 1
    if min(file.frames, most) * channels > max_values:
        raise LlasaError(
            f"{name} has {file.frames:,} samples in each of {channels} channels, and at most "
            f"{max_values:,} in all are taken: cut it, or give it in mono or at a lower rate."
        )
    return min(most, max_values // channels + 1)


def _finished(data: bytes) -> bytes:
    """A WAV file without a length, as an interrupted recorder leaves it: read to the end."""
    place = data.find(b"data", 12, 4096)
    if data[:4] != b"RIFF" or place < 0 or data[place + 4 : place + 8] != bytes(4):
        return data
    return data[: place + 4] + b"\xff\xff\xff\xff" + data[place + 8 :]

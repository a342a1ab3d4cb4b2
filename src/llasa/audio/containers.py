"""Files that libsndfile does not know (m4a, aac, webm), through PyAV (extra `av`)."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from llasa.base.errors import LlasaError, first_line
from llasa.base.packages import require

_LAYOUTS = {1: "mono", 2: "stereo"}


def demuxer_of(data: bytes) -> str | None:
    """FFmpeg's name of what these bytes are, if they are none of libsndfile's formats.

    Nothing else is given to FFmpeg: some of what it knows, such as playlists, names other files.
    """
    if data[4:8] == b"ftyp":
        return "mov"  # m4a, mp4
    if data[:4] == b"\x1aE\xdf\xa3":
        return "matroska"  # webm
    if len(data) > 1 and data[0] == 0xFF and data[1] & 0xF6 == 0xF0:
        return "aac"
    return None


class ContainerFile:
    """The sound of a file, with those parts of `soundfile.SoundFile` that are needed to read it.

    `frames` is what the file says, 0 where it says nothing. Raises `ValueError` for what is damaged
    and `LlasaError` where PyAV is missing.
    """

    def __init__(self, data: bytes, demuxer: str) -> None:
        av = require("av")
        try:
            self._container = av.open(io.BytesIO(data), format=demuxer)
            self._stream = self._container.streams.audio[0]
        except (av.FFmpegError, IndexError) as error:
            raise ValueError(first_line(error)) from error
        self.samplerate, self.channels = int(self._stream.rate), int(self._stream.channels)
        self.frames = int((self._container.duration or 0) / av.time_base * self.samplerate)

    def __enter__(self) -> ContainerFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._container.close()

    def read(self, frames: int = -1, dtype: str = "float32") -> NDArray[np.float32]:
        """Samples (n, channels), at most so many frames where that is not negative."""
        av = require("av")
        pieces = [np.zeros((0, self.channels), np.float32)]
        even = av.AudioResampler("fltp", self._stream.layout, self.samplerate)
        count = 0
        try:
            for frame in self._container.decode(self._stream):
                for part in even.resample(frame):
                    pieces.append(part.to_ndarray().T)
                    count += part.samples
                if 0 <= frames <= count:
                    break
        except av.FFmpegError as error:
            raise ValueError(first_line(error)) from error
        return np.concatenate(pieces)[: frames if frames >= 0 else None]


@contextmanager
def container_encoder(
    file: IO[bytes] | Path, muxer: str, codec: str, rate: int, channels: int
) -> Iterator[Callable[[NDArray[np.float32]], None]]:
    """Encode sound as it comes; see `audio.encoder`."""
    av = require("av")
    if channels not in _LAYOUTS:
        raise LlasaError(f"{codec} is written in mono or stereo, not with {channels} channels.")
    count = 0
    try:
        target: Any = str(file) if isinstance(file, Path) else file
        with av.open(target, "w", format=muxer) as container:
            stream = container.add_stream(codec, rate=rate, layout=_LAYOUTS[channels])

            def write(samples: NDArray[np.float32]) -> None:
                nonlocal count
                if not len(samples):
                    return
                planes = np.ascontiguousarray(samples.reshape(len(samples), channels).T)
                frame = av.AudioFrame.from_ndarray(planes, "fltp", _LAYOUTS[channels])
                frame.sample_rate, frame.pts = rate, count
                count += len(samples)
                container.mux(stream.encode(frame))

            yield write
            container.mux(stream.encode(None))
    except av.FFmpegError as error:
        raise OSError(first_line(error)) from error

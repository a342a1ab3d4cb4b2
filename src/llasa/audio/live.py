"""Sound out of the loudspeaker while more of it is still being made."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from queue import Full, Queue
from types import TracebackType
from typing import Protocol

import numpy as np

from llasa.audio.audio import Samples, to_int16
from llasa.audio.play import PATIENCE, has_sounddevice
from llasa.base.errors import LlasaError, first_line

PROGRAMS = {
    "paplay": ("--raw", "--format=s16le", "--channels=1", "--rate={}"),
    "aplay": ("-q", "-t", "raw", "-f", "S16_LE", "-c", "1", "-r", "{}", "-"),
    "ffplay": (
        *("-nodisp", "-autoexit", "-loglevel", "error"),
        *("-f", "s16le", "-ar", "{}", "-i", "-"),
    ),
}
"""Programs that play 16-bit samples from their standard input, the best first, and their flags."""
_MOST_PIECES = 256
"""That wait to be played; then whoever makes them waits, too."""

_PIPE_SAMPLES = 1 << 15
"""That a pipe holds, so that a program which fails may never have read them."""


class LivePlayer:
    """Plays mono float32 pieces one after the other; for a `with`, which ends it.

    sounddevice does it where it finds a device, else the first of `PROGRAMS`. Where none can, or
    one fails on its way, the sound is dropped and `finish` says so.
    """

    def __init__(self, rate: int) -> None:
        self._rate, self._seconds = rate, 0.0
        self._taken, self._reason = 0, "it hung"
        self._pieces: Queue[Samples | None] = Queue(_MOST_PIECES)
        self._gone = threading.Event()
        self._played = False
        self._thread = threading.Thread(target=self._run, name="llasa-player", daemon=True)

    def __enter__(self) -> LivePlayer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop at once where something went wrong."""
        if kind is not None:
            self._gone.set()
            with suppress(Full):  # then there is something that wakes it
                self._pieces.put_nowait(None)

    @property
    def running(self) -> bool:
        """Whether there may still be something to hear."""
        return self._thread.is_alive()

    def push(self, samples: Samples) -> None:
        """Play these after those that came before."""
        self._seconds += len(samples) / self._rate
        self._pieces.put(samples)

    def finish(self) -> bool:
        """Wait until all has been heard; False where (nearly) nothing was, so that it may be
        played in another way. `LlasaError` where playing stopped on its way.
        """
        with suppress(Full):  # of a player that has stopped taking any
            self._pieces.put(None, timeout=self._seconds + PATIENCE)
            self._thread.join(self._seconds + PATIENCE)
        self._gone.set()
        surely = self._taken - _PIPE_SAMPLES
        if not self._played and surely > 0:
            raise LlasaError(
                f"Playing stopped after about {surely / self._rate:.0f} s ({self._reason}): the "
                "rest was not heard."
            )
        return self._played

    def _run(self) -> None:
        pieces = self._coming()
        try:
            with _sink(self._rate) as write:
                for piece in pieces:
                    if self._gone.is_set():
                        raise OSError("Nobody wants to hear it any more.")
                    write(piece.clip(-1, 1))
                    self._taken += len(piece)
            self._played = True
        except Exception as error:  # libraries of devices raise many kinds
            self._reason = first_line(error)
            for _ in pieces:  # so that nobody waits for room
                if self._gone.is_set():
                    break

    def _coming(self) -> Iterator[Samples]:
        """What was pushed, to its end; where that has come already, nothing."""
        while (piece := self._pieces.get()) is not None:
            yield piece


class _Write(Protocol):
    def __call__(self, samples: Samples, /) -> object: ...


def _sink(rate: int) -> AbstractContextManager[_Write]:
    """What takes samples and plays them; leaving it waits for their end. `OSError` for none."""
    if has_sounddevice():
        import sounddevice

        try:
            return _device(sounddevice.OutputStream(rate, channels=1, dtype="float32"))
        except (sounddevice.PortAudioError, ValueError):
            pass  # no device
    for name, flags in PROGRAMS.items():
        if (found := shutil.which(name)) is not None:
            return _program([found, *(flag.format(rate) for flag in flags)])
    raise OSError("There is nothing to play with.")


class _Stream(Protocol):
    """An output stream of sounddevice."""

    def start(self) -> None: ...
    def write(self, samples: Samples, /) -> object: ...
    def stop(self) -> None:
        """Once everything has been played."""

    def close(self) -> None: ...


@contextmanager
def _device(stream: _Stream) -> Iterator[_Write]:
    from sounddevice import PortAudioError

    try:
        stream.start()
        yield lambda samples: stream.write(np.ascontiguousarray(samples[:, None]))
        stream.stop()
    except PortAudioError as error:
        raise OSError(str(error)) from error
    finally:
        stream.close()


@contextmanager
def _program(command: list[str]) -> Iterator[_Write]:
    nothing = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=nothing, stderr=nothing) as player:
        assert player.stdin is not None
        pipe = player.stdin
        try:
            yield lambda samples: (pipe.write(to_int16(samples).tobytes()), pipe.flush())
            pipe.close()
        except BaseException:
            player.kill()
            raise
        if player.wait():
            raise OSError(f"{command[0]} ended with code {player.returncode}.")

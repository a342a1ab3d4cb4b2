"""Sound out of the loudspeaker: through sounddevice, or else a player of the system."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from llasa.base.errors import LlasaError, first_line

PLAYERS = {
    "afplay": (),
    "pw-play": (),
    "paplay": (),
    "aplay": ("-q",),
    "ffplay": ("-nodisp", "-autoexit", "-loglevel", "error"),
}
"""Programs that play a WAV file, the best first, and their flags."""
_POWERSHELL = "(New-Object System.Media.SoundPlayer $env:LLASA_PLAY).PlaySync()"
PATIENCE = 30.0
"""Seconds past the length of the sound after which a player is stuck."""


class Playable(Protocol):
    """What is played: see `Audio`."""

    @property
    def samples(self) -> NDArray[np.float32]: ...
    @property
    def rate(self) -> int: ...
    @property
    def duration(self) -> float: ...
    def encode(self) -> bytes:
        """A WAV file."""


Player = Callable[[Playable], None]
"""Plays to the end; `LlasaError` where that fails."""


def play(sound: Playable) -> None:
    """Play sound and wait for its end.

    The package sounddevice (extra `play`) does it where it is installed and finds a device, else
    the first program of the system that can. Raises `LlasaError` where none can.
    """
    reasons = []
    for name, player in _players():
        try:
            return player(sound)
        except LlasaError as error:
            reasons.append(f"{name}: {error}")
    raise no_player(reasons)


def can_play() -> bool:
    """Whether there is something to play with; it may still find no device."""
    return bool(player_names())


def check_player() -> None:
    """`LlasaError` where there is nothing to play with."""
    if not can_play():
        raise no_player([])


def no_player(reasons: list[str]) -> LlasaError:
    """The error for a machine without sound."""
    if reasons:
        return LlasaError(f"No player could play the sound ({'; '.join(reasons)}): save it.")
    known = ", ".join(PLAYERS)
    return LlasaError(
        "There is nothing to play sound with: run pip install 'llasa[play]', or install one of "
        f"{known}; or write a file with -o and play that."
    )


def has_sounddevice() -> bool:
    """Whether the package sounddevice, and PortAudio below it, are there."""
    try:
        import sounddevice  # noqa: F401
    except (ImportError, OSError):
        return False
    return True


def player_names() -> list[str]:
    """What this machine can play with, the best first."""
    return [name for name, _ in _players()]


def _players() -> Iterator[tuple[str, Player]]:
    """What this machine can play with, the best first."""
    if has_sounddevice():
        yield "sounddevice", _by_sounddevice
    for name, flags in PLAYERS.items():
        if (found := shutil.which(name)) is not None:
            yield name, partial(_by_program, (found, *flags))
    if sys.platform == "win32" and (found := shutil.which("powershell")) is not None:
        yield "powershell", partial(_by_program, (found, "-NoProfile", "-Command", _POWERSHELL))


def _by_sounddevice(sound: Playable) -> None:
    import sounddevice

    try:
        sounddevice.play(sound.samples.clip(-1, 1), sound.rate, blocking=True)
    except (sounddevice.PortAudioError, ValueError) as error:
        raise LlasaError(first_line(error)) from error


def _by_program(command: tuple[str, ...], sound: Playable) -> None:
    with tempfile.TemporaryDirectory(prefix="llasa-", ignore_cleanup_errors=True) as folder:
        file = Path(folder) / "speech.wav"
        file.write_bytes(sound.encode())
        named = () if _POWERSHELL in command else (str(file),)
        try:
            done = subprocess.run(
                [*command, *named],
                env={**os.environ, "LLASA_PLAY": str(file)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=sound.duration + PATIENCE,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise LlasaError(first_line(error)) from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise LlasaError(said[-1] if said else f"exit code {done.returncode}")

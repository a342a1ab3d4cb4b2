"""Playing while sound is made: through programs of our own, and through sounddevice."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from llasa.audio.audio import Samples, to_int16
from llasa.audio.live import PROGRAMS, LivePlayer
from llasa.base.errors import LlasaError
from tests.audio.conftest import program
from tests.tiny_model import tone
from tests.waiting import wait_for

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the players are shell scripts")
SOUND = tone(0.2).samples


def played(samples: Samples = SOUND) -> bool:
    with LivePlayer(16_000) as player:
        for piece in np.array_split(samples, 7):
            player.push(piece)
        return player.finish()


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_hears_all_of_it(bin: Path, tmp_path: Path, name: str) -> None:
    program(bin, name, f'echo "$@" > {tmp_path}/flags; exec /bin/cat > {tmp_path}/heard')
    assert played()
    assert (tmp_path / "heard").read_bytes() == to_int16(SOUND).tobytes()
    assert "16000" in (tmp_path / "flags").read_text()


def test_sound_comes_before_the_last_of_it_is_made(bin: Path, tmp_path: Path) -> None:
    program(bin, "aplay", f"exec /bin/cat > {tmp_path}/heard")
    with LivePlayer(16_000) as player:
        player.push(SOUND)
        heard = tmp_path / "heard"
        wait_for(lambda: heard.exists() and heard.stat().st_size == 2 * len(SOUND))
        assert player.finish()


@pytest.mark.parametrize("script", ["exit 1", "/bin/cat > /dev/null; exit 1", None])
def test_what_was_not_heard_is_told(bin: Path, script: str | None) -> None:
    if script is not None:
        program(bin, "aplay", script)
    player = LivePlayer(16_000)
    with player:
        player.push(np.zeros(20_000, np.float32))
        assert not player.finish()
        assert not player.running  # it ended; it was not given up on


def test_sound_that_stops_on_its_way_is_told(bin: Path) -> None:
    program(bin, "aplay", "/usr/bin/head -c 200000 > /dev/null; exit 1")
    with pytest.raises(LlasaError, match=r"stopped after about \d+ s \(.+\): the rest was not"):
        played(np.zeros(300_000, np.float32))


def test_many_pieces_without_a_player_hold_nobody_up(bin: Path) -> None:
    with LivePlayer(16_000) as player:
        for _ in range(1_000):
            player.push(SOUND)
        assert not player.finish()


def test_a_device_that_fails_in_any_way_holds_nobody_up(
    bin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(samples: Samples) -> None:
        raise ValueError("no such rate")

    monkeypatch.setattr("llasa.audio.live._sink", lambda rate: nullcontext(fails))
    with LivePlayer(16_000) as player:
        for _ in range(1_000):
            player.push(SOUND)
        assert not player.finish()


def test_an_error_stops_the_player(bin: Path, tmp_path: Path) -> None:
    program(bin, "aplay", f"echo $$ > {tmp_path}/begun; exec /bin/cat > /dev/null")
    player = LivePlayer(16_000)

    def interrupted() -> None:
        with player:
            player.push(SOUND)
            wait_for((tmp_path / "begun").exists)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    wait_for(lambda: not player.running)


def test_sounddevice_comes_first(bin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Any] = []

    class Stream:
        def __init__(self, rate: int, channels: int, dtype: str) -> None:
            heard.append((rate, channels, dtype))

        def start(self) -> None:
            heard.append("start")

        def write(self, samples: Samples) -> None:
            heard.append(samples)

        def stop(self) -> None:
            heard.append("stop")

        def close(self) -> None:
            heard.append("close")

    module = SimpleNamespace(OutputStream=Stream, PortAudioError=RuntimeError)
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    program(bin, "aplay", "exit 1")
    assert played(SOUND * 9)
    about, begun, *pieces, stopped, closed = heard
    assert (about, begun, stopped, closed) == ((16_000, 1, "float32"), "start", "stop", "close")
    np.testing.assert_array_equal(np.concatenate(pieces)[:, 0], (SOUND * 9).clip(-1, 1))


@pytest.mark.parametrize("broken", ["open", "write"])
def test_a_device_that_fails(
    bin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    class Stream:
        def __init__(self, *about: Any, **more: Any) -> None:
            if broken == "open":
                raise RuntimeError("Error querying device -1")

        def write(self, samples: Samples) -> None:
            raise RuntimeError("device lost")

        start = stop = close = lambda self: None

    module = SimpleNamespace(OutputStream=Stream, PortAudioError=RuntimeError)
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    program(bin, "aplay", f"exec /bin/cat > {tmp_path}/heard")
    assert played() == (broken == "open")  # then a program takes over

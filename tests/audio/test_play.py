"""Playing through programs of the system, here ones of our own, and through sounddevice."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from llasa.audio.audio import Audio, read_audio
from llasa.audio.play import PLAYERS, can_play, player_names
from llasa.base.errors import LlasaError
from tests.audio.conftest import program
from tests.tiny_model import tone

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the players are shell scripts")


@pytest.mark.parametrize("name", PLAYERS)
@pytest.mark.parametrize("channels", [1, 2])
def test_a_program_plays_the_sound(bin: Path, tmp_path: Path, name: str, channels: int) -> None:
    program(bin, name, f'for last; do :; done; /bin/cat "$last" > {tmp_path}/heard.wav')
    sound = tone(0.2, channels=channels)
    sound.play()
    heard = read_audio(tmp_path / "heard.wav")
    assert heard.rate == sound.rate
    np.testing.assert_allclose(heard.samples, sound.samples, atol=1e-4)


def test_the_next_one_plays_where_one_fails(bin: Path, tmp_path: Path) -> None:
    program(bin, "paplay", "echo no server >&2; exit 1")
    program(bin, "aplay", f"echo yes > {tmp_path}/heard")
    tone(0.1).play()
    assert (tmp_path / "heard").exists()


def test_all_fail(bin: Path) -> None:
    program(bin, "paplay", "exit 3")
    program(bin, "aplay", "echo; echo no card >&2; exit 1")
    with pytest.raises(LlasaError, match=r"\(paplay: exit code 3; aplay: no card\): save it\."):
        tone(0.1).play()


def test_powershell_on_windows(bin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given the file by a variable, which needs no quotes."""
    monkeypatch.setattr("llasa.audio.play.sys", SimpleNamespace(platform="win32"))
    script = (
        f'printf "%s\\n" "$@" > {tmp_path}/asked; /bin/cat "$LLASA_PLAY" > {tmp_path}/heard.wav'
    )
    program(bin, "powershell", script)
    assert player_names() == ["powershell"]
    sound = tone(0.2)
    sound.play()
    assert (tmp_path / "asked").read_text().splitlines() == [
        "-NoProfile",
        "-Command",
        "(New-Object System.Media.SoundPlayer $env:LLASA_PLAY).PlaySync()",
    ]
    assert read_audio(tmp_path / "heard.wav").rate == sound.rate


def test_nothing_to_play_with(bin: Path) -> None:
    assert not can_play()
    with pytest.raises(LlasaError, match=r"nothing to play sound with: run pip install 'llasa\[pl"):
        tone(0.1).play()
    Audio(np.zeros(0, np.float32), 16_000).play()  # which takes no time


def test_sounddevice_comes_first(bin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[Any, ...]] = []

    def play(samples: Any, rate: int, blocking: bool) -> None:
        heard.append((samples, rate, blocking))

    module = SimpleNamespace(play=play, PortAudioError=OSError)
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    program(bin, "aplay", "exit 1")
    sound = Audio(np.array([0.5, -2.0, 0.1], np.float32), 8_000)
    sound.play()
    ((samples, rate, blocking),) = heard
    assert (samples.tolist(), rate, blocking) == (
        [0.5, -1.0, pytest.approx(0.1)],
        8_000,
        True,
    )


def test_without_a_device_sounddevice_leaves_it_to_a_program(
    bin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def play(*args: Any, **more: Any) -> None:
        raise OSError("Error querying device -1")

    module = SimpleNamespace(play=play, PortAudioError=OSError)
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    program(bin, "aplay", f"echo yes > {tmp_path}/heard")
    tone(0.1).play()
    assert (tmp_path / "heard").exists()

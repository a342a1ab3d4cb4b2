"""m4a, aac and webm, through PyAV."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from llasa.audio.audio import read_audio
from llasa.audio.containers import demuxer_of
from llasa.audio.formats import FORMATS, encoder
from llasa.base.errors import LlasaError
from tests.tiny_model import tone

pytest.importorskip("av", reason="needs the extra av")
OURS = [name for name, form in FORMATS.items() if form.by_av]


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("rate", [7_000, 22_050, 96_000])
def test_any_rate_can_be_written(name: str, rate: int) -> None:
    sound = tone(1.0, rate, 2)
    again = read_audio(sound.encode(name))
    assert again.samples.ndim == 2
    assert 1.0 <= again.duration < 1.3
    assert again.level() == pytest.approx(sound.level(), abs=1.0)


@pytest.mark.parametrize("name", OURS)
def test_pieces_into_a_file(tmp_path: Path, name: str) -> None:
    samples = tone(0.5).samples
    with encoder(tmp_path / "a", name, 16_000) as write:
        for start in range(0, len(samples), 1_000):
            write(samples[start : start + 1_000])
    pieces, whole = read_audio(tmp_path / "a"), read_audio(tone(0.5).encode(name))
    np.testing.assert_allclose(pieces.samples, whole.samples, atol=1e-3)


@pytest.mark.parametrize("name", OURS)
def test_damaged_and_long_files(name: str) -> None:
    data = tone(2.0).encode(name)
    with pytest.raises(LlasaError, match="me (is not a readable audio file|holds no sound)"):
        read_audio(data[:150], "me")
    with pytest.raises(LlasaError, match="longer than 1 s"):
        read_audio(data, max_seconds=1)


def test_too_many_channels() -> None:
    with pytest.raises(LlasaError, match="mono or stereo, not with 4 channels"):
        tone(0.1, channels=4).encode("m4a")


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    data = tone(0.5).encode("m4a")
    monkeypatch.setitem(sys.modules, "av", None)
    for use in (lambda: read_audio(data), lambda: tone(0.5).encode("webm")):
        with pytest.raises(LlasaError, match=r"pip install 'llasa\[av\]'"):
            use()


def test_playlists_are_not_given_to_ffmpeg(tmp_path: Path) -> None:
    for text in (b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", b"ffconcat version 1.0\nfile a.wav\n"):
        assert demuxer_of(text) is None
        with pytest.raises(LlasaError, match="not a readable audio file"):
            read_audio(text)
    assert demuxer_of(tone(0.2).encode("mp3")) is None

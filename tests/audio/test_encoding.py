"""Sound to bytes while it is being spoken."""

from __future__ import annotations

import gc
import io
import weakref

import numpy as np
import pytest

from llasa.audio import encoding
from llasa.audio.audio import Audio, Samples
from llasa.audio.encoding import MEDIA_TYPES, StreamEncoder, encode
from llasa.base.errors import LlasaError


@pytest.mark.parametrize("format", MEDIA_TYPES)
def test_an_encoder_is_gone_with_who_used_it(format: str) -> None:
    """One that waits for the collector keeps its sound so long: a busy server grew by half."""
    if format == "aac":
        pytest.importorskip("av", reason="needs the extra av")
    gc.disable()
    try:
        encoder = StreamEncoder(format, 16_000)
        assert encoder.push(np.zeros(16_000, np.float32)) + encoder.finish()
        gone = weakref.ref(encoder)
        del encoder
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(("rate", "kept"), [(16_000, 16_000), (20_000, 22_050), (96_000, 48_000)])
def test_aac_holds_the_sound(rate: int, kept: int) -> None:
    """Piece by piece or whole, and at a rate that players know."""
    av = pytest.importorskip("av", reason="needs the extra av")
    wave = 0.3 * np.sin(2 * np.pi * 220 * np.arange(2 * rate) / rate)
    tone: Samples = wave.astype(np.float32)
    encoder = StreamEncoder("aac", rate)
    pieces = [encoder.push(piece) for piece in np.array_split(tone, 50)] + [encoder.finish()]
    assert sum(map(bool, pieces)) > 20
    data = b"".join(pieces)
    assert data == encode(Audio(tone, rate), "aac")
    with av.open(io.BytesIO(data)) as file:
        frames = list(file.decode(audio=0))
    heard = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    assert {frame.sample_rate for frame in frames} == {kept}
    assert len(heard) / kept == pytest.approx(2, abs=0.15)
    middle = heard[kept // 2 : kept // 2 + kept]
    assert np.abs(np.fft.rfft(middle)).argmax() == pytest.approx(220, abs=1)
    assert np.sqrt(np.square(middle).mean()) == pytest.approx(0.3 / 2**0.5, rel=0.05)


def test_aac_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "has_package", lambda name: name != "av")
    advice = r"run pip install 'llasa\[av\]', or take one of wav, mp3, flac, opus, pcm\."
    with pytest.raises(LlasaError, match=advice):
        StreamEncoder("aac", 16_000)
    StreamEncoder("mp3", 16_000).finish()

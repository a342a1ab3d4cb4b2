"""What notebooks show: small, self-contained, and with nothing of a text taken as HTML."""

from __future__ import annotations

import base64
import re

import numpy as np

from llasa.audio.audio import Audio, read_audio
from llasa.audio.notebook import MOST_SECONDS
from tests.tiny_model import tone


def test_a_player_and_a_waveform() -> None:
    sound = tone(2.0, channels=2)
    html = sound._repr_html_()
    found = re.search(r'src="data:audio/mpeg;base64,([^"]+)"', html)
    assert found
    heard = read_audio(base64.b64decode(found[1]))
    assert abs(heard.duration - 2.0) < 0.1
    assert html.count("<svg") == 1
    assert len(html) < 60_000
    assert not re.search(r"https?:|<script", html)


def test_the_waveform_follows_the_sound() -> None:
    samples = np.concatenate([np.zeros(600), np.full(600, 0.01)]).astype(np.float32)
    heights = [int(h) for h in re.findall(r"v(\d+)", Audio(samples, 16_000)._repr_html_())]
    assert len(heights) == 120
    assert set(heights[:60]) == {1}
    assert set(heights[60:]) == {max(heights)} != {1}


def test_markup_stays_text() -> None:
    assert "<b>" not in tone(0.1).to_html("<b>loud</b>")


def test_long_and_empty_sound_is_only_drawn() -> None:
    long = Audio(np.zeros(100 * (MOST_SECONDS + 1), np.float32), 100)
    for sound in (long, Audio(np.zeros(0, np.float32), 16_000)):
        html = sound._repr_html_()
        assert "<svg" in html
        assert "<audio" not in html


def test_short_texts_and_arrays() -> None:
    sound = tone(1.25, 8_000, 2)
    assert repr(sound) == "Audio(1.25 s, 8000 Hz, 2 channels)"
    assert repr(tone(0.1)) == "Audio(0.10 s, 16000 Hz, mono)"
    assert np.asarray(sound) is sound.samples
    assert np.array(sound, dtype=np.float64).dtype == np.float64
    copied = np.array(sound)
    copied[:] = 0
    assert sound.samples.any()

"""Named styles order changed recordings, and a recording is nearest to its like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llasa.audio.audio import Audio
from llasa.base.errors import LlasaError
from llasa.verifiers import Candidate, find_verifier, verify
from llasa.verifiers.style import FEATURES, STYLES, Style

from .tools import faster, hear, needs_packages, noisy, scores, utterances

pytestmark = needs_packages("afx_audio")


def wavering(audio: Audio, by: float) -> Audio:
    """Played faster and slower in turns, twice a second: the pitch moves more, the rate stays."""
    time = np.arange(len(audio.samples)) / audio.rate
    warped = time + by / (4 * np.pi) * np.sin(4 * np.pi * time)
    samples = np.interp(warped, time, audio.samples).astype(np.float32)
    return Audio(samples, audio.rate)


@pytest.mark.parametrize("style", ["high", "fast", "excited"])
def test_speech_played_faster_is_higher_and_faster(style: str, speech_data: Path) -> None:
    audio = hear(utterances(speech_data, "kathleen.test", 5.0)[0])
    batch = [Candidate(audio=faster(audio, factor)) for factor in (1.2, 1.0, 0.85)]
    found = scores(find_verifier(f"style:{style}"), batch)
    assert found[0] > found[1] > found[2]


def test_speech_whose_pitch_moves_more_is_livelier(speech_data: Path) -> None:
    audio = hear(utterances(speech_data, "kathleen.test", 5.0)[0])
    batch = [Candidate(audio=audio), Candidate(audio=wavering(audio, 0.3))]
    found = scores(Style("lively"), batch)
    assert found[1] > found[0] + 0.1
    found = scores(Style("monotone"), batch)
    assert found[0] > found[1] + 0.1


def test_opposite_styles_have_opposite_scores(speech_data: Path) -> None:
    batch = [Candidate(audio=hear(utterances(speech_data, "kathleen.test", 4.0)[0]))]
    names = list(STYLES)
    for one, other in zip(names[::2], names[1::2], strict=True):
        np.testing.assert_allclose(scores(Style(one), batch), -scores(Style(other), batch))


def test_loudness_is_no_style(speech_data: Path) -> None:
    audio = hear(utterances(speech_data, "kathleen.test", 4.0)[0])
    quiet = Audio(audio.samples * np.float32(0.1), audio.rate)
    found = scores(Style("excited"), [Candidate(audio=audio), Candidate(audio=quiet)])
    assert found[0] == pytest.approx(found[1], abs=0.1)


def test_a_clip_is_nearest_to_itself_and_nearer_to_its_like(speech_data: Path) -> None:
    clips = [hear(clip) for clip in utterances(speech_data, "kathleen.test", 5.0)[:2]]
    prompt = clips[0]
    batch = [
        Candidate(audio=audio, prompt=prompt) for audio in (prompt, clips[1], faster(clips[1], 1.4))
    ]
    found = scores(find_verifier("style"), batch)
    assert found[0] == pytest.approx(0, abs=1e-6)
    assert 0 > found[1] > found[2]


def test_a_recording_can_be_named_or_given(speech_data: Path, tmp_path: Path) -> None:
    clips = [hear(clip) for clip in utterances(speech_data, "kathleen.test", 4.0)[:2]]
    clips[0].write(tmp_path / "reference.wav")
    named = find_verifier(f"style:{tmp_path / 'reference.wav'}")
    batch = [Candidate(audio=clips[1], prompt=clips[0])]
    np.testing.assert_allclose(scores(named, batch), scores(Style(clips[0]), batch), atol=0.02)
    np.testing.assert_allclose(scores(Style(clips[0]), batch), scores(Style(), batch))


def test_readers_lie_around_the_stated_means(speech_data: Path) -> None:
    clips = utterances(speech_data, "librispeech", 20.0)
    firsts = [next(c for c in clips if c.speaker == who) for who in {c.speaker for c in clips}]
    found = np.stack([Style("high").features(hear(clip, 3.0).samples) for clip in firsts])
    assert found.shape == (6, len(FEATURES))
    assert (np.abs(found.mean(0)) < 1.5).all()
    assert (np.abs(found) < 3).mean() > 0.9


def test_noise_without_a_voice_is_unscored() -> None:
    noise = noisy(Audio(np.full(16_000, 1e-4, np.float32), 16_000), -20)
    verdict = verify(Style("high"), [Candidate(audio=noise)])
    assert verdict.reasons == ("its score is nan, not a number",)


def test_an_unknown_style_gets_one_sentence() -> None:
    with pytest.raises(LlasaError, match="'livly' is neither a recording nor known.*mean lively"):
        find_verifier("style:livly")

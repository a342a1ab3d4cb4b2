"""Clean speech scores above damaged speech, and scores agree with the original packages'."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llasa.audio.audio import Audio, read_audio
from llasa.base.errors import LlasaError
from llasa.verifiers import Candidate, find_verifier
from llasa.verifiers.quality import DNSMOS, DistillMOS

from .tools import hear, needs_packages, noisy, scores, utterances

PREDICTORS = [
    pytest.param("distillmos", marks=needs_packages("distillmos")),
    pytest.param("dnsmos", marks=needs_packages("speechmos", "onnxruntime")),
    pytest.param("dnsmos:p808", marks=needs_packages("speechmos", "onnxruntime")),
]
ORACLE_CLIPS = ("librispeech/1688-142285-0000.flac", "librispeech/1688-142285-0002.flac")
"""15 s (several windows) and 2.8 s (padded or repeated)."""
ORACLES = {
    "distillmos": (3.959401, 3.441504),
    "ovrl": (2.769724, 2.575103),
    "sig": (3.173061, 3.153302),
    "bak": (3.691882, 3.385619),
    "p808": (3.816295, 3.480096),
}
"""By distillmos 0.9.1 and speechmos 0.0.1.1 (with librosa 0.11) themselves."""


@pytest.mark.parametrize("name", PREDICTORS)
def test_clean_beats_noisy_beats_noisier(name: str, speech_data: Path) -> None:
    clip = hear(utterances(speech_data, "kathleen.test", 4.0)[0])
    batch = [Candidate(audio=audio) for audio in (clip, noisy(clip, 10), noisy(clip, 0))]
    found = scores(find_verifier(name), batch)
    assert found[0] > found[1] + 0.2
    assert found[1] > found[2]
    assert ((found > 0.9) & (found < 5.1)).all()


@pytest.mark.parametrize("name", PREDICTORS[:2])
def test_whole_speech_beats_speech_with_holes(name: str, speech_data: Path) -> None:
    clip = hear(utterances(speech_data, "kathleen.test", 4.0)[0])
    holes = np.arange(len(clip.samples)) % 2400 < 800  # 50 of every 150 ms
    broken = Audio(np.where(holes, 0, clip.samples).astype(np.float32), clip.rate)
    found = scores(find_verifier(name), [Candidate(audio=clip), Candidate(audio=broken)])
    assert found[0] > found[1] + 0.2


@needs_packages("speechmos", "onnxruntime", "distillmos")
@pytest.mark.parametrize("measure", list(ORACLES))
def test_scores_are_those_of_the_original_packages(measure: str, speech_data: Path) -> None:
    predictor = DistillMOS() if measure == "distillmos" else DNSMOS(measure)  # type: ignore[arg-type]
    clips = [read_audio(speech_data / name).samples for name in ORACLE_CLIPS]
    np.testing.assert_allclose(predictor.predict(clips), ORACLES[measure], atol=2e-3)


@pytest.mark.parametrize("name", PREDICTORS[:2])
def test_a_score_does_not_depend_on_the_neighbours(name: str, speech_data: Path) -> None:
    clips = [Candidate(audio=hear(c)) for c in utterances(speech_data, "kathleen.test", 4.0)[:2]]
    verifier = find_verifier(name)
    together = scores(verifier, clips)
    np.testing.assert_allclose(scores(verifier, clips[1:]), together[1:], atol=1e-4)


def test_damaged_weights_get_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(b"no weights")
    with pytest.raises(LlasaError, match="isn't a DistillMOS checkpoint"):
        DistillMOS(tmp_path / "weights.pt").load()

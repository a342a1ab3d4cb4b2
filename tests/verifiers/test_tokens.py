"""Likelihood, length and repetition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llasa.data.manifest import read_manifest
from llasa.verifiers import Candidate, verify
from llasa.verifiers.tokens import Length, Likelihood, Repetition

from .tools import scores


def lasting(seconds: float, text: str, rate: float = 50.0, **rest: object) -> Candidate:
    tokens = np.arange(round(rate * seconds))
    return Candidate(text=text, codes=tokens, frame_rate=rate, **rest)  # type: ignore[arg-type]


def test_likelihood_is_the_mean_over_the_tokens_and_the_end() -> None:
    tokens = np.arange(9)
    ended = Candidate(codes=tokens, logprob=-20.0)
    cut = Candidate(codes=tokens, logprob=-18.0, finish="length")
    phones = Candidate(codes=tokens, logprob=-40.0, sampled=20)  # ten of them, and the end
    np.testing.assert_allclose(scores(Likelihood(), [ended, cut, phones]), [-2.0] * 3)


TEXT = "This sentence has forty-one letters or so, more or less."


def test_a_plausible_length_scores_zero_and_others_the_less_the_further_they_are() -> None:
    right = Length().expected(TEXT)
    lengths = [right, 1.5 * right, 2 * right, 6 * right, right / 2, right / 6]
    found = scores(Length(), [lasting(seconds, TEXT) for seconds in lengths])
    assert found[0] == found[1] == 0
    assert 0 > found[2] > found[3]
    assert 0 > found[4] > found[5]


@pytest.mark.parametrize("rate", [12.5, 25.0, 86.13])
def test_seconds_count_whatever_the_rate_of_the_codec(rate: float) -> None:
    lengths = [Length().expected(TEXT) * factor for factor in (1, 4, 1 / 4)]
    usual, other = ([lasting(s, TEXT, r) for s in lengths] for r in (50.0, rate))
    np.testing.assert_allclose(
        scores(Length(), usual), scores(Length(), other), atol=1 / (rate * lengths[2])
    )


def test_a_partial_candidate_can_only_be_too_long() -> None:
    right = Length().expected(TEXT)
    short, long = (lasting(right * factor, TEXT, finish=None) for factor in (0.1, 3.0))
    found = scores(Length(), [short, long])
    assert found[0] == 0
    assert found[1] < 0


def test_being_cut_off_counts_against_a_candidate() -> None:
    right = Length().expected(TEXT)
    found = scores(Length(), [lasting(right, TEXT, finish="length"), lasting(right, TEXT)])
    np.testing.assert_allclose(found, [-1.0, 0.0])


def test_chinese_characters_take_longer_than_letters() -> None:
    assert Length().expected("你好世界") > Length().expected("abcd")


def test_digits_are_read_as_words() -> None:
    written, digits = Length().expected("nineteen eighty-four"), Length().expected("1984")
    assert digits == pytest.approx(written, rel=0.25)


def test_real_recordings_have_a_plausible_length(speech_data: Path) -> None:
    rows = [
        clip
        for name in ("librispeech", "kathleen.test", "kerstin.test")
        for clip in read_manifest(speech_data / f"{name}.jsonl")
    ]
    found = scores(Length(), [lasting(clip.seconds or 0, clip.text or "") for clip in rows])
    assert np.mean(found == 0) >= 0.95
    assert found.min() > -0.3


def test_loops_are_worse_than_speech() -> None:
    tokens = np.random.default_rng(0).integers(0, 4096, 200)
    speech, looped, stuck = tokens, np.tile(tokens[:20], 10), np.full(200, 7)
    found = scores(Repetition(), [Candidate(codes=t) for t in (speech, looped, stuck)])
    assert found[0] == 0
    assert found[0] > found[1] > found[2] > -1


def test_a_few_tokens_cannot_repeat() -> None:
    assert scores(Repetition(), [Candidate(codes=np.array([5, 5]))]) == [0]


@pytest.mark.parametrize("verifier", [Likelihood(), Length(), Repetition()])
def test_they_need_tokens(verifier: Likelihood | Length | Repetition) -> None:
    verdict = verify(verifier, [Candidate(text="a", logprob=-1.0)])
    assert verdict.reasons == ("it has no codes",)

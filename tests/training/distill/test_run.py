"""Rounds of search and learning on the tiny model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from llasa.base.errors import LlasaError
from llasa.base.rows import Rows
from llasa.data.shards import TokenDataset
from llasa.models.find import find_model
from llasa.models.folder import ModelConfig
from llasa.training.distill.run import Distillation, Distilling
from llasa.training.distill.takes import choose, winners
from llasa.tts.llasa import Llasa
from llasa.vocabulary.vocabulary import Vocabulary
from tests.tiny_model import write_tiny_model

TEXTS = [f"The lazy dog jumps over {word}." for word in ("me", "you", "him", "her", "us", "them")]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = ModelConfig("tiny", cloning=False)
    return write_tiny_model(tmp_path_factory.mktemp("model"), settings, ends=0.7)


def job(tmp_path: Path, model: Path, **changes: Any) -> Distillation:
    texts = tmp_path / "texts.txt"
    if not texts.exists():
        texts.write_text("\n".join([*TEXTS, TEXTS[0], "No.", ""]))
    values: dict[str, Any] = {"sentences": 2, "takes": 3, "held_out": 2, "verify": "length"}
    values |= {"good": -99.0, "epochs": 1.0, "device": "cpu", "base": str(model), **changes}
    return Distillation(Distilling(texts, tmp_path / "better", **values))


def takes(path: Path) -> dict[str, list[dict[str, Any]]]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {row["text"]: row["takes"] for row in rows}


def test_texts_are_chosen_once_and_always_alike() -> None:
    lines = [*TEXTS, TEXTS[0], "No.", " "]
    assert sorted(choose(lines, 99)) == sorted(TEXTS)
    assert choose(lines, 4) == choose(lines, 99)[:4]


def test_winners_are_the_best_takes_that_are_good(tmp_path: Path) -> None:
    rows = Rows(tmp_path / "t.jsonl", lambda row: row["text"])
    scores: dict[str, Sequence[float | None]] = {
        "a": [-0.2, 0.0],
        "b": [-0.5],
        "c": [None],
        "d": [],
    }
    for text, found in scores.items():
        made = [{"codes": [n], "score": score} for n, score in enumerate(found)]
        rows.add({"text": text, "said": text.upper(), "takes": made})
    assert list(winners(rows, "abcd", -0.1)) == [("A", [1], 0.0, [])]
    assert [w.said for w in winners(rows, "abcd", -1.0)] == ["A", "B"]


@pytest.mark.slow
def test_two_rounds(tmp_path: Path, model: Path) -> None:
    work = job(tmp_path, model)
    first, second = work.run(1), work.run(2)
    made = [takes(work.folder(n) / "takes.jsonl") for n in (1, 2)]
    spoken = [*made[0], *made[1]]
    assert len(set(spoken)) == 4
    assert not set(spoken) & set(work.held_out)
    for number, found in enumerate(made, 1):
        tokens = TokenDataset(work.folder(number) / "tokens")
        judged = [[t for t in some if t["score"] is not None] for some in found.values()]
        best = [max(some, key=lambda take: take["score"]) for some in judged if some]
        assert [item.codes.tolist() for item in tokens] == [take["codes"] for take in best]
    assert work.training(2).data.train == [str(work.folder(n) / "tokens") for n in (1, 2)]
    assert work.training(2).init == str(find_model(first).lm)
    out = work.finish()
    assert find_model(out).settings.name == "better"
    weights = [(find_model(m).lm / "model.safetensors").read_bytes() for m in (model, first, out)]
    assert len(set(weights)) == 3
    assert weights[2] == (find_model(second).lm / "model.safetensors").read_bytes()
    assert Llasa.load(out, device="cpu")("The lazy dog.", seed=1).seconds > 0


@pytest.mark.slow
def test_it_goes_on_where_it_was_interrupted(tmp_path: Path, model: Path) -> None:
    work = job(tmp_path, model)
    work.run(1)
    path = work.folder(1) / "takes.jsonl"
    lines = path.read_text().splitlines()
    other = tmp_path / "other"
    other.mkdir()
    again = job(other, model, rounds=1)
    (again.folder(1)).mkdir()
    (again.folder(1) / "takes.jsonl").write_text(f"{lines[0]}\n{lines[1][:9]}")  # cut off
    again.run(1)
    assert takes(again.folder(1) / "takes.jsonl") == takes(path)
    before = (work.folder(1) / "model" / "config.json").stat().st_mtime_ns
    job(tmp_path, model, rounds=1).run(1)  # done already
    assert (work.folder(1) / "model" / "config.json").stat().st_mtime_ns == before
    with pytest.raises(LlasaError, match=r"was begun with other settings \(takes: '3', now '4'\)"):
        job(tmp_path, model, takes=4)


def test_refusals(tmp_path: Path, model: Path) -> None:
    with pytest.raises(
        LlasaError, match="has 6 different texts of 3 to 25 words, but 8 are needed"
    ):
        job(tmp_path, model, rounds=3)
    with pytest.raises(LlasaError, match="takes is 1"):
        job(tmp_path, model, takes=1)
    with pytest.raises(LlasaError, match="One verifier chooses, but 'length,repetition' names"):
        job(tmp_path, model, verify="length,repetition")
    (tmp_path / "x").mkdir()
    work = job(tmp_path / "x", model, good=9.0)
    with pytest.raises(LlasaError, match=r"No take of round 1 scored 9 or more by length"):
        work.run(1)


@pytest.mark.slow
def test_phones_of_takes_are_learnt(tmp_path: Path) -> None:
    named = ModelConfig("tiny", cloning=False)
    names = [chr(ord("a") + number) for number in range(20)]
    model = write_tiny_model(tmp_path / "p", named, ends=0.7, phones=names)
    work = job(tmp_path, model, rounds=1)
    work.run(1)
    found = list(TokenDataset(work.folder(1) / "tokens"))
    assert any(item.phones for item in found)
    for item in found:  # as they were sampled, but that the same phone twice is one
        rows = Vocabulary.load(find_model(model).lm).training_row(
            str(item.text), item.codes, phones=item.phones
        )
        assert (rows.ids >= 300 + 8 + 64).sum() <= len(item.phones)

"""How the data of a fine-tuning is split, and its texts brought to the model's form."""

from __future__ import annotations

from pathlib import Path

import pytest

from llasa.base.errors import LlasaError
from llasa.data.manifest import Utterance, read_manifest, write_manifest
from llasa.data.shard_writer import ShardWriter
from llasa.data.shards import ShardMeta, TokenDataset
from llasa.models.folder import ModelConfig
from llasa.text import PLAIN, Form
from llasa.training.finetune.rows import (
    contents,
    grown_form,
    guess_format,
    held_out,
    named,
    read_texts,
    split_recordings,
    split_tokens,
)
from llasa.training.finetune.settings import Finetuning
from tests.tiny_model import tone


def test_held_out_texts_depend_on_nothing_but_the_seed() -> None:
    texts = [f"text {number}" for number in range(200)]
    found = held_out(texts, 0)
    assert len(found) == 10
    assert found == held_out([*reversed(texts), *texts], 0)
    assert found != held_out(texts, 1)
    assert len(held_out([str(number) for number in range(9000)], 0)) == 100
    assert len(held_out(["a", "b"], 0)) == 1
    with pytest.raises(LlasaError, match="only one text"):
        held_out(["a", "a"], 0)


def test_texts_are_as_the_model_is_given_them() -> None:
    settings = Finetuning(Path(), Path("out"), voice="bob")
    given = Utterance(Path("a.wav"), "I paid $5 — twice!", "ann", timing=((0, 0.0), (3, 1.0)))
    plain = Utterance(Path("b.wav"), "As it is.", timing=((0, 0.0), (3, 1.0)))
    first, second = read_texts([given, plain], settings, ModelConfig("m", languages=("en",)), PLAIN)
    assert (first.text, first.speaker, first.timing) == ("I paid five dollars, twice!", "bob", ())
    assert second.timing == plain.timing


def test_only_letters_that_occur_often_are_new() -> None:
    rows = [Utterance(Path("a.wav"), "Größe, schöne Öfen"), Utterance(Path("b.wav"), "ö" * 7)]
    assert grown_form(PLAIN, rows).alphabet == PLAIN.alphabet + "ö"
    assert grown_form(Form(), rows) == Form()


def test_texts_to_judge_by_are_not_trained_on(tmp_path: Path) -> None:
    for number in range(4):
        tone(1 + number / 10).write(tmp_path / f"{number}.wav")

    def row(number: int, text: str, speaker: str = "ann") -> Utterance:
        return Utterance(tmp_path / f"{number}.wav", text, speaker)

    write_manifest(tmp_path / "all.jsonl", [row(0, "A red fox runs."), row(1, "A dog sleeps.")])
    test = [row(2, "A dog sleeps."), row(3, "A cat looks up.", "stranger")]
    write_manifest(tmp_path / "test.jsonl", test)
    settings = Finetuning(tmp_path / "all.jsonl", tmp_path / "out", test=tmp_path / "test.jsonl")
    work = tmp_path / "work"
    work.mkdir()
    out = (work / "train.jsonl", work / "test.jsonl")
    split_recordings(settings, ModelConfig("m"), out)
    train, judged = map(read_manifest, out)
    assert [r.text for r in train] == ["A red fox runs."]
    assert [(r.text, r.speaker) for r in judged] == [("A dog sleeps.", "ann")]
    write_manifest(tmp_path / "test.jsonl", test[1:])
    with pytest.raises(LlasaError, match="none of its speakers"):
        split_recordings(settings, ModelConfig("m"), out)


def test_tokens_are_split_by_text(tmp_path: Path) -> None:
    meta = ShardMeta("codec", 64, 50.0, 1)
    meta.save(tmp_path / "tokens")
    with ShardWriter(tmp_path / "tokens", 0, meta) as writer:
        for number in range(8):
            writer.add(f"text {number % 4}", [number, number], "ann" if number % 2 else None)
    settings = Finetuning(tmp_path / "tokens", tmp_path / "out", voice="bob")
    out = (tmp_path / "train", tmp_path / "test")
    split_tokens(settings, out)
    split_tokens(settings, out)  # is done once
    train, test = ([*TokenDataset(folder)] for folder in out)
    assert (len(train), len(test)) == (6, 2)
    assert {item.text for item in train}.isdisjoint({item.text for item in test})
    assert {item.speaker for item in (*train, *test)} == {"bob"}
    settings.test = tmp_path / "test.jsonl"
    with pytest.raises(LlasaError, match="is for recordings"):
        split_tokens(settings, out)


def test_every_row_has_a_name() -> None:
    assert named(["b", "a", "b"]) == ["a", "b"]
    with pytest.raises(LlasaError, match="name the voice"):
        named(["a", None])


def test_formats_and_contents(tmp_path: Path) -> None:
    assert guess_format(tmp_path) == "folder"
    (tmp_path / "metadata.csv").write_text("a|b|b")
    assert guess_format(tmp_path) == "ljspeech"
    assert contents(tmp_path) == [("metadata.csv", 5)]
    assert contents(tmp_path / "metadata.csv") == [(".", 5)]

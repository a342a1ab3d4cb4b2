"""Sources that speak, hear and read, mixed by weight; every row comes before any comes again."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import AddedToken

from llasa.base.errors import LlasaError
from llasa.data.shards import TokenDataset
from llasa.training.lm.data import LMBatches, LMDataSettings
from llasa.training.lm.mixture import Mixture, RowSource, SourceSettings, open_mixture
from llasa.training.lm.trainer import LMTrainer, train_lm
from llasa.vocabulary.rows import IGNORE
from llasa.vocabulary.tokenizer import HEADER_TOKENS, train_bpe
from llasa.vocabulary.vocabulary import Vocabulary

from ..tools import CODES, WORDS, lm_settings, losses, rewound, same_end, write_tokens


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven texts, of which every other one answers something."""
    path = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    lines: list[dict[str, Any]] = []
    for number in range(7):
        lines.append({"text": " ".join(WORDS[number:])})
        if number % 2:
            lines[-1]["prompt"] = f"the {number}"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def sources(tokens: Path, texts: Path) -> list[SourceSettings]:
    return [
        SourceSettings([str(tokens)], "asr", 0.5),
        SourceSettings([str(texts)], "text", 2.0),
    ]


def test_rows_of_an_epoch(tokens: Path, texts: Path) -> None:
    mixture = open_mixture([str(tokens)], "tts", sources(tokens, texts))
    assert len(mixture) == 12 + 12 + 7
    first, second = (Counter(mixture.epoch(epoch, seed=3).tolist()) for epoch in (0, 1))
    for epoch in (first, second):
        assert [epoch[row] for row in range(12)] == [1] * 12
        assert sum(epoch[row] for row in range(12, 24)) == 6
        assert [epoch[row] for row in range(24, 31)] == [2] * 7
    assert [first[row] + second[row] for row in range(12, 24)] == [1] * 12
    assert mixture.epoch(0, seed=3).tolist() != mixture.epoch(0, seed=4).tolist()
    assert {mixture.find(row)[0].task for row in first} == {"tts", "asr", "text"}


def test_odd_weights_lose_nothing(tokens: Path) -> None:
    """Of twelve rows 3.6 an epoch: after ten epochs each has come three times."""
    mixture = open_mixture([], "tts", [SourceSettings([str(tokens)], "tts", 0.3)])
    seen = Counter(row for epoch in range(10) for row in mixture.epoch(epoch, 0).tolist())
    assert [seen[row] for row in range(12)] == [3] * 12


def test_no_epoch_without_rows(tokens: Path, texts: Path) -> None:
    """Of twelve rows at 0.08 less than one an epoch; beside others a source may skip epochs."""
    small = SourceSettings([str(tokens)], "tts", 0.08)
    with pytest.raises(LlasaError, match="12 rows of weight 0.08 there are epochs without any row"):
        open_mixture([], "tts", [small])
    mixture = open_mixture([], "tts", [small, SourceSettings([str(texts)], "text")])
    assert [len(mixture.epoch(epoch, 0)) for epoch in range(2)] == [7, 8]


def test_weights_are_not_rounded() -> None:
    """In floats, the 29th epoch of 100 rows at 0.01 would be empty."""
    assert int(29 * 0.01 * 100) == int(28 * 0.01 * 100)
    hundred: Any = range(100)
    share = RowSource(hundred, "tts", 0.01).share
    assert [int((e + 1) * share) - int(e * share) for e in range(100)] == [1] * 100


def test_one_source_is_planned_as_ever(tokens: Path, compact: Vocabulary) -> None:
    """Runs that were begun before there were mixtures go on: plans are those of plain numpy."""
    settings, dataset = LMDataSettings(tokens=150, max_tokens=256), TokenDataset(tokens)
    data = LMBatches(settings, dataset, compact, seed=5)
    rng, lengths = np.random.default_rng((5, 2)), dataset.lengths()
    order = rng.permutation(12)
    order = order[np.argsort(lengths[order], kind="stable")]
    widths = np.minimum(lengths[order] * 1.4 + len(compact.tts_prompt("a")) + 1, 256)
    expected: list[list[int]] = []
    current = 0
    for end in range(1, 13):
        if end == 12 or widths[end] * (end + 1 - current) > 150:
            expected.append(order[current:end].tolist())
            current = end
    expected = [expected[i] for i in rng.permutation(len(expected))]
    assert [part.tolist() for part in data.plan(2)] == expected


def test_batches_of_a_mixture(tokens: Path, texts: Path, compact: Vocabulary) -> None:
    mixture = open_mixture([str(tokens)], "tts", sources(tokens, texts))
    settings = LMDataSettings(
        [str(tokens)], tokens=300, max_tokens=256, mixture=sources(tokens, texts)
    )
    data = LMBatches(settings, mixture, compact, seed=1)
    ends = Counter[str]()
    for index in range(len(data.plan(0))):
        batch = data.batch(index)
        for line in batch.labels:
            last = int(line[line != IGNORE][-1])
            spoken, written = compact.end, compact.control_id("TEXT_GENERATION_END")
            ends[{spoken: "tts", written: "asr"}.get(last, "text")] += 1
    assert ends == {"tts": 12, "asr": 6, "text": 14}
    assert data.lost == {}


def test_lengths_of_texts(tokens: Path, texts: Path, compact: Vocabulary) -> None:
    """In codes that would take as many tokens, so that batches are as full as any."""
    lengths = open_mixture([], "tts", [SourceSettings([str(texts)], "text")]).lengths(compact, 2.0)
    data = LMBatches(
        LMDataSettings(mixture=[SourceSettings([str(texts)], "text")]),
        open_mixture([], "tts", [SourceSettings([str(texts)], "text")]),
        compact,
        seed=0,
    )
    found = sum(len(data.row(index).ids) for index in range(7))
    assert 2 * float(lengths.sum()) == pytest.approx(found, rel=0.15)


def test_text_rows() -> None:
    base = train_bpe(WORDS, 300)
    plain = Vocabulary.extend(base, CODES)
    row = plain.text_row("the fox", "it")
    assert row.ids.tolist() == [*plain.encode_text("it"), *plain.encode_text("the fox")]
    assert row.labels[row.labels != IGNORE].tolist() == plain.encode_text("the fox")
    base.add_special_tokens([AddedToken(name, special=True) for name in HEADER_TOKENS])
    chat = Vocabulary.extend(base, CODES)
    begin, header, body, eot = (chat.added_tokens[name] for name in HEADER_TOKENS)
    row = chat.text_row("the fox", "it")
    learnt = [*chat.encode_text("the fox"), eot]
    assert row.labels[row.labels != IGNORE].tolist() == learnt
    assert row.ids[: len(row.ids) - len(learnt)].tolist() == chat.text_turns("it")
    assert (row.ids == header).sum() == (row.ids == body).sum() == 3
    alone = chat.text_row("the fox")
    assert alone.ids.tolist() == [begin, *learnt]
    assert alone.labels[1:].tolist() == learnt
    cut = chat.text_row("the fox", max_tokens=3)
    assert (len(cut.ids), cut.cut) == (3, len(alone.ids) - 3)
    with pytest.raises(LlasaError, match="leaves no room for an answer in a row of 9"):
        chat.text_row("the fox", "it", max_tokens=9)
    with pytest.raises(LlasaError, match="The text is empty"):
        chat.text_row("")


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["bucket", "pack"])
def test_a_run_on_a_mixture_resumes(
    tmp_path: Path, words: Path, tokens: Path, texts: Path, layout: str
) -> None:
    changes: dict[str, Any] = {
        "data": {
            "layout": layout,
            "mixture": [
                {"train": [str(tokens)], "task": "asr", "weight": 0.5},
                {"train": [str(texts)], "task": "text", "weight": 2.0},
            ],
        },
        "full_vocabulary": False,  # which a model that writes has all the same
    }
    whole = tmp_path / "whole"
    train_lm(lm_settings(words, tokens, whole, **changes))
    out = rewound(whole, tmp_path / "run", 2)
    train_lm(lm_settings(words, tokens, out, **changes))
    same_end(out, whole)
    log = losses(whole)
    assert all(np.isfinite(log[step]["loss"]) for step in log)
    trainer = LMTrainer(lm_settings(words, tokens, tmp_path / "again", **changes))
    assert trainer.objective.first == 0
    batch = trainer.batch(0)[0]
    assert torch.isfinite(trainer.objective(batch).codes).all()


def test_mistakes(tmp_path: Path, tokens: Path, texts: Path) -> None:
    other = write_tokens(tmp_path / "other")
    meta = other / "meta.json"
    meta.write_text(meta.read_text().replace('"spelling"', '"levels"'))
    with pytest.raises(LlasaError, match="different codecs or tokenizers: levels and spelling"):
        open_mixture([str(tokens)], "tts", [SourceSettings([str(other)])])
    with pytest.raises(LlasaError, match=r"every source needs train"):
        SourceSettings()
    with pytest.raises(LlasaError, match=r"data\.mixture\.weight"):
        SourceSettings([str(tokens)], weight=0.0)
    with pytest.raises(LlasaError, match=r"Rows of data\.released speak"):
        LMDataSettings(released=True, mixture=[SourceSettings([str(texts)], "text")])
    with pytest.raises(LlasaError, match=r"data\.train is empty"):
        Mixture([])
    assert len(Mixture([RowSource(TokenDataset(tokens), "tts")])) == 12

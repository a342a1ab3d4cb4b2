"""Batches of the language model: every utterance once an epoch, packed or padded alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import AddedToken
from torch.nn import functional as F

from llasa.data.shards import TokenDataset
from llasa.engine.llama import Llama, LlamaConfig
from llasa.errors import LlasaError
from llasa.training.lm import Objective
from llasa.training.lm_data import Batch, LMBatches, LMDataSettings
from llasa.vocabulary import HEADER_TOKENS, IGNORE, Vocabulary, train_bpe

from .tools import CODES, LLAMA, WORDS, lm_settings, write_tokens

COUNT = 12


def batches(tokens: Path, vocabulary: Vocabulary, **changes: object) -> LMBatches:
    settings = LMDataSettings(**{"tokens": 150, "max_tokens": 256, **changes})
    return LMBatches(settings, TokenDataset(tokens), vocabulary, seed=1)


def objective(vocabulary: Vocabulary, **changes: object) -> Objective:
    torch.manual_seed(0)
    sizes = {"model_type": "llama", "vocab_size": vocabulary.size, **LLAMA}
    model = Llama(LlamaConfig.from_dict(sizes))
    for parameter in model.parameters():
        parameter.data.mul_(4)  # far from even predictions
    settings = lm_settings(Path("v"), Path("t"), Path("o"), **changes)
    return Objective(model, settings, vocabulary)


def spoken(batch: Batch, vocabulary: Vocabulary) -> list[tuple[int, ...]]:
    """Codes of each row in a batch."""
    found = []
    for ids, owner in zip(batch.ids, batch.row, strict=True):
        for number in range(int(owner.max()) + 1):
            row = ids[owner == number]
            codes = row[row >= vocabulary.speech_start] - vocabulary.speech_start
            found.append(tuple(codes.tolist()))
    return found


@pytest.mark.parametrize("layout", ["bucket", "pack"])
def test_every_utterance_once_an_epoch(tokens: Path, compact: Vocabulary, layout: str) -> None:
    data = batches(tokens, compact, layout=layout)
    expected = sorted(tuple(item.codes.tolist()) for item in TokenDataset(tokens))
    start = 0
    orders = []
    for epoch in range(3):
        count = len(data.plan(epoch))
        seen = [c for i in range(start, start + count) for c in spoken(data.batch(i), compact)]
        assert sorted(seen) == expected
        orders.append(seen)
        start += count
    assert orders[0] != orders[1] != orders[2]


def test_pure_function_of_the_index(tokens: Path, compact: Vocabulary) -> None:
    one, other = batches(tokens, compact), batches(tokens, compact)
    expected = [one.batch(index) for index in range(9)]
    for index in (8, 0, 4):
        for a, b in zip(other.batch(index), expected[index], strict=True):
            assert torch.equal(a, b)


def test_short_first(tokens: Path, compact: Vocabulary) -> None:
    data = batches(tokens, compact, short_first=True)
    order = np.concatenate(data.plan(0))
    assert (np.diff(data.lengths[order]) >= 0).all()
    assert (np.diff(data.lengths[np.concatenate(data.plan(1))]) < 0).any()


def test_budget(tokens: Path, compact: Vocabulary) -> None:
    data = batches(tokens, compact)
    sizes = [data.batch(index).ids.numel() for index in range(20)]
    assert max(sizes) <= 150
    assert min(sizes) < max(sizes)


def test_padded_row(tokens: Path, compact: Vocabulary) -> None:
    data = batches(tokens, compact)
    rows = [data.row(0), data.row(11)]
    batch = data.collate(rows)
    length = len(rows[0].ids)
    assert batch.ids.shape == (2, len(rows[1].ids))
    assert batch.ids[0, :length].tolist() == rows[0].ids.tolist()
    assert batch.labels[0, length:].eq(IGNORE).all()
    assert batch.row[0].tolist() == [0] * length + [-1] * (batch.ids.shape[1] - length)
    learnt = batch.labels[0][batch.labels[0] != IGNORE].tolist()
    codes = (TokenDataset(tokens)[0].codes + compact.speech_start).tolist()
    assert learnt == [compact.speech_generation_start, *codes, compact.end]
    # The label of the text is nothing, its place runs from 0 to 1; so does that of the speech.
    begin, end = rows[0].text_span
    text = batch.text[0, begin:end]
    torch.testing.assert_close(text, torch.arange(len(text)) / len(text))
    assert (batch.labels[0, begin:end] == IGNORE).all()
    opening = rows[0].speech_start
    speech = batch.speech[0, opening : opening + len(codes) + 1]
    torch.testing.assert_close(speech, torch.arange(len(speech)) / len(speech))
    assert int((batch.speech[0] >= 0).sum()) == len(speech)
    assert int((batch.text[0] >= 0).sum()) == len(text)


def test_packed_rows_do_not_see_each_other(tokens: Path, compact: Vocabulary) -> None:
    data = batches(tokens, compact, layout="pack", max_tokens=128)
    rows = [data.row(index) for index in range(COUNT)]
    batch = data.collate(rows)
    assert batch.ids.shape[1] <= 128
    assert len(batch.ids) < COUNT
    assert int(batch.positions.max()) == max(len(row.ids) for row in rows) - 1
    for owner, mask in zip(batch.row, batch.mask[:, 0], strict=True):
        assert torch.equal(mask, (owner[:, None] == owner) & (owner >= 0))


def test_packed_loss_equals_padded_loss(tokens: Path, compact: Vocabulary) -> None:
    padded = batches(tokens, compact)
    packed = batches(tokens, compact, layout="pack")
    rows = [padded.row(index) for index in range(COUNT)]
    network = objective(compact)
    alone, weights = [], []
    with torch.no_grad():
        one, _ = network(padded.collate(rows), False)
        other, _ = network(packed.collate(rows), False)
        for row in rows:
            alone.append(float(network(padded.collate([row]), False)[0]))
            weights.append(int((row.labels != IGNORE).sum()))
    assert float(other) == pytest.approx(float(one), rel=1e-5)
    assert float(np.average(alone, weights=weights)) == pytest.approx(float(one), rel=1e-5)


@pytest.mark.parametrize("whole", [True, False])
def test_loss_is_the_plain_cross_entropy(tokens: Path, compact: Vocabulary, whole: bool) -> None:
    data = batches(tokens, compact)
    network = objective(compact, full_vocabulary=whole)
    row = data.row(7)
    ids, labels = torch.from_numpy(row.ids)[None], torch.from_numpy(row.labels)
    with torch.no_grad():
        loss, guide = network(data.collate([row]), False)
        logits = network.llama(ids)[0, :-1]
    if not whole:  # text cannot follow
        logits[:, : compact.base_size] = -torch.inf
    assert float(loss) == pytest.approx(float(F.cross_entropy(logits, labels[1:])), rel=1e-5)
    assert float(guide) == 0


def test_recomputing_changes_nothing(
    tokens: Path, compact: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llasa.training.lm.LOSS_POSITIONS", 20)
    batch = batches(tokens, compact).batch(0)
    gradients = []
    for checkpointing in (False, True):
        network = objective(compact, checkpointing=checkpointing)
        loss, _ = network(batch, False)
        loss.backward()
        gradients.append((loss.detach(), network.llama.model.layers[0].mlp.up_proj.weight.grad))
    torch.testing.assert_close(gradients[0], gradients[1])


def test_speech_recognition_rows(tokens: Path, compact: Vocabulary) -> None:
    data = batches(tokens, compact, task="asr")
    batch = data.batch(0)
    learnt = batch.labels[batch.labels != IGNORE]
    assert int((learnt == compact.text_generation_end).sum()) == len(batch.ids)
    assert (learnt < compact.speech_start).all()


def test_released_rows_and_what_they_lose(tokens: Path) -> None:
    base = train_bpe(WORDS, 300)
    base.add_special_tokens([AddedToken(name, special=True) for name in HEADER_TOKENS])
    vocabulary = Vocabulary.extend(base, CODES)
    data = batches(tokens, vocabulary, released=True, max_tokens=200)
    batch = data.batch(0)
    assert batch.ids.shape[1] == 200
    ends = batch.ids == vocabulary.eot
    assert (batch.labels[ends] == IGNORE).all()
    assert not batch.mask[:, 0].transpose(1, 2)[ends].any()
    # A row so short that all its speech is lost teaches nothing, and breaks nothing.
    lost = batches(tokens, vocabulary, released=True, max_tokens=40).batch(0)
    assert (lost.labels == IGNORE).all()
    loss, _ = objective(vocabulary)(lost, False)
    loss.backward()
    assert loss.item() == 0


def test_mistakes(tokens: Path, compact: Vocabulary, tmp_path: Path) -> None:
    with pytest.raises(LlasaError, match="hold no utterances"):
        batches(write_tokens(tmp_path / "empty", 0), compact)
    with pytest.raises(LlasaError, match="the data has 100 codes, the vocabulary only 64"):
        batches(write_tokens(tmp_path / "other", 2, codes=100), compact)
    with pytest.raises(LlasaError, match="utterance 3 of the token shards .*no room for speech"):
        batches(tokens, compact, max_tokens=10).row(3)

"""Batches of the language model: every utterance once an epoch, packed or padded alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import AddedToken
from torch.nn import functional as F

from llasa.base.errors import LlasaError
from llasa.data.shard_writer import ShardWriter
from llasa.data.shards import ShardMeta, TokenDataset
from llasa.lm.config import LlamaConfig
from llasa.lm.llama import Llama
from llasa.training.auxiliary.alignment import AlignmentSettings, guided_attention_loss
from llasa.training.lm.batch import Batch
from llasa.training.lm.data import LMBatches, LMDataSettings
from llasa.training.lm.objective import Objective
from llasa.vocabulary.rows import IGNORE
from llasa.vocabulary.tokenizer import HEADER_TOKENS, train_bpe
from llasa.vocabulary.vocabulary import Vocabulary
from tests.conftest import CORPUS

from ..tools import CODES, LLAMA, WORDS, lm_settings, write_tokens

COUNT = 12
GUIDE = AlignmentSettings(weight=1.0, width=1.0)
SPEAKERS = ["ann", "bob", "ann", None, "eve"]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty utterances; ann has two fifths, one fifth has no name, and one is the only eve."""
    folder = tmp_path_factory.mktemp("people")
    meta = ShardMeta("random", CODES, 50.0, 1)
    meta.save(folder)
    rng = np.random.default_rng(0)
    with ShardWriter(folder, 0, meta) as writer:
        for number in range(60):
            speaker = SPEAKERS[number % 5]
            if speaker == "eve" and number > 5:
                speaker = "bob"
            codes = rng.integers(0, CODES, rng.integers(15, 90))
            text = " ".join(rng.choice(WORDS, len(codes) // 15))
            writer.add(f"{text.capitalize()}.", codes, speaker)
    return folder


def same(one: Batch, other: Batch) -> bool:
    return all(
        a is b if a is None or b is None else torch.equal(a, b)
        for a, b in zip(one, other, strict=True)
    )


def batches(folder: Path, vocabulary: Vocabulary, **changes: Any) -> LMBatches:
    settings = LMDataSettings(**{"tokens": 150, "max_tokens": 256, **changes})
    return LMBatches(settings, TokenDataset(folder), vocabulary, seed=1)


def objective(vocabulary: Vocabulary, **changes: Any) -> Objective:
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
        assert same(other.batch(index), expected[index])


def test_short_first(tokens: Path, compact: Vocabulary) -> None:
    data = batches(tokens, compact, short_first=0.5)
    order = np.concatenate(data.plan(0))
    assert sorted(order) == list(range(len(data.lengths)))
    lengths, half = data.lengths[order], len(order) // 2
    assert (np.diff(lengths[:half]) >= 0).all()
    assert lengths[half - 1] <= lengths[half:].min()
    assert (np.diff(lengths[half:]) < 0).any()
    assert (np.diff(data.lengths[np.concatenate(data.plan(1))][:half]) < 0).any()


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
    assert learnt == [compact.control_id("SPEECH_GENERATION_START"), *codes, compact.end]
    # The label of the text is nothing; speech reads it in proportion, END at its end.
    begin, end = rows[0].text_span
    text = batch.text[0, begin:end]
    torch.testing.assert_close(text, torch.arange(len(text)) + 0.5)
    assert (batch.labels[0, begin:end] == IGNORE).all()
    opening = rows[0].speech_start
    speech = batch.speech[0, opening : opening + len(codes) + 1]
    share = (torch.arange(len(speech)) + 0.5) / len(speech)
    torch.testing.assert_close(speech, share * len(text))
    assert int((batch.speech[0] >= 0).sum()) == len(speech)
    assert int((batch.text[0] >= 0).sum()) == len(text)


def test_packed_rows_do_not_see_each_other(tokens: Path, compact: Vocabulary) -> None:
    data = batches(tokens, compact, layout="pack", max_tokens=128)
    rows = [data.row(index) for index in range(COUNT)]
    batch = data.collate(rows)
    assert batch.ids.shape[1] <= 128
    assert len(batch.ids) < COUNT
    assert int(batch.positions.max()) == max(len(row.ids) for row in rows) - 1
    for owner, seen in zip(batch.row, batch.seen()[:, 0], strict=True):
        assert torch.equal(seen, (owner[:, None] == owner) & (owner >= 0))


def test_packed_loss_equals_padded_loss(tokens: Path, compact: Vocabulary) -> None:
    padded = batches(tokens, compact)
    packed = batches(tokens, compact, layout="pack")
    rows = [padded.row(index) for index in range(COUNT)]
    network = objective(compact)
    with torch.no_grad():
        one = network(padded.collate(rows)).codes.sum()
        other = network(packed.collate(rows)).codes.sum()
        alone = [float(network(padded.collate([row])).codes) for row in rows]
    assert float(other) == pytest.approx(float(one), rel=1e-5)
    assert sum(alone) == pytest.approx(float(one), rel=1e-5)


@pytest.mark.parametrize("whole", [True, False])
def test_loss_is_the_plain_cross_entropy(tokens: Path, compact: Vocabulary, whole: bool) -> None:
    data = batches(tokens, compact)
    network = objective(compact, full_vocabulary=whole)
    row = data.row(7)
    ids, labels = torch.from_numpy(row.ids)[None], torch.from_numpy(row.labels)
    with torch.no_grad():
        loss, extra = network(data.collate([row]))
        logits = network.llama(ids)[0, :-1]
    if not whole:  # text cannot follow
        logits[:, : compact.base_size] = -torch.inf
    expected = F.cross_entropy(logits, labels[1:], reduction="sum")
    assert float(loss.sum()) == pytest.approx(float(expected), rel=1e-5)
    assert extra == {}


def test_recomputing_changes_nothing(
    tokens: Path, compact: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llasa.training.lm.objective.LOSS_POSITIONS", 20)
    batch = batches(tokens, compact).batch(0)
    gradients = []
    for checkpointing in (False, True):
        network = objective(compact, checkpointing=checkpointing)
        loss = network(batch).codes.sum()
        loss.backward()
        gradients.append((loss.detach(), network.llama.model.layers[0].mlp.up_proj.weight.grad))
    torch.testing.assert_close(gradients[0], gradients[1])


def test_speech_recognition_rows(tokens: Path, compact: Vocabulary) -> None:
    data = batches(tokens, compact, task="asr")
    batch = data.batch(0)
    learnt = batch.labels[batch.labels != IGNORE]
    assert int((learnt == compact.control_id("TEXT_GENERATION_END")).sum()) == len(batch.ids)
    assert (learnt < compact.speech_start).all()


def test_released_rows_and_what_they_lose(tokens: Path) -> None:
    base = train_bpe(WORDS, 300)
    base.add_special_tokens([AddedToken(name, special=True) for name in HEADER_TOKENS])
    vocabulary = Vocabulary.extend(base, CODES)
    data = batches(tokens, vocabulary, released=True, max_tokens=200)
    batch = data.batch(0)
    row = data.row(int(data.plan(0)[0][0]))
    assert len(row.ids) == 200
    assert (row.ids == vocabulary.eot).sum() > 2
    assert vocabulary.eot not in batch.ids[batch.row >= 0]
    # What the released trainer computes: all tokens are there, and the ends are masked.
    network, shown = objective(vocabulary), torch.from_numpy(row.attention_mask)[None].bool()
    ids, labels = (torch.from_numpy(part)[None] for part in (row.ids, row.labels))
    with torch.no_grad():
        logits = network.llama.logits(network.llama.hidden(ids, shown))
        loss = network(data.collate([row])).codes.sum()
    expected = F.cross_entropy(logits[0, :-1], labels[0, 1:], reduction="sum")
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)
    # A row so short that all its speech is lost teaches nothing, and breaks nothing.
    lost = batches(tokens, vocabulary, released=True, max_tokens=40).batch(0)
    assert (lost.labels == IGNORE).all()
    loss = objective(vocabulary)(lost).codes.sum()
    loss.backward()
    assert loss.item() == 0


def test_mistakes(tokens: Path, compact: Vocabulary, tmp_path: Path) -> None:
    with pytest.raises(LlasaError, match="hold no utterances"):
        batches(write_tokens(tmp_path / "empty", 0), compact)
    with pytest.raises(LlasaError, match="The data has 100 codes, the vocabulary only 64"):
        batches(write_tokens(tmp_path / "other", 2, codes=100), compact)
    with pytest.raises(LlasaError, match="Utterance 3 of the token shards .*no room for speech"):
        batches(tokens, compact, max_tokens=10).row(3)


def test_prompt_is_another_utterance_of_the_speaker(people: Path, compact: Vocabulary) -> None:
    data = batches(people, compact, prompted=0.5)
    items = list(TokenDataset(people))
    room = (256 - len(compact.tts_prompt("a")) - 1) / 1.4
    chosen: dict[int, set[int]] = {number: set() for number in range(60)}
    share = []
    for epoch in range(1000):
        prompts = data.prompts(epoch)
        share.append(np.mean(prompts >= 0))
        for place in np.flatnonzero(prompts >= 0):
            chosen[int(place)].add(int(prompts[place]))
    for number, item in enumerate(items):
        expected = {
            other
            for other, prompt in enumerate(items)
            if item.speaker == prompt.speaker is not None
            and other != number
            and len(item.codes) + len(prompt.codes) <= room
        }
        assert chosen[number] == expected
    possible = np.mean([bool(others) for others in chosen.values()])
    assert np.mean(share) == pytest.approx(0.5 * possible, abs=0.02)
    assert not chosen[4]  # the only eve


def test_prompts_are_a_pure_function_of_the_index(people: Path, compact: Vocabulary) -> None:
    one, other = (batches(people, compact, prompted=0.7, tokens=600) for _ in range(2))
    expected = [one.batch(index) for index in range(60)]
    for index in (55, 0, 30):
        assert same(other.batch(index), expected[index])
    assert (one.prompts(0) != one.prompts(1)).any()


def test_prompted_row_begins_as_cloning_does(people: Path, compact: Vocabulary) -> None:
    """Token for token the prompt with which a voice is cloned."""
    data = batches(people, compact, prompted=1.0)
    items = TokenDataset(people)
    prompts = data.prompts(0)
    assert (prompts >= 0).sum() > 30
    for number in np.flatnonzero(prompts >= 0):
        said, codes, *_ = items[int(prompts[number])]
        text, target, *_ = items[int(number)]
        row = data.row(int(number), prompt=int(prompts[number]))
        start = compact.tts_prompt(str(text), str(said), codes)
        spoken = compact.codes_to_ids(target).tolist()
        assert row.ids.tolist() == [*start, *spoken, compact.end]
        # Learnt is all speech, that of the prompt included, as in a plain row.
        learnt = [
            compact.control_id("SPEECH_GENERATION_START"),
            *compact.codes_to_ids(codes),
            *spoken,
        ]
        assert row.labels[row.labels != IGNORE].tolist() == [*learnt, compact.end]
        assert row.cut == 0


def test_prompted_batches_keep_the_budget(people: Path, compact: Vocabulary) -> None:
    for layout in ("bucket", "pack"):
        data = batches(people, compact, prompted=1.0, tokens=600, layout=layout)
        count = len(data.plan(0))
        sizes = [data.batch(index).ids.shape for index in range(count)]
        assert max(width for _, width in sizes) <= 256
        if layout == "bucket":
            assert max(rows * width for rows, width in sizes) <= 600
            assert max(rows for rows, _ in sizes) > 2
        lengths = [len(codes) for i in range(count) for codes in spoken(data.batch(i), compact)]
        prompts = data.prompts(0)
        whole = data.lengths + np.where(prompts < 0, 0, data.lengths[prompts])
        assert sorted(lengths) == sorted(whole.tolist())


def test_short_first_counts_the_prompt(people: Path, compact: Vocabulary) -> None:
    data = batches(people, compact, prompted=0.5, short_first=1.0)
    prompts = data.prompts(0)
    whole = data.lengths + np.where(prompts < 0, 0, data.lengths[prompts])
    assert (np.diff(whole[np.concatenate(data.plan(0))]) >= 0).all()


def test_a_row_that_turns_out_too_long_stays_plain(compact: Vocabulary, tmp_path: Path) -> None:
    """The plan guesses the length of the text; here it is far longer than the speech."""
    meta = ShardMeta("random", CODES, 50.0, 1)
    meta.save(tmp_path)
    with ShardWriter(tmp_path, 0, meta) as writer:
        for _ in range(2):
            writer.add("fox " * 150, [1, 2, 3], "ann")
    tokens = len(compact.encode_text("fox " * 150))
    data = batches(tmp_path, compact, prompted=1.0, max_tokens=tokens + 20)
    assert data.prompts(0).tolist() == [1, 0]
    assert data.row(0, prompt=1).ids.tolist() == data.row(0).ids.tolist()
    assert data.batch(0).ids[0].tolist() == data.row(0).ids.tolist()


def test_places_of_a_prompted_row(people: Path, compact: Vocabulary) -> None:
    """Prompt over prompt, target over target: both parts run in order, each by itself."""
    data = batches(people, compact, prompted=1.0)
    number = int(np.flatnonzero(data.prompts(0) >= 0)[0])
    prompt = int(data.prompts(0)[number])
    row, plain = data.row(number, prompt=prompt), data.row(0)
    batch = data.collate([row, plain])
    said, codes, *_ = TokenDataset(people)[prompt]
    words, frames = len(compact.encode_text(str(said))), len(codes)
    text = batch.text[0][batch.text[0] >= 0]
    speech = batch.speech[0][batch.speech[0] >= 0]
    torch.testing.assert_close(text, torch.arange(len(text)) + 0.5)
    rest = len(speech) - frames
    share = (torch.arange(frames) + 0.5) / frames
    torch.testing.assert_close(speech[:frames], share * words)
    share = (torch.arange(rest) + 0.5) / rest
    torch.testing.assert_close(speech[frames:], words + share * (len(text) - words))
    assert len(text) == row.text_span[1] - row.text_span[0]
    # As everywhere, a code's place is where it is predicted: one before it. END has one, too.
    assert len(speech) == frames + data.lengths[number] + 1
    at = int((batch.speech[0] >= words).nonzero()[0])
    assert batch.ids[0, at + 1] == compact.speech_start + TokenDataset(people)[number].codes[0]
    assert batch.text[1].max() < len(compact.encode_text(str(TokenDataset(people)[0].text)))


def test_places_by_timing(tmp_path: Path, compact: Vocabulary) -> None:
    """Half of the text in the first two codes, a pause, the rest at once."""
    text = "abcdefgh" * 4
    with ShardWriter(tmp_path, 0, meta := ShardMeta("codec", 64, 50.0, 1)) as writer:
        writer.add(text, list(range(10)), timing=[(0.0, 0), (0.5, 2), (0.5, 8), (1.0, 10)])
    meta.save(tmp_path)
    data = batches(tmp_path, compact)
    batch = data.collate([data.row(0)])
    words = len(compact.encode_text(text))
    reading = batch.speech[0][batch.speech[0] >= 0] / words
    wanted = [0.125, 0.375, *[0.5] * 6, 0.625, 0.875, 1.0]
    assert reading.tolist() == pytest.approx(wanted, abs=1e-6)


def test_some_rows_are_heard(tokens: Path, compact: Vocabulary) -> None:
    """A share of the rows goes from codes to text, drawn anew in each epoch, always the same."""
    data, plain = batches(tokens, compact, hear=0.5), batches(tokens, compact)
    text = compact.control_id("TEXT_GENERATION_START")
    epochs = [range(len(data.plan(0))), range(len(data.plan(0)), 2 * len(data.plan(0)))]
    heard = [
        [bool((line == text).any()) for index in epoch for line in data.batch(index).ids]
        for epoch in epochs
    ]
    assert heard[0] != heard[1]
    assert 0 < sum(heard[0]) < COUNT
    assert all(same(data.batch(i), batches(tokens, compact, hear=0.5).batch(i)) for i in epochs[0])
    for index in epochs[0]:  # the others are as they were
        assert data.batch(index).ids.shape[0] == plain.batch(index).ids.shape[0]
    row = data.row(3, task="asr")
    item = TokenDataset(tokens)[3]
    learnt = row.ids[row.labels != IGNORE].tolist()
    assert learnt == [text, *compact.encode_text(str(item.text)), compact.text_end]


def test_places_of_a_row_that_is_heard(tmp_path: Path, compact: Vocabulary) -> None:
    """Letters look at the codes that say them, as codes look at their letters in other rows."""
    text = "abcdefgh" * 4
    with ShardWriter(tmp_path, 0, meta := ShardMeta("codec", 64, 50.0, 1)) as writer:
        writer.add(text, list(range(10)), timing=[(0.0, 0), (0.5, 2), (0.5, 8), (1.0, 10)])
    meta.save(tmp_path)
    data = batches(tmp_path, compact, hear=1.0)
    row = data.row(0, task="asr")
    batch = data.collate([row, data.row(0)])
    words = len(compact.encode_text(text))
    codes = (batch.ids[0] >= compact.speech_start) & (batch.row[0] >= 0)
    assert torch.equal(batch.text[0] >= 0, codes)
    wanted = [0.125, 0.375, *[0.5] * 6, 0.625, 0.875]
    assert (batch.text[0][codes] / words).tolist() == pytest.approx(wanted, abs=1e-6)
    # The place of a text token is where it is predicted: one before it.
    letters = (batch.speech[0] >= 0).nonzero()[:, 0] + 1
    assert batch.ids[0, letters].tolist() == compact.encode_text(text)
    torch.testing.assert_close(batch.speech[0, letters - 1], torch.arange(words) + 0.5)
    assert (batch.phones[0] == IGNORE).all()


def test_hearing_needs_the_whole_vocabulary(tokens: Path, compact: Vocabulary) -> None:
    assert objective(compact, full_vocabulary=False).first == compact.base_size
    assert objective(compact, full_vocabulary=False, data={"hear": 0.1}).first == 0
    for wrong in ({"task": "asr"}, {"released": True}):
        with pytest.raises(LlasaError, match="Setting data.hear needs data.task=tts"):
            batches(tokens, compact, hear=0.1, **wrong)


def test_phones_of_codes(tmp_path: Path, compact: Vocabulary) -> None:
    """Each where its code is predicted; unknown symbols and END have none."""
    with ShardWriter(tmp_path, 0, meta := ShardMeta("codec", 64, 50.0, 1)) as writer:
        writer.add("abc", list(range(8)), phones=[("a", 2.6), ("?", 4), ("b", 7)])
    meta.save(tmp_path)
    data = LMBatches(batches(tmp_path, compact).settings, TokenDataset(tmp_path), compact, 0, "ba")
    row = data.row(0)
    phones = data.collate([row]).phones[0]
    heard = [1, 1, 1, IGNORE, 0, 0, 0, IGNORE, IGNORE, IGNORE]
    assert phones[row.speech_start :].tolist() == heard
    assert (phones[: row.speech_start] == IGNORE).all()


def test_places_of_phone_tokens(tmp_path: Path, compact: Vocabulary) -> None:
    """Where they are spoken, as the codes around them; the phone head hears codes and phones."""
    with ShardWriter(tmp_path, 0, meta := ShardMeta("codec", 64, 50.0, 1)) as writer:
        timing = [(0.0, 0.0), (1.0, 4.0)]
        writer.add("abcd", list(range(4)), timing=timing, phones=[("a", 2), ("b", 4)])
    meta.save(tmp_path)
    phones = Vocabulary.extend(train_bpe(CORPUS, 300), 64, "compact", ["a", "b"])
    settings = batches(tmp_path, compact).settings
    plain, named = (
        LMBatches(settings, TokenDataset(tmp_path), vocabulary, 0, "ab")
        for vocabulary in (compact, phones)
    )
    row = named.row(0)
    batch = named.collate([row])
    spoken = slice(row.speech_start, row.speech_start + 7)
    words = row.text_span[1] - row.text_span[0]
    share = batch.speech[0, spoken] / words * 4
    assert share.tolist() == pytest.approx([0.0, 0.5, 1.5, 2.0, 2.5, 3.5, 4.0])
    assert batch.phones[0, spoken].tolist() == [0, 0, 0, 0, 1, 1, IGNORE]
    without = plain.collate([plain.row(0)])
    codes = slice(plain.row(0).speech_start, plain.row(0).speech_start + 5)
    kept = [1, 2, 4, 5, 6]
    assert torch.equal(batch.speech[0, spoken][kept], without.speech[0, codes])


def test_prompts_keep_timing_and_phones(people: Path, compact: Vocabulary) -> None:
    data = batches(people, compact, prompted=1.0)
    number = int(np.flatnonzero(data.prompts(0) >= 0)[0])
    row = data.row(number, prompt=int(data.prompts(0)[number]))
    words, frames = row.prompt
    timing = [(0.0, 0.0), (0.5, 1.0), (1.0, float(frames))]
    row = replace(row, phones=[("a", 3.0)], prompt_phones=[("b", 2.0)], prompt_timing=timing)
    data = LMBatches(data.settings, data.dataset, compact, 0, "ab")
    batch = data.collate([row])
    spoken = slice(row.speech_start, row.speech_start + frames + 3)
    heard = [1, 1, *[IGNORE] * (frames - 2), 0, 0, 0]
    assert batch.phones[0, spoken].tolist() == heard
    assert float(batch.speech[0, row.speech_start]) == pytest.approx(0.25 * words)


def test_guide_keeps_prompt_and_target_apart(people: Path, compact: Vocabulary) -> None:
    data = batches(people, compact, prompted=1.0)
    number = int(np.flatnonzero(data.prompts(0) >= 0)[0])
    batch = data.collate([data.row(number, prompt=int(data.prompts(0)[number]))])
    text, speech = batch.text[0], batch.speech[0]
    words = len(compact.encode_text(str(TokenDataset(people)[int(data.prompts(0)[number])].text)))
    part = torch.where(text < 0, 9, (text > words).long())
    places = torch.where(text < 0, 1e3, text)
    nearest = (speech[:, None] - places[None]).abs().argmin(1)
    other = torch.where(part[None] == (speech[:, None] < words).long(), places[None], 1e3)
    wrong = (speech[:, None] - other).abs().argmin(1)
    keys = torch.eye(len(text))[None, None]
    right, apart = (
        guided_attention_loss(
            *(1000 * keys[0, 0][aims][None, None], keys, batch.text, batch.speech, batch.seen()),
            settings=GUIDE,
        )
        for aims in (nearest, wrong)
    )
    assert float(right) < 0.5
    assert float(apart) > 20


def test_speaker_names(people: Path, compact: Vocabulary) -> None:
    data = batches(people, compact, speaker_names=True, prompted=1.0)
    items = TokenDataset(people)
    for number in (0, 1, 3):
        text, _, speaker, *_ = items[number]
        start = compact.tts_prompt(str(text), speaker=speaker)
        assert data.row(number).ids[: len(start)].tolist() == start
    assert items[3].speaker is None
    prompt = int(data.prompts(0)[0])
    said, codes, *_ = items[prompt]
    start = compact.tts_prompt(str(items[0].text), str(said), codes)
    assert data.row(0, prompt=prompt).ids[: len(start)].tolist() == start
    plain = batches(people, compact)
    assert plain.row(0).ids.tolist() != data.row(0).ids.tolist()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompted": 1.5}, "from 0 to 1"),
        ({"prompted": -0.1}, "from 0 to 1"),
        ({"prompted": 0.5, "released": True}, "no prompt"),
        ({"prompted": 0.5, "task": "asr"}, "need data.task=tts"),
        ({"speaker_names": True, "task": "asr"}, "need data.task=tts"),
    ],
)
def test_settings_that_do_not_go_together(changes: dict[str, object], message: str) -> None:
    with pytest.raises(LlasaError, match=message):
        LMDataSettings(**changes)  # type: ignore[arg-type]


def test_rows_that_cannot_be_made_are_left_out(tmp_path: Path, compact: Vocabulary) -> None:
    folder = tmp_path / "tokens"
    meta = ShardMeta("tiny", 64, 50.0, 1)
    meta.save(folder)
    with ShardWriter(folder, 0, meta) as writer:
        for number in range(8):
            writer.add("a" * 300 if number == 5 else "Hi.", np.arange(10))
    data = batches(folder, compact, tokens=10_000, max_tokens=128)
    rows = data.batch(0).ids.shape[0]
    assert rows == 7
    assert [*data.lost] == ["utterance 5"]
    assert "no room for speech" in data.lost["utterance 5"]
    with pytest.raises(LlasaError, match="no room for speech"):
        batches(folder, compact, max_tokens=2).batch(0)

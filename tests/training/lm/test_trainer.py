"""Language model trainer: it learns real speech, speaks at evaluations, and resumes exactly."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from llasa.audio.audio import read_audio
from llasa.base.errors import LlasaError
from llasa.codec.codec import Codec
from llasa.codec.config import CodecConfig
from llasa.codec.model import CodecModel
from llasa.data.manifest import read_manifest
from llasa.data.shard_writer import ShardWriter
from llasa.data.shards import ShardMeta
from llasa.lm.checkpoint import load_llama, save_llama
from llasa.lm.config import LlamaConfig
from llasa.lm.llama import Llama
from llasa.training.checkpoint import checkpoints, load_state
from llasa.training.lm.settings import LMTraining
from llasa.training.lm.trainer import LMTrainer, train_lm
from llasa.vocabulary.rows import IGNORE
from llasa.vocabulary.vocabulary import Vocabulary
from tests.data.level_codec import LevelCodec

from ..tools import (
    CODES,
    IN_ONE,
    IN_TWO,
    LLAMA,
    SIZES,
    interrupt_and_resume,
    lm_settings,
    losses,
    records,
    rewound,
    same_end,
    write_tokens,
)

pytestmark = pytest.mark.slow

STEPS = 6
GUIDED = {"weight": 0.5, "until": 4, "layer": 1}
PHONES = {"weight": 0.3, "layer": 0, "symbols": list("abcdefghijklmnopqrstuvwxyz ")}
ALL = {"alignment": GUIDED, "phones": PHONES, "optimizer": {"muon": True}}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, words: Path, tokens: Path) -> Path:
    """Folder of a run that was never interrupted; guided attention ends at step 4 of 6."""
    out = tmp_path_factory.mktemp("whole") / "run"
    train_lm(lm_settings(words, tokens, out, **ALL))
    return out


def test_log_of_a_run(whole: Path) -> None:
    log = losses(whole)
    assert list(log) == list(range(1, STEPS + 1))
    assert log[4].keys() == {"rate", "loss", "alignment", "phones", "grad_norm", "tokens"}
    assert log[5].keys() == {"rate", "loss", "phones", "grad_norm", "tokens"}
    assert log[6]["phones"] < log[1]["phones"]
    assert [log[step]["rate"] for step in (1, 2, 6)] == [1.5e-3, 3e-3, 3e-3]
    record = records(whole)[0]
    speed = record["tokens_per_second"] * record["seconds_per_step"]
    assert speed == pytest.approx(record["tokens"], rel=1e-4)


@pytest.mark.parametrize("at", [2, 4])
def test_resumed_run_equals_the_whole_one(
    tmp_path: Path, words: Path, tokens: Path, whole: Path, at: int
) -> None:
    out = rewound(whole, tmp_path / "run", at)
    train_lm(lm_settings(words, tokens, out, **ALL))
    same_end(out, whole)


def test_a_run_begins_at_a_step_with_weights_from_elsewhere(
    tmp_path: Path, words: Path, tokens: Path, whole: Path
) -> None:
    """Data goes on, the rate warms up again, and a resumed run does not begin anew."""
    init = str(checkpoints(whole)[0][1])
    changes: dict[str, Any] = {"init": init, "run": {"begin": 2}, **ALL}
    train_lm(replace(lm_settings(words, tokens, tmp_path / "run", **changes), model={}))
    log, before = losses(tmp_path / "run"), losses(whole)
    assert list(log) == [3, 4, 5, 6]
    assert [log[step]["rate"] for step in log] == [1.5e-3, 3e-3, 3e-3, 3e-3]
    assert [log[step]["tokens"] for step in log] == [before[step]["tokens"] for step in log]
    assert log[3]["loss"] == pytest.approx(before[3]["loss"], rel=1e-5)
    again = rewound(tmp_path / "run", tmp_path / "again", 4)
    train_lm(replace(lm_settings(words, tokens, again, **changes), model={}))
    same_end(again, tmp_path / "run")


def test_a_run_cannot_begin_with_nothing_or_after_its_end(
    tmp_path: Path, words: Path, tokens: Path
) -> None:
    with pytest.raises(LlasaError, match="run.begin is 2, but nothing has learnt so far"):
        lm_settings(words, tokens, tmp_path, run={"begin": 2})
    with pytest.raises(LlasaError, match="run.begin is 6, but the run ends after step 6"):
        lm_settings(words, tokens, tmp_path, run={"begin": 6}, init="somewhere")


def test_adapters_learn_alone_and_resume(tmp_path: Path, words: Path, tokens: Path) -> None:
    start = tmp_path / "start"
    train_lm(lm_settings(words, tokens, start, run={"steps": 1}))
    init = str(checkpoints(start)[-1][1])
    changes: dict[str, Any] = {"init": init, "model": {}, "lora": {"rank": 4}}

    def settings(out: Path) -> LMTraining:
        return replace(lm_settings(words, tokens, out, **changes), model={})

    train_lm(settings(tmp_path / "run"))
    folder, base = checkpoints(tmp_path / "run")[-1][1], load_llama(init)
    merged = load_llama(folder)
    changed = {
        k for k, v in merged.state_dict().items() if not torch.equal(v, base.state_dict()[k])
    }
    assert {name.split(".")[-2] for name in changed} == {"q_proj", "v_proj"}
    for path in (folder / "adapter").iterdir():
        shutil.copy(path, init)
    ids = torch.arange(9)[None]
    torch.testing.assert_close(load_llama(init)(ids), merged(ids))
    for path in (folder / "adapter").iterdir():
        Path(init, path.name).unlink()
    again = rewound(tmp_path / "run", tmp_path / "again", 2)
    train_lm(settings(again))  # dropout included
    same_end(again, tmp_path / "run")


def test_ctrl_c_ends_the_step_and_saves(
    tmp_path: Path, words: Path, tokens: Path, whole: Path
) -> None:
    settings = lm_settings(words, tokens, tmp_path, **ALL, run={"save_every": 100})
    interrupt_and_resume(lambda: LMTrainer(settings), whole)


def test_checkpoint_is_a_model_with_its_vocabulary(whole: Path, compact: Vocabulary) -> None:
    folder = checkpoints(whole)[-1][1]
    model, state = load_llama(folder), load_state(folder)["model"]
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[f"llama.{name}"])
    assert model.config.eos_token_id == compact.end
    assert Vocabulary.load(folder).size == compact.size == model.config.vocab_size


@pytest.mark.parametrize("layout", ["bucket", "pack"])
def test_accumulated_parts_equal_one_batch(
    tmp_path: Path, words: Path, tokens: Path, layout: str
) -> None:
    """Every token counts alike: two unequal batches give what all rows in one do."""
    data = {"layout": layout, "tokens": IN_TWO}
    two = LMTrainer(
        lm_settings(words, tokens, tmp_path, data=data, optimizer={"accumulate": 2, "clip": 1e9})
    )
    data = {"layout": layout, "tokens": IN_ONE}
    one = LMTrainer(lm_settings(words, tokens, tmp_path, data=data, optimizer={"clip": 1e9}))
    for step in range(2):
        parts, whole = two.batch(step), one.batch(step)
        assert len(whole) == 1
        assert parts[0].learnt() != parts[1].learnt()
        halves, all_rows = two.step(parts), one.step(whole)
        expected = sum(int((part.labels != IGNORE).sum()) for part in parts)
        assert halves["tokens"] == all_rows["tokens"] == expected
        for name in ("loss", "grad_norm"):
            torch.testing.assert_close(halves[name], all_rows[name], rtol=1e-5, atol=0)
        for a, b in zip(two.llama.parameters(), one.llama.parameters(), strict=True):
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
        two.finished += 1
        one.finished += 1


def test_overfits_real_speech(tmp_path: Path, words: Path, speech_data: Path) -> None:
    """Loudness contours of real clips: the loss falls, and the right text fits better."""
    meta = ShardMeta("level", CODES, 50.0, 1)
    meta.save(tmp_path / "tokens")
    with ShardWriter(tmp_path / "tokens", 0, meta) as writer:
        for utterance in read_manifest(speech_data / "kathleen.test.jsonl")[:6]:
            sound = read_audio(utterance.path).mono().resample(16_000)
            codes = LevelCodec().encode([np.asarray(sound.samples * 4).clip(-1, 1)], [16_000])[0]
            writer.add(utterance.text or "", codes[:80])
    log = overfit(words, tmp_path / "tokens", tmp_path / "run")
    assert log["loss"][1] < 0.6 * log["loss"][0]
    assert log["valid"][0] < log["valid"][1] - 0.1


def test_overfits_synthetic_speech(tmp_path: Path, words: Path) -> None:
    tokens = write_tokens(tmp_path / "tokens", 6, shortest=20)
    log = overfit(words, tokens, tmp_path / "run")
    assert log["loss"][1] < 0.6 * log["loss"][0]


def overfit(words: Path, tokens: Path, out: Path) -> dict[str, tuple[float, float]]:
    """First and last loss; loss with the right and with wrong texts."""
    settings = lm_settings(
        words,
        tokens,
        out,
        run={"steps": 50, "save_every": 100, "eval_every": 100},
        data={"valid": [str(tokens)], "tokens": 1000},
        model={"hidden_size": 64, "intermediate_size": 128, "head_dim": 32},
        optimizer={"rate": 1e-2},
        schedule={"kind": "cosine", "warmup": 5},
        full_vocabulary=False,
    )
    train_lm(settings)
    log = losses(out)
    valid = next(record for record in records(out) if "valid/loss" in record)
    return {
        "loss": (log[1]["loss"], log[50]["loss"]),
        "valid": (valid["valid/loss"], valid["valid/loss_wrong_text"]),
    }


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random codec with 64 codes."""
    folder = tmp_path_factory.mktemp("codec")
    torch.manual_seed(0)
    Codec(CodecModel(CodecConfig.from_dict(SIZES)), "cpu").save(folder)
    return folder


@pytest.fixture(scope="module")
def open_tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Token shards whose codec is not known, so that any may decode them."""
    return of_codec(write_tokens(tmp_path_factory.mktemp("tokens")), "")


def test_speaks_at_evaluations(tmp_path: Path, words: Path, open_tokens: Path, codec: Path) -> None:
    settings = lm_settings(
        words,
        open_tokens,
        tmp_path,
        run={"steps": 2, "eval_every": 1},
        sample_texts=["fox", "the lazy dog"],
        codec=str(codec),
    )
    train_lm(settings)
    names = {path.name for path in (tmp_path / "samples").iterdir()}
    assert names == {f"0000000{step}-sample-{n}.flac" for step in (1, 2) for n in (0, 1)}
    seconds = [read_audio(tmp_path / "samples" / name).samples.size / 16_000 for name in names]
    assert 0.02 <= min(seconds) <= max(seconds) <= 2 + 0.2 * len("the lazy dog")


def test_sampling_does_not_disturb_training(
    tmp_path: Path, words: Path, open_tokens: Path, codec: Path, whole: Path
) -> None:
    settings = lm_settings(
        words, open_tokens, tmp_path, **ALL, sample_texts=["fox"], codec=str(codec)
    )
    settings.run.eval_every = 2
    settings.data.valid = settings.data.train
    train_lm(settings)
    same_end(tmp_path, whole)


def test_vocabulary_grows_from_a_text_model(
    tmp_path: Path, words: Path, tokens: Path, compact: Vocabulary
) -> None:
    torch.manual_seed(0)
    sizes = {"model_type": "llama", "vocab_size": compact.base_size, **LLAMA}
    sizes["tie_word_embeddings"] = False
    text = Llama(LlamaConfig.from_dict(sizes))
    save_llama(text, tmp_path / "text")
    settings = lm_settings(words, tokens, tmp_path / "run", init=str(tmp_path / "text"))
    settings.model = {}
    grown = LMTrainer(settings).llama
    assert grown.config.vocab_size == compact.size
    old = compact.base_size
    assert torch.equal(grown.model.embed_tokens.weight[:old], text.model.embed_tokens.weight)
    assert torch.equal(grown.lm_head.weight[:old], text.lm_head.weight)
    new = grown.model.embed_tokens.weight[old:].detach()
    assert 0.018 < float(new.std()) < 0.022
    assert abs(float(new.mean())) < 0.002
    again = replace(settings, run=replace(settings.run, seed=7))
    assert not torch.equal(LMTrainer(again).llama.model.embed_tokens.weight[old:], new)
    save_llama(Llama(replace(grown.config, vocab_size=compact.size + 1)), tmp_path / "text")
    with pytest.raises(LlasaError, match=f"has {compact.size + 1} ids, more than the"):
        LMTrainer(settings)


def test_divergence_keeps_the_good_checkpoint(tmp_path: Path, words: Path, tokens: Path) -> None:
    train_lm(lm_settings(words, tokens, tmp_path, run={"steps": 2}))
    wild = lm_settings(words, tokens, tmp_path, optimizer={"rate": 1e20}, run={"log_every": 50})
    with pytest.raises(LlasaError, match=r"diverged: .* near step 4\. .*lower optimizer\.rate"):
        train_lm(wild)
    assert [step for step, _ in checkpoints(tmp_path)] == [2]
    train_lm(lm_settings(words, tokens, tmp_path, run={"steps": 3}))


def test_damaged_and_foreign_checkpoints(
    tmp_path: Path, words: Path, tokens: Path, whole: Path
) -> None:
    shutil.copytree(checkpoints(whole)[-1][1], tmp_path / "step-00000006")
    with pytest.raises(LlasaError, match="does not fit these settings") as found:
        LMTrainer(lm_settings(words, tokens, tmp_path, model={"hidden_size": 16}))
    assert "\n" not in str(found.value)
    state = tmp_path / "step-00000006" / "trainer.pt"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(LlasaError, match="step-00000006 is damaged"):
        LMTrainer(lm_settings(words, tokens, tmp_path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"train": []}}, r"data\.train is empty"),
        ({"data": {"train": ["nowhere"]}}, "nowhere holds no token shards"),
        ({"data": {"valid": ["nowhere"]}}, "nowhere holds no token shards"),
        ({"model": {"layers": 3}}, r"'model\.layers' is unknown: valid are model\.vocab_size, "),
        ({"model": {"num_attention_heads": 3, "num_key_value_heads": 2}}, "3 heads over 2"),
        ({"init": "nowhere"}, "nowhere"),
        ({"sample_texts": ["hi"]}, "sample_texts needs codec"),
        ({"sample_texts": ["hi"], "codec": "nowhere"}, "nowhere does not exist"),
    ],
)
def test_mistakes(
    tmp_path: Path, words: Path, tokens: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(LlasaError, match=message):
        LMTrainer(lm_settings(words, tokens, tmp_path, **changes))


def test_missing_vocabulary(tmp_path: Path, tokens: Path) -> None:
    with pytest.raises(LlasaError, match="nowhere"):
        LMTrainer(lm_settings(Path("nowhere"), tokens, tmp_path))


def test_codec_of_another_size(tmp_path: Path, words: Path, tokens: Path) -> None:
    sizes = {**SIZES, "levels": [4, 4]}
    Codec(CodecModel(CodecConfig.from_dict(sizes)), "cpu").save(tmp_path / "codec")
    settings = lm_settings(
        words, tokens, tmp_path, sample_texts=["hi"], codec=str(tmp_path / "codec")
    )
    with pytest.raises(LlasaError, match="speaks 64 codes, but the codec has 16"):
        LMTrainer(settings)


def test_samples_by_a_model_of_another_codec(tmp_path: Path, words: Path, tokens: Path) -> None:
    """Its name is that of a shipped model."""
    settings = lm_settings(words, tokens, tmp_path, sample_texts=["hi"], codec="nano")
    with pytest.raises(LlasaError, match="do not belong together"):
        LMTrainer(settings)


def test_samples_by_another_codec(tmp_path: Path, words: Path, tokens: Path, codec: Path) -> None:
    settings = lm_settings(words, tokens, tmp_path, sample_texts=["hi"], codec=str(codec))
    with pytest.raises(LlasaError, match="speaks the codes of the codec spelling, but this"):
        LMTrainer(settings)


def test_sizes_that_contradict_the_model_one_starts_from(
    tmp_path: Path, words: Path, tokens: Path, whole: Path
) -> None:
    init = str(checkpoints(whole)[-1][1])
    LMTrainer(lm_settings(words, tokens, tmp_path, init=init))  # the same sizes are fine
    with pytest.raises(LlasaError, match=r"model\.hidden_size is 16, but .* has 32"):
        LMTrainer(lm_settings(words, tokens, tmp_path, init=init, model={"hidden_size": 16}))


@pytest.mark.parametrize(
    ("known", "data", "kept"), [("x", "", "x"), ("", "y", "y"), ("x", "x", "x")]
)
def test_the_model_keeps_the_codec_it_knows(
    tmp_path: Path, words: Path, known: str, data: str, kept: str
) -> None:
    folders = of_codecs(tmp_path, words, known, data)
    assert LMTrainer(lm_settings(*folders, tmp_path / "run")).vocabulary.codec == kept


def test_codes_of_another_codec_are_refused(tmp_path: Path, words: Path) -> None:
    vocabulary, tokens = of_codecs(tmp_path, words, "x", "y")
    with pytest.raises(LlasaError, match="codes of the codec x, but data.train holds .* codec y"):
        LMTrainer(lm_settings(vocabulary, tokens, tmp_path / "run", init="nano"))
    data = {"valid": [str(write_tokens(tmp_path / "valid"))]}
    with pytest.raises(LlasaError, match="made by different codecs"):
        LMTrainer(lm_settings(vocabulary, tokens, tmp_path / "run", data=data))


def of_codecs(folder: Path, words: Path, known: str, data: str) -> tuple[Path, Path]:
    """A vocabulary that knows a codec, and token shards of another one."""
    vocabulary = Vocabulary.load(words)
    vocabulary.codec = known
    vocabulary.save(folder / "vocabulary")
    return folder / "vocabulary", of_codec(write_tokens(folder / "tokens"), data)


def of_codec(tokens: Path, codec: str) -> Path:
    """The same shards, said to be of a codec."""
    meta = tokens / "meta.json"
    meta.write_text(meta.read_text().replace('"spelling"', f'"{codec}"'))
    return tokens

"""What a run begins with, and what it leaves: weights in slices and in several files."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from llasa.base.errors import LlasaError
from llasa.lm.checkpoint import EMBEDDING, HEAD, LlamaRows, load_llama, save_llama
from llasa.lm.config import LlamaConfig
from llasa.lm.llama import Llama
from llasa.lm.lora import LoraSettings, add_lora, save_adapter, split_lora
from llasa.training.lm.export import write_sharded
from llasa.training.lm.sharding import ParallelSettings, set_sync, shard
from llasa.training.lm.start import BLOCK, Start
from llasa.training.workers import Workers
from llasa.vocabulary.vocabulary import Vocabulary

from ..tools import LLAMA, lm_settings


def model(**changes: Any) -> Llama:
    torch.manual_seed(0)
    return Llama(
        LlamaConfig.from_dict({"model_type": "llama", "vocab_size": 50, **LLAMA, **changes})
    )


def start(words: Path, init: Path | None = None, seed: int = 1, **changes: Any) -> Start:
    settings = lm_settings(words, Path("t"), Path("o"), run={"seed": seed}, **changes)
    if init is not None:
        settings.model, settings.init = {}, str(init)
    return Start(settings, Vocabulary.load(words))


def test_rows_are_those_of_the_whole(tmp_path: Path) -> None:
    whole = model(tie_word_embeddings=False)
    save_llama(whole, tmp_path)
    rows = LlamaRows(tmp_path)
    assert rows.config == whole.config
    for name, value in whole.state_dict().items():
        assert torch.equal(rows.rows(name, slice(3, 9)), value[3:9])
    halves = {name: value.bfloat16() for name, value in whole.state_dict().items()}
    save_file(halves, tmp_path / "model.safetensors", metadata={"format": "pt"})
    found = LlamaRows(tmp_path).rows(HEAD, slice(0, 5))
    assert torch.equal(found, halves[HEAD][:5].float())


def test_a_head_beside_a_tied_embedding(tmp_path: Path) -> None:
    """As in the released 3B: dropped where it is the same, and kept where it differs."""
    save_llama(model(), tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    for change, tied in ((0.0, True), (1.0, False)):
        head = state[EMBEDDING] + change
        save_file({**state, HEAD: head}, tmp_path / "model.safetensors", {"format": "pt"})
        assert LlamaRows(tmp_path).config.tie_word_embeddings == tied
        assert load_llama(tmp_path).config.tie_word_embeddings == tied


def test_an_adapter_beside_the_weights(tmp_path: Path) -> None:
    save_llama(model(), tmp_path)
    adapted, settings = model(), LoraSettings(rank=2)
    add_lora(adapted, settings)
    lora_b = adapted.get_parameter("model.layers.0.self_attn.q_proj.lora_B")
    torch.nn.init.normal_(lora_b)
    save_adapter(tmp_path, split_lora(adapted.state_dict())[1], settings)
    merged, rows = load_llama(tmp_path).state_dict(), LlamaRows(tmp_path)
    name = "model.layers.0.self_attn.q_proj.weight"
    assert torch.equal(rows.rows(name, slice(1, 4)), merged[name][1:4])
    assert not torch.equal(merged[name], model().state_dict()[name])


def test_damage_is_found(tmp_path: Path) -> None:
    save_llama(model(), tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    state.pop("model.norm.weight")
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(LlasaError, match="model.norm.weight is absent but config.json asks"):
        LlamaRows(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(LlasaError, match="is damaged or cut off"):
        LlamaRows(tmp_path)


@pytest.mark.parametrize("grown", [False, True])
def test_slices_make_up_the_whole(tmp_path: Path, words: Path, grown: bool) -> None:
    """However many processes share the rows out, and whether they are read or drawn."""
    init = None
    if grown:
        save_llama(model(), tmp_path)
        init = tmp_path
    changes: dict[str, Any] = {} if grown else {"model": {"vocab_size": 3 * BLOCK + 5}}
    begun = start(words, init, **changes)
    whole = begun.whole().state_dict()
    for name in (EMBEDDING, "model.layers.1.mlp.down_proj.weight", "model.norm.weight"):
        shape = tuple(whole[name].shape)
        for count in (3, 7):
            share = -(-shape[0] // count)
            bounds = [
                (min(i * share, shape[0]), min((i + 1) * share, shape[0])) for i in range(count)
            ]
            parts = [begun.rows(name, shape, *each) for each in bounds]
            assert torch.equal(torch.cat(parts), whole[name])
    assert not whole["model.norm.weight"].sub(1).any()
    if grown:
        assert torch.equal(whole[EMBEDDING][:50], model().state_dict()[EMBEDDING])
    fresh = whole[EMBEDDING][50:]
    assert float(fresh.std()) == pytest.approx(0.02, rel=0.05)
    other = start(words, init, seed=2, **changes)
    assert not torch.equal(other.whole().state_dict()[EMBEDDING][50:], fresh)


def test_weights_that_are_no_numbers(tmp_path: Path, words: Path) -> None:
    broken = model()
    save_llama(broken, tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    state["model.norm.weight"][0] = torch.nan
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(LlasaError, match="init hold NaN or infinite values in model.norm.weight"):
        start(words, tmp_path).whole()


@pytest.mark.parametrize(("least", "files"), [(1 << 30, 1), (4000, 9)])
def test_files_of_a_sharded_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, least: int, files: int
) -> None:
    """Several files with an index open as one model; here one process writes all of them."""
    monkeypatch.setattr("llasa.training.lm.export.LEAST", least)
    workers, whole = Workers(), model(tie_word_embeddings=False)
    if files > 1:
        workers.world = files
    for rank in range(workers.world):
        workers.rank = rank
        write_sharded(tmp_path, whole.config, whole.state_dict(), lambda state: state, workers)
    made = len(list(tmp_path.glob("*.safetensors")))
    assert made == 1 if files == 1 else files // 2 < made <= files
    loaded = load_llama(tmp_path)
    for name, value in whole.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)
    shutil.rmtree(tmp_path)


def test_only_the_owner_of_a_broken_weight_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After all exchanges, so that no process waits for it."""
    monkeypatch.setattr("llasa.training.lm.export.LEAST", 4000)
    workers, broken = Workers(), model(tie_word_embeddings=False)
    state, failed, exchanged = broken.state_dict(), list[str](), list[torch.Tensor]()

    def full(tensor: torch.Tensor) -> torch.Tensor:
        exchanged.append(tensor)
        return tensor

    monkeypatch.setattr("llasa.training.lm.export.full", full)
    state["model.norm.weight"][0] = torch.nan
    workers.world = 2
    for rank in range(2):
        workers.rank = rank
        try:
            write_sharded(tmp_path, broken.config, state, lambda state: state, workers)
        except LlasaError as error:
            failed.append(str(error))
    assert failed == ["The model holds NaN or infinite values in model.norm.weight."]
    assert len(exchanged) == 2 * len(state)


def test_groups_that_do_not_divide(words: Path) -> None:
    workers = Workers()
    workers.world = 4
    settings, device = ParallelSettings(shard=3), torch.device("cpu")
    with pytest.raises(LlasaError, match="4 processes cannot be dealt out in groups of so many"):
        shard(model(), [], workers, device, settings, bf16=False)
    set_sync(model(), True, settings)  # one process has nothing to exchange
    assert replace(settings, shard=2).shard == 2

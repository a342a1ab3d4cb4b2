"""Adapters: what they learn, that merging changes nothing, and files as PEFT writes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from llasa.base.errors import LlasaError
from llasa.base.weights import read_tensors
from llasa.lm.checkpoint import load_llama, save_llama
from llasa.lm.llama import Llama
from llasa.lm.lora import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    LoraSettings,
    add_lora,
    merge_lora,
    save_adapter,
    split_lora,
)
from llasa.lm.open_engine import open_engine
from tests.tiny_model import tiny_llama, tiny_vocabulary

IDS = torch.arange(12)[None]


def adapted(settings: LoraSettings) -> Llama:
    """A model whose adapters do something."""
    model = tiny_llama(tiny_vocabulary())
    add_lora(model, settings)
    for name, parameter in model.named_parameters():
        if name.endswith("lora_B"):
            torch.nn.init.normal_(parameter, std=0.1)
    return model.eval()


def test_begins_as_the_model_and_learns_only_adapters() -> None:
    plain, settings = tiny_llama(tiny_vocabulary()), LoraSettings(rank=4)
    model = tiny_llama(tiny_vocabulary())
    add_lora(model, settings)
    assert torch.equal(model.eval()(IDS), plain.eval()(IDS))
    learning = [name for name, p in model.named_parameters() if p.requires_grad]
    assert len(learning) == 8  # two layers of q and v, A and B each
    assert all(".q_proj.lora_" in name or ".v_proj.lora_" in name for name in learning)
    with pytest.raises(LlasaError, match=r"the model has no w_proj"):
        add_lora(model, LoraSettings(rank=4, targets=["q_proj", "w_proj"]))


def test_merged_and_beside_the_weights_it_does_the_same(tmp_path: Path) -> None:
    settings = LoraSettings(rank=4, alpha=8.0)
    model = adapted(settings)
    weights, adapter = split_lora(model.state_dict())
    merged = tiny_llama(tiny_vocabulary()).eval()
    merged.load_state_dict(merge_lora(weights, adapter, settings.scale))
    torch.testing.assert_close(merged(IDS), model(IDS))
    save_llama(tiny_llama(tiny_vocabulary()), tmp_path)
    save_adapter(tmp_path, adapter, settings)
    torch.testing.assert_close(load_llama(tmp_path)(IDS), model(IDS))
    with pytest.raises(LlasaError, match="vLLM does not read"):
        open_engine(tmp_path, range(2), [1], 8, torch.device("cpu"), name="vllm")


def test_files_are_those_of_peft(tmp_path: Path) -> None:
    settings = LoraSettings(rank=4)
    save_adapter(tmp_path, split_lora(adapted(settings).state_dict())[1], settings)
    names = dict(read_tensors(tmp_path / ADAPTER_WEIGHTS))
    name = "base_model.model.model.layers.1.self_attn.v_proj.lora_A.weight"
    assert names[name].shape == (4, 32)
    config = json.loads((tmp_path / ADAPTER_CONFIG).read_text())
    assert (config["r"], config["lora_alpha"]) == (4, 32.0)
    assert config["target_modules"] == ["q_proj", "v_proj"]


@pytest.mark.parametrize(
    "change", [{"peft_type": "IA3"}, {"use_dora": True}, {"r": 0}, {"lora_alpha": None}]
)
def test_other_adapters_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    settings = LoraSettings(rank=4)
    save_llama(tiny_llama(tiny_vocabulary()), tmp_path)
    save_adapter(tmp_path, split_lora(adapted(settings).state_dict())[1], settings)
    path = tmp_path / ADAPTER_CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(LlasaError, match="not a plain LoRA adapter"):
        load_llama(tmp_path)


@pytest.mark.parametrize("other", ["layer", "shape"])
def test_an_adapter_of_another_model_is_refused(tmp_path: Path, other: str) -> None:
    settings = LoraSettings(rank=4)
    save_llama(tiny_llama(tiny_vocabulary()), tmp_path)
    adapter = split_lora(adapted(settings).state_dict())[1]
    strange = {k: v if "_A" in k else v[:1] for k, v in adapter.items()}  # would be broadcast
    if other == "layer":
        strange = {k.replace("layers.1.", "layers.7."): v for k, v in adapter.items()}
    save_adapter(tmp_path, strange, settings)
    with pytest.raises(LlasaError, match="not a plain LoRA adapter"):
        load_llama(tmp_path)

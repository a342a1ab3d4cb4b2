"""The network against ``transformers`` and its checkpoints, whole and damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaForCausalLM

from llasa.base.errors import LlasaError
from llasa.lm.checkpoint import load_llama, save_llama
from llasa.lm.config import LlamaConfig
from llasa.lm.llama import Llama, rotate

from .tools import LLAMA3, VARIANTS, VOCABULARY, our_model, saved, their_model


@pytest.mark.parametrize("variant", VARIANTS)
def test_equals_transformers(variant: str, tmp_path: Path) -> None:
    theirs = their_model(**VARIANTS[variant])
    ours = load_llama(saved(theirs, tmp_path))
    ids = torch.randint(0, VOCABULARY, (2, 150))
    with torch.no_grad():
        expected = theirs(ids).logits
        torch.testing.assert_close(ours(ids), expected, rtol=1e-4, atol=1e-4)
        hidden = ours.hidden(ids)
        torch.testing.assert_close(hidden, theirs.model(ids).last_hidden_state)
    assert ours.state_dict().keys() <= theirs.state_dict().keys()


def test_transformers_reads_what_we_write(tmp_path: Path) -> None:
    scaling = {name: value for name, value in LLAMA3.items() if name != "rope_theta"}
    ours = our_model(rope_scaling=scaling, tie_word_embeddings=False, eos_token_id=[5, 6])
    save_llama(ours, tmp_path / "deep" / "folder")
    theirs = LlamaForCausalLM.from_pretrained(tmp_path / "deep" / "folder")
    ids = torch.randint(0, VOCABULARY, (1, 90))
    with torch.no_grad():
        torch.testing.assert_close(ours(ids), theirs(ids).logits, rtol=1e-4, atol=1e-4)
    assert theirs.config.eos_token_id == [5, 6]
    assert load_llama(tmp_path / "deep" / "folder").config == ours.config


def test_sharded_checkpoint_and_device_and_dtype(tmp_path: Path) -> None:
    theirs = their_model()
    saved(theirs, tmp_path, max_shard_size="60KB")
    assert not (tmp_path / "model.safetensors").exists()
    ours = load_llama(tmp_path, dtype=torch.bfloat16, device="cpu")
    assert ours.model.embed_tokens.weight.dtype == torch.bfloat16
    ids = torch.randint(0, VOCABULARY, (1, 20))
    with torch.no_grad():
        torch.testing.assert_close(load_llama(tmp_path)(ids), theirs(ids).logits)


def test_half_precision_file(tmp_path: Path) -> None:
    ours = our_model()
    save_llama(ours, tmp_path, half=True)
    state = load_file(tmp_path / "model.safetensors")
    assert {tensor.dtype for tensor in state.values()} == {torch.float16}
    again = load_llama(tmp_path)
    for name, weight in ours.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], weight.half().float())
    assert not list(tmp_path.glob(".*")), "temporary files remain"


def test_redundant_head_of_a_tied_model(tmp_path: Path) -> None:
    theirs = their_model(tie_word_embeddings=True)
    weights = saved(theirs, tmp_path) / "model.safetensors"
    state = load_file(weights)
    state["lm_head.weight"] = state["model.embed_tokens.weight"].clone()
    state["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(6)  # old files have it
    save_file(state, weights)
    ours = load_llama(tmp_path)
    assert "lm_head.weight" not in ours.state_dict()
    ids = torch.randint(0, VOCABULARY, (1, 20))
    with torch.no_grad():
        torch.testing.assert_close(ours(ids), theirs(ids).logits)

    state["lm_head.weight"] += 1.0  # not redundant: both must be used, as transformers does
    save_file(state, weights)
    theirs = LlamaForCausalLM.from_pretrained(tmp_path)
    ours = load_llama(tmp_path)
    assert not ours.config.tie_word_embeddings
    with torch.no_grad():
        torch.testing.assert_close(ours(ids), theirs(ids).logits)


def damage_truncated(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def damage_garbage(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"not a checkpoint")


def damage_missing_file(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def damage_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def damage_index(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text("{}")


def damage_shard(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"lm_head.weight": "../elsewhere.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def change(folder: Path, name: str, tensor: torch.Tensor | None) -> None:
    state = load_file(folder / "model.safetensors")
    state.pop(name, None)
    if tensor is not None:
        state[name] = tensor
    save_file(state, folder / "model.safetensors")


def damage_tensor_missing(folder: Path) -> None:
    change(folder, "model.layers.1.mlp.up_proj.weight", None)


def damage_head_missing(folder: Path) -> None:
    change(folder, "lm_head.weight", None)


def damage_shape(folder: Path) -> None:
    change(folder, "model.norm.weight", torch.ones(7))


def damage_foreign_tensor(folder: Path) -> None:
    change(folder, "model.layers.0.self_attn.q_proj.bias", torch.ones(48))


def damage_nan(folder: Path) -> None:
    change(folder, "model.norm.weight", torch.full((48,), float("nan")))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (damage_truncated, "damaged"),
        (damage_garbage, "damaged"),
        (damage_missing_file, "model.safetensors does not exist"),
        (damage_config, "config.json is damaged"),
        (damage_index, "weight_map"),
        (damage_shard, "elsewhere.safetensors does not exist"),
        (damage_tensor_missing, "up_proj.weight is absent"),
        (damage_head_missing, "lm_head.weight is absent"),
        (damage_shape, r"model.norm.weight is \(7,\)"),
        (damage_foreign_tensor, "asks for no such tensor"),
        (damage_nan, "NaN"),
    ],
)
def test_damaged_checkpoints(damage: Any, words: str, tmp_path: Path) -> None:
    saved(their_model(), tmp_path)
    damage(tmp_path)
    with pytest.raises(LlasaError, match=words):
        load_llama(tmp_path)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(LlasaError, match=r"config.json does not exist"):
        load_llama(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}, "Qwen2ForCausalLM"),
        ({"architectures": None, "model_type": None}, "only LlamaForCausalLM"),
        ({"attention_bias": True}, "attention_bias is True"),
        ({"mlp_bias": True}, "mlp_bias is True"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"vocab_size": None}, "vocab_size is None"),
        ({"hidden_size": "48"}, "hidden_size is '48'"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
        ({"num_key_value_heads": 3}, "must be a multiple"),
        ({"head_dim": 13}, "size even"),
        ({"rms_norm_eps": 0}, "rms_norm_eps is 0"),
        ({"rope_theta": "x", "rope_parameters": None}, "rope_theta is 'x'"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "rotary rule"),
        ({"rope_parameters": None, "rope_scaling": {"type": "llama3"}}, "factor"),
        ({"rope_parameters": None, "rope_scaling": 8}, "rotary rule 8"),
    ],
)
def test_foreign_configs(changes: dict[str, Any], words: str) -> None:
    values = their_model().config.to_dict() | {"architectures": ["LlamaForCausalLM"]} | changes
    with pytest.raises(LlasaError, match=words):
        LlamaConfig.from_dict(values)


def test_config_of_the_released_3b() -> None:
    config = LlamaConfig.from_dict(
        {
            "architectures": ["LlamaForCausalLM"],
            "attention_bias": False,
            "attention_dropout": 0.0,
            "bos_token_id": 128000,
            "eos_token_id": [128001, 128008, 128009],
            "head_dim": 128,
            "hidden_act": "silu",
            "hidden_size": 3072,
            "initializer_range": 0.02,
            "intermediate_size": 8192,
            "max_position_embeddings": 131072,
            "mlp_bias": False,
            "model_type": "llama",
            "num_attention_heads": 24,
            "num_hidden_layers": 28,
            "num_key_value_heads": 8,
            "pretraining_tp": 1,
            "rms_norm_eps": 1e-05,
            "rope_scaling": {
                "factor": 32.0,
                "high_freq_factor": 4.0,
                "low_freq_factor": 1.0,
                "original_max_position_embeddings": 8192,
                "rope_type": "llama3",
            },
            "rope_theta": 500000.0,
            "tie_word_embeddings": True,
            "torch_dtype": "bfloat16",
            "transformers_version": "4.45.2",
            "use_cache": True,
            "vocab_size": 193800,
        }
    )
    with torch.device("meta"):
        count = sum(p.numel() for p in Llama(config).parameters())
    assert round(count / 1e9, 3) == 3.414
    assert LlamaConfig.from_dict(config.to_dict()) == config


def test_initial_weights() -> None:
    torch.manual_seed(0)
    model = Llama(our_model(hidden_size=64).config)
    for name, weight in model.named_parameters():
        if "norm" in name:
            assert bool((weight == 1).all())
        else:
            assert weight.std().item() == pytest.approx(0.02, rel=0.1)


def test_padding_and_packing_equal_rows_alone() -> None:
    model = our_model()
    one, two = torch.randint(0, VOCABULARY, (1, 9)), torch.randint(0, VOCABULARY, (1, 14))
    with torch.no_grad():
        alone = [model.hidden(ids)[0] for ids in (one, two)]
        left = torch.zeros(2, 14, dtype=torch.long)
        left[0, 5:], left[1] = one[0], two[0]
        real = torch.ones(2, 14, dtype=torch.bool)
        real[0, :5] = False
        positions = (real.cumsum(1) - 1).clamp(min=0)
        padded = model.hidden(left, mask=real, positions=positions)
        assert bool(padded.isfinite().all())
        torch.testing.assert_close(padded[0, 5:], alone[0])
        torch.testing.assert_close(padded[1], alone[1])

        packed = torch.cat((one, two), 1)
        document = torch.tensor([0] * 9 + [1] * 14)
        mask = (document[:, None] == document)[None, None]
        positions = torch.cat((torch.arange(9), torch.arange(14)))
        rows = model.hidden(packed, mask=mask, positions=positions)[0]
        torch.testing.assert_close(rows, torch.cat(alone))


def test_recomputed_layers_give_the_same_gradients() -> None:
    model = our_model()
    ids = torch.randint(0, VOCABULARY, (2, 12))
    gradients = []
    for checkpoint in (False, True):
        model.zero_grad()
        model.logits(model.hidden(ids, checkpoint=checkpoint)).square().mean().backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(list(model.parameters()))
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize("checkpoint", [False, True])
def test_queries_and_keys_of_a_layer(checkpoint: bool) -> None:
    model = our_model()
    ids = torch.randint(0, VOCABULARY, (2, 12))
    last = model.config.num_hidden_layers - 1
    hidden, layers = model.forward_with_states(ids, (0, last), checkpoint=checkpoint)
    torch.testing.assert_close(hidden, model.hidden(ids))
    torch.testing.assert_close(model.model.norm(layers[last].state), hidden)
    assert layers.keys() == {0, last}  # no other is kept
    state, q, k = layers[0]
    assert state.shape == (2, 12, 48)
    assert q.shape == (2, 4, 12, 12)
    assert k.shape == (2, 2, 12, 12)
    layer = model.model.layers[0]
    x = layer.input_layernorm(model.model.embed_tokens(ids))
    cos, sin = model.config.rotary(torch.arange(12))
    expected = layer.self_attn.k_proj(x).view(2, 12, 2, 12).transpose(1, 2)
    torch.testing.assert_close(k, rotate(expected, cos, sin))
    (q.sum() + k.sum()).backward()
    assert layer.self_attn.q_proj.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("tied", [True, False])
def test_logits_of_some_rows(tied: bool) -> None:
    model = our_model(tie_word_embeddings=tied)
    hidden = torch.randn(2, 3, 48)
    whole = model.logits(hidden)
    torch.testing.assert_close(model.logits(hidden, slice(100, None)), whole[..., 100:])
    rows = torch.tensor([7, 3, 99])
    torch.testing.assert_close(model.logits(hidden, rows), whole[..., rows])


def test_saving_refuses_what_cannot_be_loaded(tmp_path: Path) -> None:
    model = our_model()
    with torch.no_grad():
        model.model.norm.weight[0] = 1e6
    with pytest.raises(LlasaError, match="float16"):
        save_llama(model, tmp_path, half=True)
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(LlasaError, match="cannot be written"):
        save_llama(model, tmp_path / "file")


@pytest.mark.parametrize(("heads", "groups"), [(4, 1), (4, 2), (3, 3)])
def test_attention_by_products(heads: int, groups: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short rows in bfloat16 on a CPU attend in another way than long ones, to the same effect."""
    torch.manual_seed(0)
    model = Llama(LlamaConfig(50, 32, 64, 2, heads, groups, 16))
    ids = torch.randint(50, (3, 40))
    exact = model.hidden(ids).detach()
    found, gradients = [], []
    for longest in (512, 8):
        monkeypatch.setattr("llasa.lm.llama.SHORT", longest)
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            found.append(model.hidden(ids).float())
        found[-1].square().sum().backward()
        gradients.append(model.model.layers[0].self_attn.q_proj.weight.grad.clone())
    near, usual = ((states - exact).abs().mean() for states in found)
    assert 0 < near < 1.5 * usual
    assert not torch.equal(*found)
    short, long = (gradient.flatten() for gradient in gradients)
    assert torch.cosine_similarity(short, long, dim=0) > 0.99

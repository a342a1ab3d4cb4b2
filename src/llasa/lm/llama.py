"""The Llama network in plain PyTorch, with the names and files of Hugging Face checkpoints."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint as recompute

from llasa.base.errors import LlasaError
from llasa.base.files import read_json
from llasa.base.names import number, whole
from llasa.base.weights import (
    CONFIG,
    WEIGHTS,
    check_finite,
    read_tensors,
    weights_to_save,
    write_checkpoint,
)

INDEX = "model.safetensors.index.json"
_SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
)
MOST, MOST_LAYERS = 1 << 24, 1000
"""Sizes that no checkpoint has."""
_SCALING = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")


@dataclass(frozen=True)
class LlamaConfig:
    """Sizes of a Llama; names and defaults are those of a Hugging Face ``config.json``.

    ``rope_scaling`` is None or the ``llama3`` rule: a dict with ``factor``, ``low_freq_factor``,
    ``high_freq_factor`` and ``original_max_position_embeddings``.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10_000.0
    rope_scaling: dict[str, Any] | None = None
    tie_word_embeddings: bool = False
    max_position_embeddings: int = 2048
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None

    def __post_init__(self) -> None:
        for name in (*_SIZES, "max_position_embeddings"):
            most = MOST_LAYERS if name == "num_hidden_layers" else MOST
            whole(f"Llama config: {name}", getattr(self, name), 1, most)
        number("Llama config: rms_norm_eps", self.rms_norm_eps, 0, 1, above=True)
        number("Llama config: rope_theta", self.rope_theta, 1, 1e12)
        for name in _SCALING if self.rope_scaling else ():
            number(f"Llama config: {name}", (self.rope_scaling or {})[name], 1e-3, MOST)
        if self.num_attention_heads % self.num_key_value_heads or self.head_dim % 2:
            raise LlasaError(
                f"Llama config: {self.num_attention_heads} heads over {self.num_key_value_heads} "
                f"key-value heads of size {self.head_dim}; the first must be a multiple of the "
                "second and the size even."
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> LlamaConfig:
        """Read a Hugging Face ``config.json``; keys that do not change the network are ignored.

        Raises LlasaError for other architectures, biases, activations and rotary rules.
        """
        found = values.get("architectures") or values.get("model_type")
        if found not in ("llama", ["LlamaForCausalLM"]):
            raise LlasaError(f"The config describes {found}; only LlamaForCausalLM can be loaded.")
        fixed = {"attention_bias": False, "mlp_bias": False, "hidden_act": "silu"}
        for name, only in fixed.items():
            if values.get(name, only) != only:
                raise LlasaError(f"Llama config: {name} is {values[name]!r}; only {only} works.")
        known: dict[str, Any] = dict.fromkeys(_SIZES)
        known |= {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        known["rope_theta"], known["rope_scaling"] = _read_rope(values)
        heads, size = known.get("num_attention_heads"), known.get("hidden_size")
        known["num_key_value_heads"] = known.get("num_key_value_heads") or heads
        if not known.get("head_dim") and isinstance(heads, int) and isinstance(size, int) and heads:
            known["head_dim"] = size // heads
        return cls(**known)

    def to_dict(self) -> dict[str, Any]:
        """A valid Hugging Face ``LlamaForCausalLM`` config."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_act": "silu",
            "attention_bias": False,
            "mlp_bias": False,
            **values,
        }

    def rotary(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine tables, float32, shape ``positions.shape + (head_dim,)``."""
        steps = torch.arange(0, self.head_dim, 2, device=positions.device, dtype=torch.float32)
        frequency = 1.0 / self.rope_theta ** (steps / self.head_dim)
        if self.rope_scaling is not None:
            factor, low, high, context = (float(self.rope_scaling[name]) for name in _SCALING)
            # Full turns of each pair within the original context decide: many are kept,
            # few are slowed down by the factor, the rest is blended.
            turns = context * frequency / (2 * math.pi)
            blend = ((turns - low) / (high - low)).clamp(0, 1)
            frequency = (1 - blend) * frequency / factor + blend * frequency
        angle = positions[..., None].float() * frequency
        angle = torch.cat((angle, angle), dim=-1)
        return angle.cos(), angle.sin()


def _read_rope(values: dict[str, Any]) -> tuple[Any, dict[str, Any] | None]:
    """Base and scaling of the rotary positions; newer configs hold both in rope_parameters."""
    rope = values.get("rope_parameters") or values.get("rope_scaling") or {}
    kind = None
    if isinstance(rope, dict):
        kind = rope.get("rope_type") or rope.get("type") or "default"
        theta = rope.get("rope_theta", values.get("rope_theta", LlamaConfig.rope_theta))
    if kind == "default":
        return theta, None
    if kind != "llama3" or any(not isinstance(rope.get(n), int | float) for n in _SCALING):
        raise LlasaError(
            f"Llama config: rotary rule {rope}; valid are 'default' and 'llama3' with the "
            f"numbers {', '.join(_SCALING)}."
        )
    return theta, {"rope_type": "llama3", **{name: rope[name] for name in _SCALING}}


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding of (..., T, head_dim), first half paired with second half."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


SHORT = 512
"""Positions up to which products of whole matrices beat torch's attention on a CPU in bfloat16,
whose way back is slow."""


def _products_win(v: Tensor) -> bool:
    """Whether `_attend` is faster."""
    return v.device.type == "cpu" and v.dtype == torch.bfloat16 and v.shape[2] <= SHORT


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention, (B, heads, T, head_dim); heads that share keys are one long product."""
    batch, heads, length, size = q.shape
    groups = k.shape[1]
    q = q.reshape(batch * groups, -1, size) * size**-0.5
    k, v = (part.reshape(batch * groups, length, size) for part in (k, v))
    scores = torch.bmm(q, k.transpose(1, 2)).view(batch * groups, -1, length, length)
    places = torch.arange(length, device=q.device)
    seen = places[:, None] >= places
    weights = torch.where(seen, scores.float(), -torch.inf).softmax(-1).to(v.dtype)
    return torch.bmm(weights.flatten(1, 2), v).view(batch, heads, length, size)


class Attention(nn.Module):
    """Causal self-attention with grouped key-value heads."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        size, head = config.hidden_size, config.head_dim
        self.head_dim = head
        self.q_proj = nn.Linear(size, config.num_attention_heads * head, bias=False)
        self.k_proj = nn.Linear(size, config.num_key_value_heads * head, bias=False)
        self.v_proj = nn.Linear(size, config.num_key_value_heads * head, bias=False)
        self.o_proj = nn.Linear(config.num_attention_heads * head, size, bias=False)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        heads = (*x.shape[:2], -1, self.head_dim)
        q, k, v = (
            p(x).view(heads).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if mask is None and _products_win(v):
            y = _attend(q.to(v.dtype), k.to(v.dtype), v)
        else:
            grouped = q.shape[1] != k.shape[1]
            y = F.scaled_dot_product_attention(
                q, k, v, attn_mask=mask, is_causal=mask is None, enable_gqa=grouped
            )
        return self.o_proj(y.transpose(1, 2).flatten(2)), q, k


class MLP(nn.Module):
    """SwiGLU feed-forward block."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return y


class LayerStates(NamedTuple):
    """What a layer returns; the rest is for losses that look inside."""

    state: Tensor
    """(B, T, D)."""
    queries: Tensor
    """(B, heads, T, head_dim), rotated."""
    keys: Tensor
    """(B, key-value heads, T, head_dim), rotated."""


class Layer(nn.Module):
    """One pre-norm transformer block; also returns its rotated queries and keys."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None) -> LayerStates:
        y, q, k = self.self_attn(self.input_layernorm(x), cos, sin, mask)
        x = x + y
        return LayerStates(x + self.mlp(self.post_attention_layernorm(x)), q, k)


class Backbone(nn.Module):
    """Embedding, layers and final norm: the ``model.`` part of the parameter names."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        # Given a weight, it does not draw one; Llama does so unless there is nothing to draw.
        weight = torch.empty(config.vocab_size, config.hidden_size)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, _weight=weight)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)


class Llama(nn.Module):
    """A Llama language model; parameter names equal those of ``LlamaForCausalLM``.

    Weights start as in Hugging Face: normal(0, 0.02), norms at one.
    """

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Backbone(config)
        if not config.tie_word_embeddings:
            self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        for module in self.modules():
            # On "meta" there is nothing to draw, and normal_ would import torch's compiler.
            if isinstance(module, nn.Linear | nn.Embedding) and not module.weight.is_meta:
                nn.init.normal_(module.weight, std=0.02)

    @property
    def head(self) -> Tensor:
        """Output weight (vocabulary, D): the embedding itself when tied."""
        tied = self.config.tie_word_embeddings
        return self.model.embed_tokens.weight if tied else self.lm_head.weight

    def hidden(
        self,
        ids: Tensor,
        mask: Tensor | None = None,
        positions: Tensor | None = None,
        checkpoint: bool = False,
    ) -> Tensor:
        """Final-norm hidden states (B, T, D) of token ids (B, T).

        ``mask``: boolean, True = may be seen; (B, T) marks real tokens, (B, 1, T, T) says which
        key each query sees (packed rows). Causality is always added; every token sees itself.
        ``positions``: (T,) or (B, T), default 0..T-1. ``checkpoint`` recomputes layers in the
        backward pass.
        """
        return self.forward_with_states(ids, mask, positions, checkpoint)[0]

    def forward_with_states(
        self,
        ids: Tensor,
        mask: Tensor | None = None,
        positions: Tensor | None = None,
        checkpoint: bool = False,
    ) -> tuple[Tensor, list[LayerStates]]:
        """What ``hidden`` returns, and what every layer made of its input."""
        length = ids.shape[1]
        if positions is None:
            positions = torch.arange(length, device=ids.device)
        x = self.model.embed_tokens(ids)
        # (1 or B, 1, T, head_dim): the same for every head and layer.
        shape = (-1, 1, length, self.config.head_dim)
        cos, sin = (t.to(x.dtype).view(shape) for t in self.config.rotary(positions))
        if mask is not None:
            mask = _causal(mask, length)
        layers: list[LayerStates] = []
        for block in self.model.layers:
            if checkpoint:
                made = recompute(block, x, cos, sin, mask, use_reentrant=False)
            else:
                made = block(x, cos, sin, mask)
            layers.append(made)
            x = made.state
        return self.model.norm(x), layers

    def logits(self, hidden: Tensor, rows: slice | Tensor | None = None) -> Tensor:
        """Logits (..., rows) of hidden states (..., D); ``rows`` picks part of the vocabulary."""
        return F.linear(hidden, self.head if rows is None else self.head[rows])

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (B, T, vocabulary) of token ids (B, T)."""
        return self.logits(self.hidden(ids))


def _causal(mask: Tensor, length: int) -> Tensor:
    """Add causality to a boolean mask: (B, 1, T, T), the diagonal always True."""
    seen = mask[:, None, None, :] if mask.dim() == 2 else mask
    square = torch.ones(length, length, dtype=torch.bool, device=mask.device)
    return (seen & square.tril()) | torch.eye(length, dtype=torch.bool, device=mask.device)


def read_config(folder: str | Path) -> LlamaConfig:
    """The config of a Llama checkpoint folder; LlasaError as for `load_llama`."""
    return LlamaConfig.from_dict(read_json(Path(folder) / CONFIG))


def load_llama(
    folder: str | Path,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
) -> Llama:
    """Load a Llama checkpoint folder (``config.json`` and safetensors, one file or sharded).

    An ``lm_head.weight`` beside tied embeddings is dropped when equal to them; when it differs,
    the model becomes untied (as in Hugging Face). Raises LlasaError for a folder that is not a
    whole, undamaged Llama checkpoint.
    """
    folder = Path(folder)
    config = read_config(folder)
    state = {
        name: tensor.to(device=device, dtype=dtype)
        for name, tensor in _tensors(folder)
        if not name.endswith("rotary_emb.inv_freq")
    }
    if config.tie_word_embeddings and "lm_head.weight" in state:
        embedding = state.get("model.embed_tokens.weight")
        if embedding is None or torch.equal(state["lm_head.weight"], embedding):
            del state["lm_head.weight"]
        else:
            config = replace(config, tie_word_embeddings=False)
    if config.num_hidden_layers > len(state):
        raise LlasaError(
            f"{folder}: config.json asks for {config.num_hidden_layers} layers, but the weights "
            f"have {len(state)} tensors in all; they are incomplete or of another model."
        )
    with torch.device("meta"):
        model = Llama(config)
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    for name in sorted(expected.keys() | state.keys()):
        found = tuple(state[name].shape) if name in state else "absent"
        due = expected.get(name, "no such tensor")
        if found != due:
            raise LlasaError(
                f"{folder}: {name} is {found} but config.json asks for {due}; "
                "the weights are incomplete or of another model."
            )
    check_finite(state, str(folder))
    model.load_state_dict(state, assign=True)
    return model.eval()


def save_llama(model: Llama, folder: str | Path, half: bool = False) -> None:
    """Write ``config.json`` and ``model.safetensors`` (float16 with ``half``), each atomically."""
    state = weights_to_save(model, half)
    write_checkpoint(Path(folder), state, {CONFIG: model.config.to_dict()})


def _tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Every (name, tensor) of a checkpoint's single file or shards."""
    files = [WEIGHTS]
    if not (folder / WEIGHTS).exists() and (folder / INDEX).exists():
        shards = read_json(folder / INDEX).get("weight_map")
        if not isinstance(shards, dict) or not shards:
            raise LlasaError(f"{folder / INDEX} has no weight_map; the file is damaged.")
        files = sorted({Path(str(name)).name for name in shards.values()})
    for file in files:
        yield from read_tensors(folder / file)

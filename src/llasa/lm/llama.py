"""The Llama network in plain PyTorch, with the parameter names of Hugging Face."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint as recompute

from llasa.lm.config import LlamaConfig

if TYPE_CHECKING:  # it brings torch's compiler along, which speaking does not need
    from llasa.lm.packed import Packed


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
    # Added, as the way back of a sum costs nothing.
    hidden = torch.full((length, length), -torch.inf, device=q.device).triu(1)
    weights = (scores + hidden).softmax(-1).to(v.dtype)
    return torch.bmm(weights.flatten(1, 2), v).view(batch, heads, length, size)


def _causally(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention by whatever is fastest here."""
    if _products_win(v):
        return _attend(q.to(v.dtype), k.to(v.dtype), v)
    grouped = q.shape[1] != k.shape[1]
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=grouped)


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
        self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | Packed | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        heads = (*x.shape[:2], -1, self.head_dim)
        q, k, v = (
            p(x).view(heads).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if mask is None:
            y = _causally(q, k, v)
        elif isinstance(mask, Tensor):
            grouped = q.shape[1] != k.shape[1]
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=grouped)
        else:
            y = mask.attend(q, k, v, _causally)
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
    """Output of a layer, and what losses on attention need."""

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

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | Packed | None
    ) -> LayerStates:
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
        mask: Tensor | Packed | None = None,
        positions: Tensor | None = None,
        checkpoint: bool = False,
    ) -> Tensor:
        """Final-norm hidden states (B, T, D) of token ids (B, T).

        ``mask``: boolean, True = may be seen; (B, T) marks real tokens, (B, 1, T, T) says which
        key each query sees. Causality is always added; every token sees itself. `Packed` rows see
        themselves alone, which is cheaper.
        ``positions``: (T,) or (B, T), default 0..T-1. ``checkpoint`` recomputes layers in the
        backward pass.
        """
        return self.forward_with_states(ids, (), mask, positions, checkpoint)[0]

    def forward_with_states(
        self,
        ids: Tensor,
        kept: Container[int],
        mask: Tensor | Packed | None = None,
        positions: Tensor | None = None,
        checkpoint: bool = False,
    ) -> tuple[Tensor, dict[int, LayerStates]]:
        """What ``hidden`` returns, and the states of the layers whose numbers are in ``kept``."""
        length = ids.shape[1]
        if positions is None:
            positions = torch.arange(length, device=ids.device)
        x = self.model.embed_tokens(ids)
        # (1 or B, 1, T, head_dim): the same for every head and layer.
        shape = (-1, 1, length, self.config.head_dim)
        cos, sin = (t.to(x.dtype).view(shape) for t in self.config.rotary(positions))
        if isinstance(mask, Tensor):
            mask = _causal(mask, length)
        states: dict[int, LayerStates] = {}
        for number, layer in enumerate(self.model.layers):
            if checkpoint:
                made = recompute(layer, x, cos, sin, mask, use_reentrant=False)
            else:
                made = layer(x, cos, sin, mask)
            if number in kept:
                states[number] = made
            x = made.state
        return self.model.norm(x), states

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

"""Llama for generation: fused and re-laid-out weights, keys and values in a `KVCache`."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from llasa.lm.kv_cache import KVCache
from llasa.lm.linear import Linear, Precision, pack_linear
from llasa.lm.llama import Layer, Llama
from llasa.lm.precision import fastest

Mode = Precision | Literal["fast"]
"""What the products of a model are computed in on a CPU; `fast`: each in what is fastest there."""


class _Packed(NamedTuple):
    attention_norm: Tensor
    qkv: Linear
    out: Linear
    mlp_norm: Tensor
    gate_up: Linear
    down: Linear


class Decoder:
    """The layers of a Llama with their cache, arranged for a few tokens at a time.

    ``rows``: the ids whose logits are computed, in that order (None: all). ``mode``: of the
    products, elsewhere than on a CPU that of the weights. Of the model's
    weights only the embedding is kept, the rest is copied into faster layouts.
    """

    def __init__(self, model: Llama, rows: Tensor | None = None, mode: Mode = "float32") -> None:
        self.config = c = model.config
        self.embedding = model.model.embed_tokens.weight.detach()
        self.device = self.embedding.device
        # On a CPU only float32 is fast; half-precision weights are widened as they are packed.
        self.dtype = torch.float32 if self.device.type == "cpu" else self.embedding.dtype
        self.cache = KVCache(c, self.dtype, self.device)
        self._layers = [self._pack(cast(Layer, layer), mode) for layer in model.model.layers]
        self._norm = self._pack_norm(model.model.norm.weight)
        head = model.head.detach()
        self._head = self._linear(head if rows is None else head[rows.to(self.device)], mode)
        self._floor = torch.tensor(math.sqrt(c.rms_norm_eps * c.hidden_size), device=self.device)
        self._turns = torch.empty(0)
        self.reserve(1, 1)

    def reserve(self, slots: int, positions: int) -> None:
        """Make room for so many sequences of so many tokens."""
        self.cache.reserve(slots, positions)
        if len(self._turns) < self.cache.positions:
            steps = torch.arange(self.cache.positions, device=self.device)
            cos, sin = (t[:, None, : t.shape[1] // 2] for t in self.config.rotary(steps))
            self._turns = torch.complex(cos.contiguous(), sin.contiguous())

    def hidden(
        self,
        ids: Tensor,
        slots: Tensor,
        positions: Tensor,
        views: tuple[Tensor, ...],
        mask: Tensor | None = None,
        causal: bool = False,
    ) -> Tensor:
        """Hidden states (B * T, D) of new tokens, before the last norm; fills the cache.

        ``ids``, ``slots`` and ``positions`` are (B, T); ``views`` are the cache's, of B slots.
        ``mask`` is added to the attention scores (B, heads, T, keys).
        """
        c = self.config
        batch, length = ids.shape
        width = c.num_attention_heads * c.head_dim
        # One token a sequence: heads that share keys ask as if they were places of one head, so
        # that nothing is repeated.
        folded = length == 1
        grouped = not folded and c.num_attention_heads != c.num_key_value_heads
        turns = self._turns[positions.flatten()]
        index = self.cache.index(slots.flatten(), positions.flatten())
        x = F.embedding(ids.flatten(), self.embedding).to(self.dtype)
        for number, layer in enumerate(self._layers):
            y = self._rotated(layer, x, turns)
            kv = y[:, width:].reshape(-1, c.head_dim)
            self.cache.rows[number].index_copy_(0, index, kv)
            q = y[:, :width].view(batch, length, -1, c.head_dim).transpose(1, 2)
            if folded:
                q = q.reshape(batch, c.num_key_value_heads, -1, c.head_dim)
            keys, values = views[2 * number], views[2 * number + 1]
            a = F.scaled_dot_product_attention(
                q, keys, values, attn_mask=mask, is_causal=causal, enable_gqa=grouped
            )
            self._add(layer, x, (a if folded else a.transpose(1, 2)).reshape(-1, width))
        return x

    def attention(
        self, ids: Tensor, layer: int, heads: int, queries: Tensor, keys: Tensor
    ) -> Tensor:
        """What the first ``heads`` heads of a layer see of ``keys``: (heads, queries, keys).

        ``ids`` (T,) is a whole sequence, ``queries`` and ``keys`` are places in it, and no key
        comes after a query. The cache is not used.
        """
        c = self.config
        width, most = c.num_attention_heads * c.head_dim, len(ids)
        shares = c.num_attention_heads // c.num_key_value_heads
        if len(self._turns) < most:
            self.reserve(1, most)
        x = F.embedding(ids, self.embedding).to(self.dtype)
        for number in range(layer + 1):
            own = self._layers[number]
            y = self._rotated(own, x, self._turns[:most]).view(most, -1, c.head_dim)
            q, k, v = y.transpose(0, 1).split(
                (c.num_attention_heads, c.num_key_value_heads, c.num_key_value_heads)
            )
            if number < layer:
                grouped = shares > 1
                a = F.scaled_dot_product_attention(
                    q[None], k[None], v[None], is_causal=True, enable_gqa=grouped
                )
                self._add(own, x, a[0].transpose(0, 1).reshape(most, width))
        k = k.repeat_interleave(shares, 0)[:heads, keys]
        scores = (q[:heads, queries] @ k.transpose(1, 2)).float()
        return (scores / math.sqrt(c.head_dim)).softmax(-1)

    def _rotated(self, layer: _Packed, x: Tensor, turns: Tensor) -> Tensor:
        """Queries, keys and values of states (N, D), the former two turned to their places."""
        c = self.config
        y = layer.qkv(self._normalise(x, layer.attention_norm))
        rotated = (c.num_attention_heads + c.num_key_value_heads) * c.head_dim
        pairs = y[:, :rotated].float().view(len(x), -1, c.head_dim // 2, 2)
        torch.view_as_complex(pairs).mul_(turns)
        if y.dtype != torch.float32:  # otherwise pairs is a view of y
            y[:, :rotated] = pairs.flatten(1)
        return y

    def _add(self, layer: _Packed, x: Tensor, attended: Tensor) -> None:
        """Add to states (N, D) what a layer makes of what its heads saw (N, heads * head_dim)."""
        x += layer.out(attended)
        gate, up = layer.gate_up(self._normalise(x, layer.mlp_norm)).chunk(2, dim=-1)
        x += layer.down(F.silu(gate).mul_(up))

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (N, rows) in float32 of what ``hidden`` returned."""
        y: Tensor = self._head(self._normalise(hidden, self._norm))
        return y.float()

    def _normalise(self, x: Tensor, weight: Tensor) -> Tensor:
        if self.device.type != "cpu":
            y: Tensor = F.rms_norm(x, weight.shape, weight, self.config.rms_norm_eps)
            return y
        # The same by way of the Euclidean norm: F.rms_norm is not fused on CPUs and takes longer.
        size = torch.linalg.vector_norm(x, dim=-1, keepdim=True).hypot_(self._floor)
        return x.div(size).mul_(weight)

    def _pack_norm(self, weight: Tensor) -> Tensor:
        scale = math.sqrt(self.config.hidden_size) if self.device.type == "cpu" else 1.0
        return weight.detach().to(self.dtype) * scale

    def _linear(self, weight: Tensor, mode: Mode) -> Linear:
        if mode != "fast":
            return pack_linear(weight, mode)
        return pack_linear(
            weight, fastest(*weight.shape) if weight.device.type == "cpu" else "float32"
        )

    def _pack(self, layer: Layer, mode: Mode) -> _Packed:
        a, m = layer.self_attn, layer.mlp
        # Rotary pairs become neighbours, so that rotating is one complex multiplication.
        order = torch.arange(a.head_dim, device=self.device).view(2, -1).t().flatten()
        heads = [
            p.weight.detach().view(-1, a.head_dim, p.in_features)[:, order].flatten(0, 1)
            for p in (a.q_proj, a.k_proj)
        ]
        return _Packed(
            attention_norm=self._pack_norm(layer.input_layernorm.weight),
            qkv=self._linear(torch.cat((*heads, a.v_proj.weight.detach())), mode),
            out=self._linear(a.o_proj.weight.detach(), mode),
            mlp_norm=self._pack_norm(layer.post_attention_layernorm.weight),
            gate_up=self._linear(torch.cat((m.gate_proj.weight, m.up_proj.weight)).detach(), mode),
            down=self._linear(m.down_proj.weight.detach(), mode),
        )

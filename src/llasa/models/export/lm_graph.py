"""A Llama as it goes into an ONNX graph: new tokens in, logits and their keys and values out."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llasa.lm.config import LlamaConfig
from llasa.lm.llama import Layer, Llama, rotate


class Norm(nn.Module):
    """An RMSNorm in operations that every ONNX opset has."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        norm = cast(nn.RMSNorm, norm)
        self.weight, self.eps = norm.weight, norm.eps or torch.finfo(torch.float32).eps

    def forward(self, x: Tensor) -> Tensor:
        return x * (x.square().mean(-1, keepdim=True) + self.eps).rsqrt() * self.weight


class _Layer(nn.Module):
    """One block, with the matrices of one input side by side."""

    def __init__(self, layer: Layer, config: LlamaConfig) -> None:
        super().__init__()
        a, m = layer.self_attn, layer.mlp
        self.config = config
        self.attention_norm = Norm(layer.input_layernorm)
        self.mlp_norm = Norm(layer.post_attention_layernorm)
        self.qkv = nn.Parameter(torch.cat([p.weight for p in (a.q_proj, a.k_proj, a.v_proj)]))
        self.gate_up = nn.Parameter(torch.cat([m.gate_proj.weight, m.up_proj.weight]))
        self.out, self.down = a.o_proj, m.down_proj

    def forward(
        self,
        x: Tensor,
        turn: tuple[Tensor, Tensor],
        masks: tuple[Tensor, Tensor],
        past: tuple[Tensor, Tensor],
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        c = self.config
        batch, length, _ = x.shape
        width, side = c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim
        y = F.linear(self.attention_norm(x), self.qkv)
        q, k, v = (
            part.view(batch, length, -1, c.head_dim).transpose(1, 2)
            for part in y.split([width, side, side], -1)
        )
        q, k = rotate(q, *turn) * c.head_dim**-0.5, rotate(k, *turn)
        # Heads that share keys are one head with more queries, and what is stored is not copied
        # to stand beside what is new.
        asked = q.reshape(batch, c.num_key_value_heads, -1, c.head_dim)
        old = asked @ past[0].transpose(2, 3) + masks[0]
        new = asked @ k.transpose(2, 3) + masks[1]
        weights = torch.cat([old, new], -1).softmax(-1)
        places = past[0].shape[2]
        seen = weights[..., :places] @ past[1] + weights[..., places:] @ v
        seen = seen.reshape(batch, -1, length, c.head_dim).transpose(1, 2)
        x = x + self.out(seen.reshape(batch, length, width))
        gate, up = F.linear(self.mlp_norm(x), self.gate_up).chunk(2, -1)
        return x + self.down(F.silu(gate) * up), q, k, v


class LlamaGraph(nn.Module):
    """Tokens (B, T) after the first `lengths` (B,) of `past` to logits (B, vocabulary) of the last.

    `past` is keys and values of each layer in turn, (B, key-value heads, places, head_dim); places
    from a sequence's length on are not seen. Also returns those of the new tokens (B, heads, T,
    head_dim), which whoever calls puts at their places; and at last, where `reader` is the number
    of a layer, its queries of the new tokens (B, heads, T, head_dim), over the root of head_dim.
    """

    def __init__(self, llama: Llama, reader: int | None = None) -> None:
        super().__init__()
        self._reader = reader
        self.config = config = llama.config
        self.embedding = llama.model.embed_tokens
        self.layers = nn.ModuleList(
            _Layer(cast(Layer, layer), config) for layer in llama.model.layers
        )
        self.norm, self.head = Norm(llama.model.norm), nn.Parameter(llama.head.detach())
        self.register_buffer("frequencies", config.frequencies())
        self.frequencies: Tensor

    def forward(self, ids: Tensor, lengths: Tensor, past: list[Tensor]) -> tuple[Tensor, ...]:
        length, places = ids.shape[1], past[0].shape[2]
        steps = torch.arange(length)
        angle = (lengths[:, None] + steps)[:, None, :, None] * self.frequencies
        angle = torch.cat((angle, angle), -1)
        hidden = torch.arange(places) >= lengths[:, None, None, None]
        later = (steps > steps[:, None]).repeat(self._groups, 1)
        masks = tuple(torch.where(mask, -1e9, 0.0) for mask in (hidden, later))
        x = self.embedding(ids)
        made: list[Tensor] = []
        asked: list[Tensor] = []
        for number, layer in enumerate(self.layers):
            pair = (past[2 * number], past[2 * number + 1])
            x, q, k, v = layer(x, (angle.cos(), angle.sin()), masks, pair)
            made += [k, v]
            asked += [q] if number == self._reader else []
        return F.linear(self.norm(x[:, -1]), self.head), *made, *asked

    @property
    def _groups(self) -> int:
        return self.config.num_attention_heads // self.config.num_key_value_heads

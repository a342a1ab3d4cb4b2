"""A Llama as an ONNX graph: new tokens in, logits out, keys and values in and out.

A step of a small model takes as long as there are operations in it. So each part of a layer is one
operation, of onnxruntime (domain com.microsoft) where ONNX has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from llasa.base.errors import LlasaError
from llasa.base.packages import require
from llasa.lm.llama import Layer, Llama
from llasa.lm.onnx import QUERIES

OPSET = 18
_RUNTIME = "com.microsoft"
_ALIGNED = 16
"""onnxruntime takes heads whose size is a multiple of this."""


def llama_graph(llama: Llama, reader: int | None = None) -> Any:
    """The `onnx.ModelProto` of a language model.

    Inputs: `ids` (B, T) of new tokens after the first `lengths` (B,) places of `past.N.key` and
    `past.N.value` (B, key-value heads, places, head_dim) of each layer; T is 1 if B is not.
    Outputs: `logits` (B, vocabulary) of the last token; `present.N.key` and `present.N.value`, the
    past with the new tokens behind it, which may be the same memory if it has the places; and where
    `reader` is the number of a layer, its queries of the new tokens `queries.N` (B, heads, T,
    head_dim), over the root of head_dim. Raises `LlasaError` for heads that onnxruntime cannot
    take.
    """
    if llama.config.head_dim % _ALIGNED:
        raise LlasaError(
            f"The heads of this language model have size {llama.config.head_dim}, and onnxruntime "
            f"takes multiples of {_ALIGNED}: export it with gguf or hf."
        )
    return _Builder(llama).model(reader)


class _Builder:
    """Nodes and weights so far. A value of the graph is known by its name."""

    def __init__(self, llama: Llama) -> None:
        self._onnx = require("onnx")
        self._llama, self._config = llama, llama.config
        self._nodes: list[Any] = []
        self._weights: list[Any] = []

    def model(self, reader: int | None) -> Any:
        body, c, tied = self._llama.model, self._config, self._config.tie_word_embeddings
        embedding = self._weight("embedding", body.embed_tokens.weight)
        turns = self._turns()
        length = self._node("Gather", self._node("Shape", "ids"), self._whole(1))
        counts = self._counts(length)
        x, added = self._node("Gather", embedding, "ids"), None
        for number, layer in enumerate(body.layers):
            layer = cast(Layer, layer)
            a, m = layer.self_attn, layer.mlp
            y, x = self._normed(layer.input_layernorm, x, added)
            qkv = self._product(y, a.q_proj.weight, a.k_proj.weight, a.v_proj.weight)
            if number == reader:
                self._ask(number, qkv, length, turns)
            added = self._product(self._attended(number, qkv, counts, turns), a.o_proj.weight)
            y, x = self._normed(layer.post_attention_layernorm, x, added)
            both = self._product(y, m.gate_proj.weight, m.up_proj.weight)
            gate, up = self._split(both, [c.intermediate_size] * 2)
            # With alpha 1 it is SiLU.
            gate = self._node("QuickGelu", gate, domain=_RUNTIME, alpha=1.0)
            added = self._product(self._node("Mul", gate, up), m.down_proj.weight)
        x = self._node("Add", x, cast(str, added))
        x, _ = self._normed(body.norm, self._node("Gather", x, self._whole(-1), axis=1), None)
        head = self._node("Transpose", embedding) if tied else self._matrix(self._llama.head)
        self._node("MatMul", x, head, out="logits")
        return self._finished(reader)

    def _attended(
        self, number: int, qkv: str, counts: tuple[str, str], turns: tuple[str, str]
    ) -> str:
        """What the heads of a layer saw (B, T, heads * head_dim)."""
        c, pair = self._config, (f"{number}.key", f"{number}.value")
        past, present = ([f"{when}.{name}" for name in pair] for when in ("past", "present"))
        out = self._name("Attention")
        self._add(
            "GroupQueryAttention",
            [qkv, "", "", *past, *counts, *turns],
            [out, *present],
            domain=_RUNTIME,
            num_heads=c.num_attention_heads,
            kv_num_heads=c.num_key_value_heads,
            do_rotary=1,
        )
        return out

    def _ask(self, number: int, qkv: str, length: str, turns: tuple[str, str]) -> None:
        """The queries of a layer as an output."""
        c = self._config
        width, side = c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim
        queries = self._split(qkv, [width, 2 * side])[0]
        heads = self._whole([0, 0, c.num_attention_heads, c.head_dim])
        heads = self._node("Transpose", self._node("Reshape", queries, heads), perm=[0, 2, 1, 3])
        steps = self._node("Range", self._whole(0), length, self._whole(1))
        places = self._node("Add", self._node("Unsqueeze", "lengths", self._whole([1])), steps)
        turned = self._node("RotaryEmbedding", heads, places, *turns, domain=_RUNTIME)
        scale = self._weight(self._name("scale"), np.array(c.head_dim**-0.5, np.float32))
        self._node("Mul", turned, scale, out=f"{QUERIES}.{number}")

    def _normed(self, norm: nn.Module, x: str, added: str | None) -> tuple[str, str]:
        """RMSNorm of x (B, T, D) and what is added to it first; and the sum."""
        norm = cast(nn.RMSNorm, norm)
        weight = self._weight(self._name("norm"), norm.weight)
        epsilon = norm.eps or torch.finfo(torch.float32).eps
        if added is None:
            kind = "SimplifiedLayerNormalization"
            return self._node(kind, x, weight, axis=-1, epsilon=epsilon, stash_type=1), x
        out, total = self._name("Normed"), self._name("Sum")
        kind, outputs = "SkipSimplifiedLayerNormalization", [out, "", "", total]
        self._add(kind, [x, added, weight], outputs, domain=_RUNTIME, epsilon=epsilon)
        return out, total

    def _product(self, x: str, *weights: Tensor) -> str:
        """x times matrices (out, in) side by side."""
        return self._node("MatMul", x, self._matrix(torch.cat(weights)))

    def _split(self, x: str, sizes: list[int]) -> list[str]:
        """The last axis in parts."""
        name = self._name("Split")
        out = [f"{name}_{part}" for part in range(len(sizes))]
        self._add("Split", [x, self._whole(sizes)], out, axis=-1)
        return out

    def _counts(self, length: str) -> tuple[str, str]:
        """How many tokens each sequence has, less one, with so many new ones; and the longest."""
        int32 = self._onnx.TensorProto.INT32
        totals = self._node("Cast", self._node("Add", "lengths", length), to=int32)
        one = self._weight(self._name("one"), np.array(1, np.int32))
        longest = self._node("ReduceMax", totals, keepdims=0)
        return self._node("Sub", totals, one), longest

    def _turns(self) -> tuple[str, str]:
        """Tables (places, head_dim / 2) of how far heads are turned at each place."""
        half = self._config.head_dim // 2
        cos, sin = self._config.rotary(torch.arange(self._config.max_position_embeddings))
        return self._weight("cos", cos[:, :half]), self._weight("sin", sin[:, :half])

    def _node(
        self, kind: str, *inputs: str, out: str | None = None, domain: str = "", **attributes: Any
    ) -> str:
        """An operation with one output; its name."""
        out = out or self._name(kind)
        self._add(kind, inputs, [out], domain, **attributes)
        return out

    def _add(
        self,
        kind: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        domain: str = "",
        **attributes: Any,
    ) -> None:
        """An operation; an empty name is an input or output that is left out."""
        make = self._onnx.helper.make_node
        self._nodes.append(make(kind, inputs, outputs, domain=domain, **attributes))

    def _matrix(self, weight: Tensor) -> str:
        """A matrix (out, in) as the second factor of a product."""
        return self._weight(self._name("matrix"), weight.T)

    def _whole(self, value: int | list[int]) -> str:
        """A constant."""
        return self._weight(self._name("whole"), np.array(value, np.int64))

    def _weight(self, name: str, values: Tensor | NDArray[Any]) -> str:
        if isinstance(values, Tensor):
            values = values.detach().float().contiguous().numpy()
        self._weights.append(self._onnx.numpy_helper.from_array(values, name))
        return name

    def _name(self, kind: str) -> str:
        return f"{kind}_{len(self._nodes)}_{len(self._weights)}"

    def _finished(self, reader: int | None) -> Any:
        c, helper = self._config, self._onnx.helper
        whole, real = self._onnx.TensorProto.INT64, self._onnx.TensorProto.FLOAT

        def cache(when: str, places: str) -> list[tuple[str, int, Sequence[int | str]]]:
            names = (f"{when}.{n}" for n in range(c.num_hidden_layers))
            shape = ("batch", c.num_key_value_heads, places, c.head_dim)
            return [(f"{name}.{kind}", real, shape) for name in names for kind in ("key", "value")]

        known = [("ids", whole, ("batch", "tokens")), ("lengths", whole, ("batch",))]
        inputs = [*known, *cache("past", "places")]
        outputs = [("logits", real, ("batch", c.vocab_size)), *cache("present", "all places")]
        if reader is not None:
            shape = ("batch", c.num_attention_heads, "tokens", c.head_dim)
            outputs.append((f"{QUERIES}.{reader}", real, shape))
        graph = helper.make_graph(
            self._nodes,
            "llama",
            [helper.make_tensor_value_info(*value) for value in inputs],
            [helper.make_tensor_value_info(*value) for value in outputs],
            self._weights,
        )
        sets = [helper.make_opsetid("", OPSET), helper.make_opsetid(_RUNTIME, 1)]
        return helper.make_model(graph, opset_imports=sets, ir_version=9)

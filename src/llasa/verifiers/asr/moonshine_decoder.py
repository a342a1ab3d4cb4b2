"""The decoder of Moonshine for many clips at once, with the numbers that onnxruntime gives for one.

Its 8-bit weights are multiplied with inputs that are rounded to 8 bits, by one scale for all that
goes in. onnxruntime gives a batch one scale, so that what is heard in a clip would depend on its
neighbours; here every clip has its own, and so the numbers that it has alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, _int_mm
from torch.nn import functional as F

from llasa.base.packages import require

TYPES = {1: np.float32, 2: np.uint8, 3: np.int8, 7: np.int64}
"""Of what a file holds, by the number of the type in ONNX."""
MIDDLE = 128
"""What unsigned bytes lose to be signed ones."""
_PRODUCT = re.compile(r"/(?:model/decoder/)?(.*?)/MatMul_quant")


class Rounded(NamedTuple):
    """Inputs (N, in) as signed bytes, and how they are read: factors and offsets (N, 1)."""

    values: Tensor
    scale: Tensor
    offset: Tensor


class Product:
    """Multiplies with a matrix of bytes (in, out)."""

    def __init__(self, weight: Tensor, scale: float, zero: int) -> None:
        signed = weight.to(torch.int16) - (MIDDLE if weight.dtype == torch.uint8 else 0)
        self._zero = zero - (MIDDLE if weight.dtype == torch.uint8 else 0)
        self._scale = scale
        self._weight = signed.to(torch.int8).t().contiguous().t()
        self._sums = (signed.sum(0) - len(signed) * self._zero).float()

    def __call__(self, x: Rounded) -> Tensor:
        """(N, out), float32."""
        whole = _int_mm(x.values, self._weight).float()
        if self._zero:
            whole -= self._zero * x.values.sum(1, keepdim=True, dtype=torch.int32)
        return whole.addcmul_(x.offset, self._sums).mul_(x.scale * self._scale)


def rounded(x: Tensor) -> Rounded:
    """DynamicQuantizeLinear of ONNX, row by row."""
    least, most = x.amin(1, keepdim=True).clamp_max(0), x.amax(1, keepdim=True).clamp_min(0)
    scale = ((most - least) / 255).clamp_min(1e-30)
    zero = (-least / scale).round().clamp(0, 255)
    values = ((x / scale).round() + zero).clamp_(0, 255) - MIDDLE
    return Rounded(values.to(torch.int8), scale, MIDDLE - zero)


class Attended(NamedTuple):
    """Keys and values that clips attend to.

    heard: of what the encoder gave, clip by clip: (layers, 2, 1, heads, frames, head size).
    said: of the tokens so far, (layers, 2, clips, heads, places, head size).
    """

    heard: list[Tensor]
    said: Tensor

    def keep(self, rows: Sequence[int]) -> Attended:
        """Of some of the clips."""
        return Attended([self.heard[row] for row in rows], self.said[:, :, torch.tensor(rows)])


class MoonshineDecoder:
    """Gives the next token of many clips. Raises `KeyError` for a file of another kind."""

    def __init__(self, path: Path) -> None:
        self._tensors, self._products, turns = _read(path)
        self._layers = 1 + max(
            int(name.split(".")[1].split("/")[0]) for name in self._products if "layers." in name
        )
        self._turns = torch.from_numpy(turns.astype(np.float32).ravel())
        embedding = "model.decoder.embed_tokens.weight"
        self._embedding = self._tensors[f"{embedding}_quantized"]
        self._embedding_scale = self._tensors[f"{embedding}_scale"]
        self._embedding_zero = self._tensors[f"{embedding}_zero_point"].float()
        _ = self._products["proj_out"], self._tensors["model.decoder.norm.weight"]

    def step(self, tokens: Tensor, place: int, attended: Attended) -> Tensor:
        """Logits (clips, vocabulary) after the tokens (clips,) that have this place in all clips.

        `attended` has room for them, and takes what later tokens look at.
        """
        x = (self._embedding[tokens].float() - self._embedding_zero) * self._embedding_scale
        angle = self._turns * place
        turn = torch.polar(torch.ones_like(angle), angle)
        for layer in range(self._layers):
            name, said = f"layers.{layer}", attended.said[layer]
            y = rounded(self._norm(x, f"{name}.input_layernorm"))
            q, k, v = (self._heads(f"{name}/self_attn/{part}_proj", y, said) for part in "qkv")
            said[0, :, :, place], said[1, :, :, place] = _turned(k, turn), v
            found = _attend(_turned(q, turn), said[:, :, :, : place + 1])
            x = x + self._products[f"{name}/self_attn/o_proj"](rounded(found))
            y = rounded(self._norm(x, f"{name}.post_attention_layernorm"))
            q = self._heads(f"{name}/encoder_attn/q_proj", y, said)
            # Clip by clip: padding would round otherwise, and rounding to bytes enlarges that.
            parts = zip(q.split(1), attended.heard, strict=True)
            found = torch.cat([_attend(own, heard[layer]) for own, heard in parts])
            x = x + self._products[f"{name}/encoder_attn/o_proj"](rounded(found))
            y = rounded(self._norm(x, f"{name}.final_layernorm"))
            wide = self._products[f"{name}/mlp/fc1"](y) + self._bias(f"{name}.mlp.fc1")
            value, gate = wide.chunk(2, 1)
            y = rounded(F.silu(gate) * value)
            x = x + self._products[f"{name}/mlp/fc2"](y) + self._bias(f"{name}.mlp.fc2")
        return self._products["proj_out"](rounded(self._norm(x, "norm")))

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[1:], self._tensors[f"model.decoder.{name}.weight"])

    def _bias(self, name: str) -> Tensor:
        return self._tensors[f"model.decoder.{name}.bias"]

    def _heads(self, name: str, y: Rounded, like: Tensor) -> Tensor:
        return self._products[name](y).view(len(y.values), like.shape[2], like.shape[4])


def _attend(q: Tensor, seen: Tensor) -> Tensor:
    """One query a clip (clips, heads, head size) to (clips, heads * head size)."""
    return F.scaled_dot_product_attention(q[:, :, None], seen[0], seen[1]).flatten(1)


def _turned(x: Tensor, turn: Tensor) -> Tensor:
    """Rotary positions of the first numbers of every head, neighbours paired."""
    some = 2 * len(turn)
    pairs = torch.view_as_complex(x[..., :some].reshape(*x.shape[:-1], -1, 2))
    return torch.cat([torch.view_as_real(pairs * turn).flatten(-2), x[..., some:]], -1)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Product], Any]:
    """Tensors by name, products by the place of the layer, and the speeds of the rotation."""
    require("onnxruntime.tools.ort_format_model")  # it puts the next one within reach
    reader = require("ort_flatbuffers_py.fbs.InferenceSession").InferenceSession
    graph = reader.GetRootAsInferenceSession(path.read_bytes(), 0).Model().Graph()
    branch = next(inner for name, inner in _branches(graph) if name == "then_branch")
    arrays: dict[str, Any] = {**_initializers(graph), **_initializers(branch)}
    tensors = {
        name.replace("_merged_0", ""): torch.from_numpy(value)
        for name, value in arrays.items()
        if name.startswith("model.decoder.")
    }
    products, turns = {}, None
    for number in range(branch.NodesLength()):
        node = branch.Nodes(number)
        name = node.Name().decode()
        inputs = [node.Inputs(i).decode() for i in range(node.InputsLength())]
        if name == "/model/decoder/rotary_emb/Expand":
            turns = arrays[inputs[0]]
        elif (found := _PRODUCT.fullmatch(name)) is not None:
            weight = inputs[1].removesuffix("_quantized")
            scale, zero = (arrays[f"{weight}_{part}"] for part in ("scale", "zero_point"))
            values = torch.from_numpy(arrays[inputs[1]])
            products[found[1]] = Product(values, float(scale), int(zero))
    if turns is None:
        raise KeyError("rotary_emb")
    return tensors, products, turns


def _branches(graph: Any) -> Iterator[tuple[str, Any]]:
    """Names and graphs of the branches of a graph."""
    for number in range(graph.NodesLength()):
        node = graph.Nodes(number)
        for place in range(node.AttributesLength()):
            attribute = node.Attributes(place)
            if attribute.G() is not None:
                yield attribute.Name().decode(), attribute.G()


def _initializers(graph: Any) -> Mapping[str, Any]:
    found = {}
    for number in range(graph.InitializersLength()):
        tensor = graph.Initializers(number)
        if tensor.DataType() in TYPES and not tensor.RawDataIsNone():
            shape = [tensor.Dims(axis) for axis in range(tensor.DimsLength())]
            raw = tensor.RawDataAsNumpy().view(TYPES[tensor.DataType()])
            found[tensor.Name().decode()] = raw.reshape(shape).copy()
    return found

"""CAM++ (arXiv 2303.00332) for inference: the same numbers as its network gives, sooner.

Narrow convolutions are plain matrix products, what layers concatenate is written where it belongs,
gates are computed once a segment, and batch normalisation is part of the weights where it can be.
Where a CPU multiplies bfloat16 numbers faster, weights and what they are multiplied with are
rounded to it; sums and all else stay in float32. Clips are heard one by one: a batch would save
nothing, and in bfloat16 what is heard in a clip would depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

SEGMENT = 100
"""Frames, at half the rate, over which a layer takes its context (paper, section 2.2)."""
BLOCKS = ((12, 1), (24, 2), (16, 2))
"""Layers and dilation of each dense block."""
EPS = 1e-5


class _Affine(NamedTuple):
    """A batch normalisation, as factors and offsets (channels, 1)."""

    scale: Tensor
    shift: Tensor

    def relu(self, x: Tensor) -> Tensor:
        """Of (channels, frames), normalised."""
        return torch.addcmul(self.shift, x, self.scale).relu_()


class _Dense(NamedTuple):
    """A layer of a dense block."""

    before: _Affine
    squeeze: Tensor
    squeeze_bias: Tensor
    local: Tensor
    context: tuple[Tensor, Tensor]
    gate: tuple[Tensor, Tensor]


class CamNetwork:
    """The network with the weights of a checkpoint of 3D-Speaker (80 mel bands, 192 numbers).

    Raises `KeyError` or `RuntimeError` where the weights are another network's.
    """

    def __init__(
        self,
        state: Mapping[str, Tensor],
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.device, self.dtype = device, dtype
        self._state = {name: value.float().to(device) for name, value in state.items()}
        self._stem = self._folded("head.conv1", "head.bn1")
        self._residual = [
            (
                stride,
                self._folded(f"{name}.conv1", f"{name}.bn1"),
                self._folded(f"{name}.conv2", f"{name}.bn2"),
                self._folded(f"{name}.shortcut.0", f"{name}.shortcut.1") if stride == 2 else None,
            )
            for layer in ("head.layer1", "head.layer2")
            for name, stride in ((f"{layer}.0", 2), (f"{layer}.1", 1))
        ]
        self._tail = self._folded("head.conv2", "head.bn2")
        self._tdnn = self._folded("xvector.tdnn.linear", "xvector.tdnn.nonlinear.batchnorm")
        self._blocks = [
            [self._dense(f"xvector.block{number}.tdnnd{i + 1}") for i in range(layers)]
            for number, (layers, _) in enumerate(BLOCKS, 1)
        ]
        self._transits = [
            (
                self._affine(f"xvector.transit{number}.nonlinear.batchnorm"),
                self._weight(f"xvector.transit{number}.linear").squeeze(-1).to(dtype),
            )
            for number in range(1, len(BLOCKS) + 1)
        ]
        self._last = self._affine("xvector.out_nonlinear.batchnorm")
        self._out = self._weight("xvector.dense.linear").squeeze(-1)
        self._out_norm = self._affine("xvector.dense.nonlinear.batchnorm")
        del self._state

    def __call__(self, mel: Tensor) -> Tensor:
        """Embedding (192,), not normalised, of a clip's mel bands (frames, 80)."""
        x = self._frames(mel.to(self.device).T)
        means = self._means(x.shape[1])
        for layers, (_, dilation), (norm, weight) in zip(
            self._blocks, BLOCKS, self._transits, strict=True
        ):
            x = weight @ norm.relu(_dense_block(x, layers, dilation, means)).to(self.dtype)
        x = self._last.relu(x.float())
        spread, mean = torch.std_mean(x, 1)
        if x.shape[1] == 1:
            spread = torch.full_like(mean, 1e-2)
        embedding = self._out.float() @ torch.cat([mean, spread])
        return self._out_norm.relu(embedding[:, None])[:, 0]

    def _frames(self, bands: Tensor) -> Tensor:
        """Two-dimensional convolutions and the first of one: (128, frames at half the rate)."""

        def run(x: Tensor, layer: tuple[Tensor, Tensor], stride: int = 1) -> Tensor:
            padding = layer[0].shape[-1] // 2
            return F.conv2d(x, *layer, stride=(stride, 1), padding=padding)

        bands = bands[None, None].to(self.dtype, memory_format=torch.channels_last)
        x = run(bands, self._stem).relu_()
        for stride, first, second, shortcut in self._residual:
            skip = x if shortcut is None else run(x, shortcut, stride)
            x = run(run(x, first, stride).relu_(), second).add_(skip).relu_()
        x = run(x, self._tail, 2).relu_().flatten(1, 2)
        return F.conv1d(x, *self._tdnn, stride=2, padding=2).relu_()[0].float()

    def _means(self, frames: int) -> Tensor:
        """Weights (frames, segments) of a segment's mean and that of the clip, added."""
        means = torch.full((frames, -(-frames // SEGMENT)), 1 / frames)
        for number, start in enumerate(range(0, frames, SEGMENT)):
            part = means[start : start + SEGMENT, number]
            part += 1 / len(part)
        return means.to(self.device, self.dtype)

    def _weight(self, name: str) -> Tensor:
        return self._state[f"{name}.weight"]

    def _affine(self, name: str) -> _Affine:
        mean, variance = self._state[f"{name}.running_mean"], self._state[f"{name}.running_var"]
        one, zero = torch.ones_like(mean), torch.zeros_like(mean)
        scale = self._state.get(f"{name}.weight", one) / (variance + EPS).sqrt()
        shift = self._state.get(f"{name}.bias", zero) - mean * scale
        return _Affine(scale[:, None], shift[:, None])

    def _folded(self, convolution: str, norm: str) -> tuple[Tensor, Tensor]:
        """Weight and bias of a convolution with the normalisation after it."""
        weight, affine = self._weight(convolution), self._affine(norm)
        scale = affine.scale.view(-1, *[1] * (weight.dim() - 1))
        layout = torch.channels_last if weight.dim() == 4 else torch.contiguous_format
        folded = (weight * scale).to(self.dtype, memory_format=layout)
        return folded, affine.shift[:, 0].to(self.dtype)

    def _dense(self, name: str) -> _Dense:
        squeeze, bias = self._folded(f"{name}.linear1", f"{name}.nonlinear2.batchnorm")
        local = self._weight(f"{name}.cam_layer.linear_local")
        one, two = f"{name}.cam_layer.linear1", f"{name}.cam_layer.linear2"
        return _Dense(
            self._affine(f"{name}.nonlinear1.batchnorm"),
            squeeze.squeeze(-1),
            bias[:, None],
            local.permute(2, 0, 1).flatten(0, 1).to(self.dtype),  # the three taps one below another
            (self._weight(one).squeeze(-1), self._state[f"{one}.bias"][:, None]),
            (self._weight(two).squeeze(-1), self._state[f"{two}.bias"][:, None]),
        )


def _dense_block(x: Tensor, layers: Sequence[_Dense], dilation: int, means: Tensor) -> Tensor:
    """Layers that each see what all before them made: (channels, frames), more channels."""
    (done, frames), grown = x.shape, len(layers[0].local) // 3
    made = x.new_empty(done + grown * len(layers), frames)
    made[:done] = x
    for layer in layers:
        y = layer.before.relu(made[:done]).to(layer.squeeze.dtype)
        y = torch.addmm(layer.squeeze_bias, layer.squeeze, y).relu_()
        left, middle, right = (layer.local @ y).chunk(3)
        new = made[done : done + grown].copy_(middle)
        new[:, dilation:] += left[:, :-dilation]
        new[:, :-dilation] += right[:, dilation:]
        weight, bias = layer.context
        context = torch.addmm(bias, weight, (y @ means).float()).relu_()
        weight, bias = layer.gate
        gate = torch.addmm(bias, weight, context).sigmoid_()
        new *= gate.repeat_interleave(SEGMENT, 1)[:, :frames]
        done += grown
    return made

"""WavLM with an ECAPA-TDNN head for speaker verification, as UniSpeech published it.

The judge of the paper's SIM: `wavlm_large_finetune.pth` of microsoft/UniSpeech, as Seed-TTS-Eval
uses it. Written from its description; strict about the names and shapes of the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llasa.audio.audio import Samples
from llasa.base.hub import find_checkpoint
from llasa.verifiers.inference import ClipEmbedder
from llasa.verifiers.weights import (
    Embeddings,
    fill,
    from_fairseq,
    part_of,
    read_state,
)

SCALE = 8
"""Parts that a residual block splits its channels into."""
ENCODER = "feature_extract.model."


class WavLMSpeaker(ClipEmbedder):
    """The speaker embedding of the paper's tables, 256 numbers.

    `source`: the checkpoint (a file, a folder with it alone, or a hub id).
    """

    kind = family = "wavlm"

    @cached_property
    def model(self) -> tuple[Any, EcapaHead]:
        """The encoder, and what makes an embedding of all its layers."""
        path = find_checkpoint(str(self.source))
        state = read_state(path)
        state = state.get("model", state)
        encoder = from_fairseq(part_of(state, ENCODER), path).to(self.device)
        rest = {k: v for k, v in state.items() if not k.startswith((ENCODER, "loss_calculator."))}
        config = encoder.config
        embedding = rest["linear.weight"].shape[0] if "linear.weight" in rest else 256
        channels = rest["layer1.conv.weight"].shape[0] if "layer1.conv.weight" in rest else 512
        head = EcapaHead(config.num_hidden_layers + 1, config.hidden_size, channels, embedding)
        return encoder, fill(head, rest, path, self.device)

    def _run(self, clips: Sequence[Samples]) -> Embeddings:
        encoder, head = self.model
        audio = torch.from_numpy(np.stack(clips)).to(self.device)
        with torch.inference_mode():
            if encoder.config.do_stable_layer_norm:  # it learnt from normalised clips
                audio = F.layer_norm(audio, audio.shape[1:])
            states = encoder(audio, output_hidden_states=True).hidden_states
            return head(torch.stack(states)).float().cpu().numpy()


class EcapaHead(nn.Module):
    """ECAPA-TDNN (arXiv 2005.07143) on a weighted sum of layers: (layers, batch, frames, size)."""

    def __init__(self, layers: int, size: int, channels: int, embedding: int) -> None:
        super().__init__()
        self.feature_weight = nn.Parameter(torch.zeros(layers))
        self.layer1 = _Convolution(size, channels, 5, padding=2)
        self.layer2, self.layer3, self.layer4 = (_Block(channels, n) for n in (2, 3, 4))
        self.conv = nn.Conv1d(3 * channels, 1536, 1)
        self.pooling = _Pooling(1536)
        self.bn = nn.BatchNorm1d(2 * 1536)
        self.linear = nn.Linear(2 * 1536, embedding)

    def forward(self, states: Tensor) -> Tensor:
        weights = self.feature_weight.softmax(0)[:, None, None, None]
        x = F.instance_norm((weights * states).sum(0).transpose(1, 2) + 1e-6)
        first = self.layer1(x)
        second = self.layer2(first)
        third = self.layer3(second)
        x = torch.cat([second, third, self.layer4(third)], 1)
        return self.linear(self.bn(self.pooling(self.conv(x).relu())))


class _Convolution(nn.Module):
    """Convolution, ReLU, normalisation."""

    def __init__(self, before: int, after: int, kernel: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv1d(before, after, kernel, padding=padding)
        self.bn = nn.BatchNorm1d(after)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x).relu())


class _Split(nn.Module):
    """Channels in parts: each convolved with the one before added, the last as it is."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        width, count = channels // SCALE, SCALE - 1
        self.convs = nn.ModuleList(
            nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation) for _ in range(count)
        )
        self.bns = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        *parts, last = x.chunk(SCALE, 1)
        found: list[Tensor] = []
        for part, conv, norm in zip(parts, self.convs, self.bns, strict=True):
            found.append(norm(conv(part + found[-1] if found else part).relu()))
        return torch.cat([*found, last], 1)


class _Excitation(nn.Module):
    """Channels weighted by what the whole clip is like."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(channels, 128), nn.Linear(128, channels)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.linear2(self.linear1(x.mean(2)).relu()).sigmoid()
        return x * weights[..., None]


class _Block(nn.Module):
    """A residual block; `dilation` is its padding, too."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.Conv1dReluBn1 = _Convolution(channels, channels)
        self.Res2Conv1dReluBn = _Split(channels, dilation)
        self.Conv1dReluBn2 = _Convolution(channels, channels)
        self.SE_Connect = _Excitation(channels)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.Conv1dReluBn2(self.Res2Conv1dReluBn(self.Conv1dReluBn1(x)))
        return x + self.SE_Connect(inner)


class _Pooling(nn.Module):
    """Mean and standard deviation over time, weighted by attention."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear1, self.linear2 = nn.Conv1d(channels, 128, 1), nn.Conv1d(128, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.linear2(self.linear1(x).tanh()).softmax(2)
        mean = (weights * x).sum(2)
        variance = (weights * x.square()).sum(2) - mean.square()
        return torch.cat([mean, variance.clamp_min(1e-9).sqrt()], 1)

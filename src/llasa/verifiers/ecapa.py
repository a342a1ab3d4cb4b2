"""ECAPA-TDNN for speaker verification, as SpeechBrain published it (arXiv 2005.07143).

`embedding_model.ckpt` of speechbrain/spkrec-ecapa-voxceleb, with which the paper's demo page scores
its search anew. A test compares features and network with SpeechBrain's.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llasa.audio.audio import Samples
from llasa.base.errors import LlasaError
from llasa.base.hub import expand, find_folder
from llasa.verifiers.base import RATE
from llasa.verifiers.inference import ClipEmbedder
from llasa.verifiers.weights import Embeddings, fill, read_state

FILE = "embedding_model.ckpt"
MELS, FFT, HOP, RANGE = 80, 400, 160, 80.0
SCALE = 8


class Ecapa(ClipEmbedder):
    """Speaker embeddings, 192 numbers. `source`: the checkpoint, its folder or a hub id."""

    kind = family = "ecapa"

    @cached_property
    def model(self) -> Any:
        path = expand(str(self.source))
        if not path.is_file():
            path = find_folder(str(self.source), (FILE,)) / FILE
        if not path.is_file():
            raise LlasaError(f"{path.parent} isn't SpeechBrain's ECAPA-TDNN: it has no {FILE}.")
        state = read_state(path)
        try:
            channels = state["blocks.0.conv.conv.weight"].shape[0]
            network = EcapaNetwork(channels, state["fc.conv.weight"].shape[0])
        except (KeyError, AttributeError) as error:
            raise LlasaError(f"{path} holds the weights of another network: no {error}.") from error
        return fill(network, state, path, self.device)

    def _run(self, clips: Sequence[Samples]) -> Embeddings:
        with torch.inference_mode():
            mel = decibel_mel(torch.from_numpy(np.stack(clips)))
            mel = mel - mel.mean(1, keepdim=True)
            return self.model(mel.to(self.device)).float().cpu().numpy()


def decibel_mel(waveform: Tensor) -> Tensor:
    """Filter banks in decibels, at most 80 below the loudest: (batch, frames, 80)."""
    window = torch.hamming_window(FFT)
    spectrum = torch.stft(
        waveform, FFT, HOP, window=window, pad_mode="constant", return_complex=True
    )
    power = spectrum.abs().square().transpose(1, 2)
    decibel = 10 * (power @ filters()).clamp_min(1e-10).log10()
    return torch.maximum(decibel, decibel.amax((1, 2), keepdim=True) - RANGE)


@lru_cache(maxsize=1)
def filters() -> Tensor:
    """Mel filters (bins, 80), as wide on the right as on the left."""
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, top, MELS + 2) / 2595) - 1)
    centre, band = hertz[1:-1], np.diff(hertz)[:-1]
    slope = (np.linspace(0, RATE / 2, FFT // 2 + 1)[:, None] - centre) / band
    return torch.from_numpy(np.minimum(slope + 1, 1 - slope).clip(0)).float()


class _Same(nn.Module):
    """A convolution whose output is as long as its input, which is mirrored at its ends."""

    def __init__(self, before: int, after: int, kernel: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(before, after, kernel, dilation=dilation)
        self.edge = dilation * (kernel - 1) // 2

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (self.edge, self.edge), mode="reflect") if self.edge else x)


class _Norm(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x)


class _Tdnn(nn.Module):
    """Convolution, ReLU, normalisation."""

    def __init__(self, before: int, after: int, kernel: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv, self.norm = _Same(before, after, kernel, dilation), _Norm(after)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x).relu())


class _Split(nn.Module):
    """Channels in parts: the first as it is, each other convolved with the one before added."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        width = channels // SCALE
        self.blocks = nn.ModuleList(_Tdnn(width, width, 3, dilation) for _ in range(SCALE - 1))

    def forward(self, x: Tensor) -> Tensor:
        first, *parts = x.chunk(SCALE, 1)
        found = [first]
        for number, (part, block) in enumerate(zip(parts, self.blocks, strict=True)):
            found.append(block(part + found[-1] if number else part))
        return torch.cat(found, 1)


class _Excitation(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = _Same(channels, 128), _Same(128, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.conv2(self.conv1(x.mean(2, keepdim=True)).relu()).sigmoid()


class _Block(nn.Module):
    """A residual block."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.tdnn1, self.tdnn2 = _Tdnn(channels, channels), _Tdnn(channels, channels)
        self.res2net_block, self.se_block = _Split(channels, dilation), _Excitation(channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.se_block(self.tdnn2(self.res2net_block(self.tdnn1(x))))


class _Pooling(nn.Module):
    """Mean and standard deviation over time by attention, which knows those of the whole clip."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.tdnn, self.conv = _Tdnn(3 * channels, 128), _Same(128, channels)

    def forward(self, x: Tensor) -> Tensor:
        even = torch.full_like(x, 1 / x.shape[2])
        whole = [value[..., None].expand_as(x) for value in _statistics(x, even)]
        weights = self.conv(self.tdnn(torch.cat([x, *whole], 1)).tanh()).softmax(2)
        return torch.cat(_statistics(x, weights), 1)[..., None]


class EcapaNetwork(nn.Module):
    """Filter banks (batch, frames, 80) to embeddings (batch, size)."""

    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__()
        first = _Tdnn(MELS, channels, 5)
        self.blocks = nn.ModuleList([first, *(_Block(channels, n) for n in (2, 3, 4))])
        self.mfa = _Tdnn(3 * channels, 3 * channels)
        self.asp, self.asp_bn = _Pooling(3 * channels), _Norm(6 * channels)
        self.fc = _Same(6 * channels, embedding)

    def forward(self, mel: Tensor) -> Tensor:
        x, found = mel.transpose(1, 2), []
        for block in self.blocks:
            x = block(x)
            found.append(x)
        pooled = self.asp_bn(self.asp(self.mfa(torch.cat(found[1:], 1))))
        return self.fc(pooled)[..., 0]


def _statistics(x: Tensor, weights: Tensor) -> list[Tensor]:
    mean = (weights * x).sum(2)
    variance = (weights * (x - mean[..., None]).square()).sum(2)
    return [mean, variance.clamp_min(1e-12).sqrt()]

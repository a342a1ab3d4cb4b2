"""The network of DistillMOS, as its weights want it (github.com/microsoft/Distill-MOS)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llasa.base.errors import LlasaError

WINDOW, HOP = 320, 160
CHANNELS = (64, 64, 128, 256, 256, 256)
FRAMES, SIZE, HEADS, LAYERS = 384, 200, 8, 7


class DistillMOSNetwork(nn.Module):
    """Compressed spectrum, six convolutions, seven transformer layers, pooling by attention.

    Input: waveforms (batch, 122,880) at 16 kHz; output: opinion scores (batch,), 1 to 5.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        bins, before = WINDOW // 2 + 1, 2
        for index, channels in enumerate(CHANNELS):
            stride = (2 if index else 1, 2 if index == len(CHANNELS) - 1 else 1)
            layers += [nn.Conv2d(before, channels, 3, stride, (0, 1)), nn.LeakyReLU(0.1)]
            bins, before = (bins - 3) // stride[0] + 1, channels
        self.cnn = nn.Sequential(*layers)
        self.norm_input = nn.BatchNorm1d(before * bins)
        self.norm = nn.BatchNorm1d(before * bins)
        self.project = nn.Linear(before * bins, SIZE)
        self.position = nn.Parameter(torch.zeros(1, FRAMES, SIZE))
        layer = nn.TransformerEncoderLayer(SIZE, HEADS, 2 * SIZE, 0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.norm_output = nn.BatchNorm1d(SIZE)
        self.attend = nn.Sequential(nn.Linear(SIZE, 2 * SIZE), nn.ReLU(), nn.Linear(2 * SIZE, 1))
        self.rate = nn.Linear(SIZE, 1)

    def forward(self, waveform: Tensor) -> Tensor:
        features = self.cnn(compressed_spectrum(waveform)).flatten(1, 2)
        features = self.norm(self.norm_input(features)).transpose(1, 2)
        features = self.encoder(self.project(features) + self.position)
        features = self.norm_output(features.transpose(1, 2)).transpose(1, 2)
        pooled = (self.attend(features).softmax(1) * features).sum(1)
        return 1 + 4 * self.rate(pooled).sigmoid().squeeze(-1)


def compressed_spectrum(waveform: Tensor) -> Tensor:
    """Complex spectrum with magnitudes to the power 0.3: (batch, 2, bins, frames)."""
    edge = (WINDOW - HOP) // 2
    padded = F.pad(waveform, (edge, edge), mode="reflect")
    window = torch.hann_window(WINDOW, device=waveform.device)
    spectrum = torch.stft(padded, WINDOW, HOP, window=window, center=False, return_complex=True)
    parts = torch.view_as_real(spectrum)
    size = spectrum.abs().clamp_min(1e-12).unsqueeze(-1)
    return (size**0.3 * parts / size).permute(0, 3, 1, 2)


def load_network(path: Path, device: str) -> DistillMOSNetwork:
    """The network filled from a released checkpoint; `LlasaError` where that does not fit."""
    outer = "transformer_pool_attn."
    names = {
        "cnn.cnn.": "cnn.",
        f"{outer}norm_input.": "norm_input.",
        f"{outer}transformer.norm.": "norm.",
        f"{outer}transformer.position_encoding.pe": "position",
        f"{outer}transformer.linear_proj.": "project.",
        f"{outer}transformer.transformer_encoder.": "encoder.",
        f"{outer}norm_trans.": "norm_output.",
        f"{outer}pool.linear1.": "attend.0.",
        f"{outer}pool.linear2.": "attend.2.",
        f"{outer}pool.linear3.": "rate.",
    }
    network = DistillMOSNetwork()
    try:
        theirs = torch.load(path, map_location="cpu", weights_only=True)["model"]
        state = {}
        for name, value in theirs.items():
            start = next(start for start in names if name.startswith(start))
            state[names[start] + name.removeprefix(start)] = value
        network.load_state_dict(state)
    except Exception as error:
        raise LlasaError(f"{path} isn't a DistillMOS checkpoint: {error}.") from error
    return network.to(device).eval()

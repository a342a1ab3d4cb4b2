"""The X-codec2 network: waveform to single-codebook tokens and back (paper section 3.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from llasa.codec.config import CodecConfig
from llasa.codec.features import MELS, SHIFT, semantic_features
from llasa.codec.heads import build_head
from llasa.codec.layers import (
    EncoderBlock,
    ResnetBlock,
    SemanticAdapter,
    TransformerBlock,
)
from llasa.codec.protocol import PhaseState
from llasa.codec.quantizer import FSQ
from llasa.codec.semantic import build_semantic
from llasa.codec.snake import SnakeBeta
from llasa.codec.speaker_encoder import SpeakerEncoder

_FORMER_NAMES = {"timbre.": "speaker_encoder.", "decoder.timbre.": "decoder.conditioning."}


def current_names(state: Mapping[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
    """Weights of a `CodecModel` as a file has them, which may be older, under today's names."""
    current = {}
    for key, tensor in state.items():
        for former, name in _FORMER_NAMES.items():
            if key.startswith(prefix + former):
                key = prefix + name + key.removeprefix(prefix + former)
        current[key] = tensor
    return current


def build_conditioning(config: CodecConfig) -> nn.Linear | None:
    """From a speaker embedding to what is added before every layer; starts at zero."""
    if not config.speaker_size:
        return None
    layers = config.decoder_layers + 2
    conditioning = nn.Linear(config.speaker_size, layers * config.decoder_size, bias=False)
    nn.init.zeros_(conditioning.weight)
    return conditioning


class AcousticEncoder(nn.Module):
    """BigCodec-style convolutional encoder: (batch, samples) to (batch, frames, size)."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        channels = config.encoder_channels
        self.stem = nn.Conv1d(1, channels, 7, padding=3)
        widths = [channels * 2**i for i in range(len(config.strides))]
        self.blocks = nn.ModuleList(
            EncoderBlock(width, stride, config.dilations)
            for width, stride in zip(widths, config.strides, strict=True)
        )
        self.act = SnakeBeta(2 * widths[-1])
        self.tail = nn.Conv1d(2 * widths[-1], config.acoustic_size, 3, padding=1)

    def forward(self, waveform: Tensor) -> Tensor:
        x = self.stem(waveform[:, None])
        for block in self.blocks:
            x = block(x)
        return self.tail(self.act(x)).transpose(1, 2)


class AcousticDecoder(nn.Module):
    """Latents (batch, frames, latent) to waveform (batch, frames * output_hop).

    A codec with a speaker encoder also takes speaker embeddings (batch, speaker_size); without one
    the codes alone decide how the voice sounds.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        size = config.decoder_size
        self.fuse = nn.Linear(config.latent_size, size)
        self.embed = nn.Conv1d(size, size, 7, padding=3)
        self.before = nn.Sequential(*(self._resnet(config) for _ in range(2)))
        sizes = (size, config.decoder_heads, config.decoder_mlp_size)
        kind = (config.time_rotary, config.decoder_window)
        blocks = (TransformerBlock(*sizes, *kind) for _ in range(config.decoder_layers))
        self.layers = nn.ModuleList(blocks)
        self.after = nn.Sequential(*(self._resnet(config) for _ in range(2)))
        self.norm = nn.LayerNorm(size, eps=1e-6)
        self.head = build_head(*config.head)
        self.conditioning = build_conditioning(config)

    @staticmethod
    def _resnet(config: CodecConfig) -> ResnetBlock:
        by_frame = config.decoder_window > 0
        return ResnetBlock(config.decoder_size, config.norm_groups, config.dropout, by_frame)

    def hidden(self, latent: Tensor, embedding: Tensor | None = None) -> Tensor:
        """Input of the head: (batch, frames, size)."""
        added: Sequence[Tensor | float] = [0.0] * (len(self.layers) + 2)
        if self.conditioning is not None and embedding is not None:
            added = self.conditioning(embedding)[:, None].chunk(len(added), -1)
        x = self.fuse(latent) + added[0]
        x = self.before(self.embed(x.transpose(1, 2))).transpose(1, 2)
        for layer, offset in zip(self.layers, added[1:-1], strict=True):
            x = layer(x + offset)
        x = self.after((x + added[-1]).transpose(1, 2)).transpose(1, 2)
        hidden: Tensor = self.norm(x)
        return hidden

    def forward(self, latent: Tensor, embedding: Tensor | None = None) -> Tensor:
        waveform: Tensor = self.head(self.hidden(latent, embedding))
        return waveform


class CodecModel(nn.Module):
    """Semantic and acoustic encoders, FSQ, decoder.

    All tensors of a batch have one length; ``llasa.codec.codec.Codec`` handles lists of clips.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        self.semantic = build_semantic(config.semantic, MELS * config.input_hop // SHIFT)
        self.adapter = SemanticAdapter(config.semantic.size, config.semantic.size, config.relu_skip)
        self.acoustic = AcousticEncoder(config)
        self.fuse = nn.Linear(config.latent_size, config.latent_size)
        self.quantizer = FSQ(config.latent_size, config.levels, config.double_bound)
        self.decoder = AcousticDecoder(config)
        size = config.speaker_size
        self.speaker_encoder = SpeakerEncoder(size) if size else None
        self.register_load_state_dict_pre_hook(self._rename_former)  # type: ignore[no-untyped-call]

    def latents(self, waveform: Tensor, semantic: Tensor | None = None) -> Tensor:
        """Fused latents before quantisation: (batch, samples) to (batch, frames, latent_size).

        Samples are a multiple of the hop; `semantic` is the output (batch, frames, size) of the
        semantic encoder, computed if absent.
        """
        if semantic is None:
            semantic = self.semantic(semantic_features(waveform, self.config.input_hop))
        adapted = self.adapter(semantic.transpose(1, 2)).transpose(1, 2)
        acoustic = self.acoustic(waveform)
        return self.fuse(torch.cat([adapted, acoustic], -1))

    def encode(self, waveform: Tensor) -> Tensor:
        """(batch, samples), a multiple of the hop, to codes (batch, samples // hop)."""
        return self.quantizer(self.latents(waveform))[1]

    def decode(self, codes: Tensor, embedding: Tensor | None = None) -> Tensor:
        """Codes (batch, frames) to a waveform (batch, frames * output_hop).

        `embedding` is of the speakers: (batch, speaker_size).
        """
        waveform: Tensor = self.decoder(self.quantizer.lookup(codes), embedding)
        return waveform

    def decode_part(
        self, codes: Tensor, at: int, stop: int, phase: PhaseState, embedding: Tensor | None = None
    ) -> tuple[Tensor, PhaseState]:
        """The waveform of one sequence (1, frames) whose phase is `phase` at frame `at`.

        Returns (1, frames * output_hop), and the phase at frame `stop`; an inverse STFT needs none.
        """
        hidden = self.decoder.hidden(self.quantizer.lookup(codes), embedding)
        return self.decoder.head.decode_part(hidden, at, stop, phase)

    @staticmethod
    def _rename_former(_: nn.Module, state: dict[str, Any], prefix: str, *__: object) -> None:
        current = current_names(state, prefix)
        state.clear()
        state.update(current)

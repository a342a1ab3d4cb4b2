"""The X-codec2 network: waveform to single-codebook tokens and back (paper section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from llasa.codec.config import CodecConfig
from llasa.codec.features import MELS, SHIFT, semantic_features
from llasa.codec.heads.harmonic import HarmonicHead, PhaseState
from llasa.codec.heads.istft import ISTFTHead
from llasa.codec.layers import (
    EncoderBlock,
    ResnetBlock,
    SemanticAdapter,
    TransformerBlock,
)
from llasa.codec.quantizer import FSQ
from llasa.codec.semantic import build_semantic
from llasa.codec.snake import SnakeBeta
from llasa.codec.speaker_encoder import SpeakerEncoder


def build_head(config: CodecConfig) -> ISTFTHead | HarmonicHead:
    """The last part of the decoder, with new weights."""
    if config.decoder_head == "harmonic":
        return HarmonicHead(config.decoder_size, config.output_hop, config.output_rate)
    return ISTFTHead(config.decoder_size, config.output_hop)


def build_timbre(config: CodecConfig) -> SpeakerEncoder | None:
    """What hears timbres, where the codec has them, with new weights."""
    return SpeakerEncoder(config.timbre_size) if config.timbre_size else None


def build_told(config: CodecConfig) -> nn.Linear | None:
    """What a decoder makes of a timbre: nothing at first, as zeros."""
    if not config.timbre_size:
        return None
    told = nn.Linear(config.timbre_size, (config.decoder_layers + 2) * config.decoder_size, False)
    nn.init.zeros_(told.weight)
    return told


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


class Decoder(nn.Module):
    """Latents (batch, frames, latent) to waveform (batch, frames * output_hop).

    Where the codec has timbres, one (batch, timbre) is added to what every layer hears; none given
    is that of the codes.
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
        self.head = build_head(config)
        self.timbre = build_told(config)

    @staticmethod
    def _resnet(config: CodecConfig) -> ResnetBlock:
        by_frame = config.decoder_window > 0
        return ResnetBlock(config.decoder_size, config.norm_groups, config.dropout, by_frame)

    def hidden(self, latent: Tensor, timbre: Tensor | None = None) -> Tensor:
        """What the head hears: (batch, frames, size)."""
        told: Sequence[Tensor | float] = [0.0] * (len(self.layers) + 2)
        if self.timbre is not None and timbre is not None:
            told = self.timbre(timbre)[:, None].chunk(len(told), -1)
        x = self.fuse(latent) + told[0]
        x = self.before(self.embed(x.transpose(1, 2))).transpose(1, 2)
        for layer, what in zip(self.layers, told[1:-1], strict=True):
            x = layer(x + what)
        x = self.after((x + told[-1]).transpose(1, 2)).transpose(1, 2)
        hidden: Tensor = self.norm(x)
        return hidden

    def forward(self, latent: Tensor, timbre: Tensor | None = None) -> Tensor:
        waveform: Tensor = self.head(self.hidden(latent, timbre))
        return waveform


class CodecModel(nn.Module):
    """Semantic and acoustic encoders, FSQ, decoder.

    All tensors of a batch have one length; ``llasa.codec.codec.Codec`` handles lists of clips.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        self.semantic = build_semantic(config.semantic, MELS * config.hop // SHIFT)
        self.adapter = SemanticAdapter(config.semantic.size, config.semantic.size, config.relu_skip)
        self.acoustic = AcousticEncoder(config)
        self.fuse = nn.Linear(config.latent_size, config.latent_size)
        self.quantizer = FSQ(config.latent_size, config.levels, config.double_bound)
        self.decoder = Decoder(config)
        self.timbre = build_timbre(config)

    def latents(self, waveform: Tensor, semantic: Tensor | None = None) -> Tensor:
        """Fused latents before quantisation: (batch, samples) to (batch, frames, latent_size).

        Samples are a multiple of the hop; `semantic` is the output (batch, frames, size) of the
        semantic encoder, computed if absent.
        """
        if semantic is None:
            semantic = self.semantic(semantic_features(waveform, self.config.hop))
        adapted = self.adapter(semantic.transpose(1, 2)).transpose(1, 2)
        acoustic = self.acoustic(waveform)
        return self.fuse(torch.cat([adapted, acoustic], -1))

    def encode(self, waveform: Tensor) -> Tensor:
        """(batch, samples), a multiple of the hop, to codes (batch, samples // hop)."""
        return self.quantizer(self.latents(waveform))[1]

    def decode(self, codes: Tensor, timbre: Tensor | None = None) -> Tensor:
        """Codes (batch, frames), and a timbre (batch, size), to a waveform.

        This is (batch, frames * output_hop).
        """
        waveform: Tensor = self.decoder(self.quantizer.lookup(codes), timbre)
        return waveform

    def decode_part(
        self, codes: Tensor, at: int, stop: int, anchor: PhaseState, timbre: Tensor | None = None
    ) -> tuple[Tensor, PhaseState]:
        """The waveform of one sequence (1, frames) that stands at `anchor` at frame `at`.

        Returns (1, frames * output_hop), and the anchor at frame `stop`, of which an inverse STFT
        has no need.
        """
        hidden, head = self.decoder.hidden(self.quantizer.lookup(codes), timbre), self.decoder.head
        if not isinstance(head, HarmonicHead):
            return head(hidden), PhaseState()
        spectra = head.spectra(hidden)
        waveform, cycles = head.render(spectra, spectra.pitch(), at, anchor)
        return waveform, PhaseState(anchor.frames + stop - at, float(cycles[0, stop]) % 1.0)

"""Semantic encoders: filter banks (batch, frames, features) to (batch, frames, size)."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from llasa.base.packages import require
from llasa.codec.config import SemanticConfig


class _ConvBlock(nn.Module):
    """Depthwise k7 conv, LayerNorm, two-layer MLP, plus the input (ConvNeXt, Liu et al. 2022)."""

    def __init__(self, size: int, mlp_size: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(size, size, 7, padding=3, groups=size)
        self.norm = nn.LayerNorm(size)
        self.up = nn.Linear(size, mlp_size)
        self.down = nn.Linear(mlp_size, size)

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(x.transpose(1, 2)).transpose(1, 2)
        return x + self.down(F.gelu(self.up(self.norm(y))))


class ConvSemantic(nn.Module):
    """Small convolutional encoder, distilled from a large speech model."""

    def __init__(self, config: SemanticConfig, features: int) -> None:
        super().__init__()
        self.input = nn.Linear(features, config.size)
        blocks = (_ConvBlock(config.size, config.mlp_size) for _ in range(config.layers))
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(config.size)

    def forward(self, features: Tensor) -> Tensor:
        x = self.input(features)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class W2vBert(nn.Module):
    """The first layers of w2v-BERT 2.0, the frozen semantic model of the released codec."""

    def __init__(self, config: SemanticConfig, features: int) -> None:
        super().__init__()
        library = require("transformers")
        settings = {
            "hidden_size": config.size,
            "num_hidden_layers": config.layers,
            "num_attention_heads": config.heads,
            "intermediate_size": config.mlp_size,
            "feature_projection_input_dim": features,
            "mask_time_prob": 0.0,  # the model is frozen: no SpecAugment, no mask embedding
            **config.extra,
        }
        self.model = library.Wav2Vec2BertModel(library.Wav2Vec2BertConfig(**settings))

    def forward(self, features: Tensor) -> Tensor:
        return cast(Tensor, self.model(features).last_hidden_state)


def build_semantic(config: SemanticConfig, features: int) -> nn.Module:
    """The encoder that ``config.kind`` names; ``features`` is the width of its input."""
    kinds = {"conv": ConvSemantic, "w2v-bert": W2vBert}
    if config.kind not in kinds:
        raise ValueError(f"semantic kind {config.kind!r} is unknown; valid: {', '.join(kinds)}")
    return kinds[config.kind](config, features)

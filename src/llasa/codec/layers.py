"""Building blocks of the codec: encoder units, decoder blocks, semantic adapter."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llasa.codec.snake import SnakeBeta


class ResidualUnit(nn.Module):
    """SnakeBeta, dilated k7 conv, SnakeBeta, k1 conv, plus the input."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.act1 = SnakeBeta(channels)
        self.conv1 = nn.Conv1d(channels, channels, 7, dilation=dilation, padding=3 * dilation)
        self.act2 = SnakeBeta(channels)
        self.conv2 = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.act2(self.conv1(self.act1(x))))


class EncoderBlock(nn.Module):
    """Residual units at the input width, then a strided conv that doubles the channels."""

    def __init__(self, channels: int, stride: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.units = nn.ModuleList(ResidualUnit(channels, d) for d in dilations)
        self.act = SnakeBeta(channels)
        padding = stride // 2 + stride % 2
        self.down = nn.Conv1d(channels, 2 * channels, 2 * stride, stride, padding)

    def forward(self, x: Tensor) -> Tensor:
        for unit in self.units:
            x = unit(x)
        return self.down(self.act(x))


class FrameNorm(nn.GroupNorm):
    """GroupNorm of every frame by itself; (batch, channels, frames)."""

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, frames = x.shape
        normed = super().forward(x.transpose(1, 2).reshape(-1, channels))
        return normed.view(batch, frames, channels).transpose(1, 2)


class ResnetBlock(nn.Module):
    """GroupNorm (over the clip, or by frame), swish, conv, twice, plus the input.

    (batch, channels, frames)
    """

    def __init__(self, channels: int, groups: int, dropout: float, by_frame: bool) -> None:
        super().__init__()
        norm = FrameNorm if by_frame else nn.GroupNorm
        self.norm1 = norm(groups, channels, eps=1e-6)
        self.conv1 = nn.Conv1d(channels, channels, 3, padding=1)
        self.norm2 = norm(groups, channels, eps=1e-6)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv1d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(self.dropout(F.silu(self.norm2(y))))


def rotate(x: Tensor) -> Tensor:
    """Rotary time positions on (batch, heads, frames, head_dim), halves rotated, base 10,000."""
    frames, half = x.shape[-2], x.shape[-1] // 2
    inverse = 10_000.0 ** (-torch.arange(half, device=x.device) / half)
    angle = torch.arange(frames, device=x.device)[:, None] * inverse
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


class TransformerBlock(nn.Module):
    """Pre-norm attention and a SiLU MLP; (batch, frames, size).

    Attention is bidirectional over the clip, or with ``window`` over that many frames before.

    ``time_rotary`` is off for the released weights: their rotary positions run over the head axis,
    which rotates q and k of a head alike and so changes nothing.
    """

    def __init__(
        self, size: int, heads: int, mlp_size: int, time_rotary: bool, window: int
    ) -> None:
        super().__init__()
        self.heads = heads
        self.time_rotary = time_rotary
        self.window = window
        self.attention_norm = nn.RMSNorm(size, eps=1e-6)
        self.qkv = nn.Linear(size, 3 * size, bias=False)
        self.out = nn.Linear(size, size, bias=False)
        self.mlp_norm = nn.RMSNorm(size, eps=1e-6)
        self.up = nn.Linear(size, mlp_size, bias=False)
        self.down = nn.Linear(mlp_size, size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, frames, size = x.shape
        qkv = self.qkv(self.attention_norm(x)).view(batch, frames, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        if self.time_rotary:
            q, k = rotate(q), rotate(k)
        mask = None
        if self.window:
            seen = torch.ones(frames, frames, dtype=torch.bool, device=x.device)
            mask = seen.tril().triu(-self.window)
        attended = F.scaled_dot_product_attention(q, k, v, mask)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, frames, size))
        return x + self.down(F.silu(self.up(self.mlp_norm(x))))


class SemanticAdapter(nn.Module):
    """Conv stack over semantic features; also the training-only semantic decoder.

    (batch, size, frames) in and out. ``relu_skip`` keeps the in-place ReLU of the original, by
    which the skip adds ReLU(x).
    """

    def __init__(self, size: int, out_size: int, relu_skip: bool) -> None:
        super().__init__()
        self.relu_skip = relu_skip
        self.first = nn.Conv1d(size, out_size, 3, padding=1, bias=False)
        self.conv1 = nn.Conv1d(out_size, out_size, 3, padding=1)
        self.conv2 = nn.Conv1d(out_size, out_size, 3, padding=1)
        self.last = nn.Conv1d(out_size, out_size, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        activated = F.relu(x)
        skip = activated if self.relu_skip else x
        return self.last(skip + self.conv2(F.relu(self.conv1(activated))))

"""Alias-free SnakeBeta (BigVGAN, Lee et al. 2022) in polyphase form.

Upsample by two, x + sin²(a x) / b, low-pass, downsample by two. The even and the odd samples of the
doubled signal are kept apart and every filter is a handful of shifted multiply-adds, which is much
cheaper than strided convolutions of one channel; the gradient is the mirrored filter.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TAPS = 12


def kaiser_sinc() -> Tensor:
    """Low-pass filter of the resamplers (alias-free-torch), sums to one, shape (12,).

    Cut-off a quarter of the doubled rate, transition band 0.3 to each side. In single precision,
    as the released weights were trained with.
    """
    half = TAPS // 2
    attenuation = 2.285 * (half - 1) * math.pi * 4 * 0.3 + 7.95
    beta = 0.1102 * (attenuation - 8.7)  # Kaiser's formula above 50 dB
    window = torch.kaiser_window(TAPS, periodic=False, beta=beta, dtype=torch.float32)
    time = torch.arange(-half, half, dtype=torch.float32) + 0.5
    taps = 0.5 * window * torch.sinc(0.5 * time)
    return taps / taps.sum()


_T: list[float] = kaiser_sinc().tolist()
# (shift, tap) pairs: even output j reads input j - shift, and likewise for the others.
_EVEN = [(d, 2 * _T[5 + 2 * d]) for d in range(-2, 4)]
_ODD = [(d, 2 * _T[6 + 2 * d]) for d in range(-3, 3)]
_FROM_EVEN = [((5 - k) // 2, _T[k]) for k in range(1, TAPS, 2)]
_FROM_ODD = [((6 - k) // 2, _T[k]) for k in range(0, TAPS, 2)]
_PAD = 3


def convolutions() -> tuple[Tensor, Tensor]:
    """The resamplers as kernels of `conv1d`: (2, 1, 7) to even and odd samples, (1, 2, 7) back."""

    def kernel(taps: list[tuple[int, float]]) -> list[float]:
        by_place = {_PAD - shift: tap for shift, tap in taps}
        return [by_place.get(place, 0.0) for place in range(2 * _PAD + 1)]

    up, down = ([kernel(t) for t in pair] for pair in ((_EVEN, _ODD), (_FROM_EVEN, _FROM_ODD)))
    return torch.tensor(up)[:, None], torch.tensor(down)[None]


def _filter(padded: Tensor, taps: list[tuple[int, float]], length: int) -> Tensor:
    """sum of tap * padded[j + 3 - shift] over the taps, for j in 0..length."""

    def piece(shift: int) -> Tensor:
        return padded[..., _PAD - shift : _PAD - shift + length]

    (first, scale), *others = taps
    total = piece(first) * scale
    for shift, tap in others:
        total.add_(piece(shift), alpha=tap)
    return total


def _mirror(taps: list[tuple[int, float]]) -> list[tuple[int, float]]:
    return [(-shift, tap) for shift, tap in taps]


def _up(padded: Tensor) -> tuple[Tensor, Tensor]:
    length = padded.shape[-1] - 2 * _PAD
    return _filter(padded, _EVEN, length), _filter(padded, _ODD, length)


def _up_snake(padded: Tensor, scale: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor]:
    even, odd = _up(padded)
    bend_even, bend_odd = (even * scale).sin_().square_(), (odd * scale).sin_().square_()
    return even.addcmul_(bend_even, inverse), odd.addcmul_(bend_odd, inverse)


def _down(even: Tensor, odd: Tensor) -> Tensor:
    length = even.shape[-1] - 2 * _PAD
    return _filter(even, _FROM_EVEN, length) + _filter(odd, _FROM_ODD, length)


def _up_transposed(even: Tensor, odd: Tensor) -> Tensor:
    length = even.shape[-1] - 2 * _PAD
    return _filter(even, _mirror(_EVEN), length) + _filter(odd, _mirror(_ODD), length)


def _down_transposed(padded: Tensor) -> tuple[Tensor, Tensor]:
    length = padded.shape[-1] - 2 * _PAD
    return (
        _filter(padded, _mirror(_FROM_EVEN), length),
        _filter(padded, _mirror(_FROM_ODD), length),
    )


def _snake_grads(
    padded: Tensor, scale: Tensor, inverse: Tensor, to_even: Tensor, to_odd: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients at the doubled rate, and those of ``scale`` and ``inverse`` (channels,)."""
    even, odd = _up(padded)
    slope_even, slope_odd = (2 * scale * even).sin(), (2 * scale * odd).sin()
    bend_even, bend_odd = (scale * even).sin().square(), (scale * odd).sin().square()
    grad_scale = (inverse * (to_even * slope_even * even + to_odd * slope_odd * odd)).sum((0, 2))
    grad_inverse = (to_even * bend_even + to_odd * bend_odd).sum((0, 2))
    slope_even = to_even * (1 + inverse * scale * slope_even)
    slope_odd = to_odd * (1 + inverse * scale * slope_odd)
    return slope_even, slope_odd, grad_scale, grad_inverse


class _Kernels(NamedTuple):
    """The arithmetic on padded tensors."""

    up_snake: Callable[..., Any] = _up_snake
    down: Callable[..., Any] = _down
    up_transposed: Callable[..., Any] = _up_transposed
    down_transposed: Callable[..., Any] = _down_transposed
    snake_grads: Callable[..., Any] = _snake_grads


@cache
def _compiled() -> _Kernels:
    return _Kernels(*(torch.compile(kernel, dynamic=True) for kernel in _Kernels()))


def compile_snake(model: nn.Module) -> None:
    """Fuse the arithmetic of all SnakeBeta in a model with torch.compile.

    The first use takes a minute, and later ones are several times faster.
    """
    for module in model.modules():
        if isinstance(module, SnakeBeta):
            module.kernels = _compiled()


def extend(first: Tensor, middle: Tensor, last: Tensor) -> Tensor:
    """Three copies of the end samples on each side."""
    shape = (*middle.shape[:-1], _PAD)
    return torch.cat([first.expand(shape), middle, last.expand(shape)], -1)


def _zeros(x: Tensor, width: int) -> Tensor:
    return F.pad(x, (width, width))


class _Snake(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: Tensor, beta: Tensor, kernels: _Kernels) -> Tensor:
        ctx.kernels = kernels
        ctx.save_for_backward(x, alpha, beta)
        scale, inverse = alpha.exp()[:, None], 1 / (beta.exp()[:, None] + 1e-9)
        even, odd = kernels.up_snake(extend(x[..., :1], x, x[..., -1:]), scale, inverse)
        first, last = even[..., :1], odd[..., -1:]
        return kernels.down(extend(first, even, last), extend(first, odd, last))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, alpha, beta = ctx.saved_tensors
        kernels: _Kernels = ctx.kernels
        scale, inverse = alpha.exp()[:, None], 1 / (beta.exp()[:, None] + 1e-9)
        # Padding copied the end samples, so its gradient belongs to them.
        wide_even, wide_odd = kernels.down_transposed(_zeros(grads[0], 2 * _PAD))
        to_even, to_odd = wide_even[..., _PAD:-_PAD], wide_odd[..., _PAD:-_PAD]
        to_even[..., 0] += (wide_even[..., :_PAD] + wide_odd[..., :_PAD]).sum(-1)
        to_odd[..., -1] += (wide_even[..., -_PAD:] + wide_odd[..., -_PAD:]).sum(-1)
        padded = extend(x[..., :1], x, x[..., -1:])
        even, odd, grad_scale, grad_inverse = kernels.snake_grads(
            padded, scale, inverse, to_even.contiguous(), to_odd.contiguous()
        )
        wide = kernels.up_transposed(_zeros(even, 2 * _PAD), _zeros(odd, 2 * _PAD))
        grad_x = wide[..., _PAD:-_PAD].contiguous()
        grad_x[..., 0] += wide[..., :_PAD].sum(-1)
        grad_x[..., -1] += wide[..., -_PAD:].sum(-1)
        grad_beta = -grad_inverse * inverse[:, 0].square() * beta.exp()
        return grad_x, grad_scale * scale[:, 0], grad_beta, None


class SnakeBeta(nn.Module):
    """Alias-free SnakeBeta with a frequency and a magnitude per channel, stored as logs."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.zeros(channels))
        self.kernels = _Kernels()

    def forward(self, x: Tensor) -> Tensor:
        parts = (x, self.alpha, self.beta, self.kernels)
        return _Snake.apply(*parts)  # type: ignore[no-any-return,no-untyped-call]

"""Weight layouts that make a linear layer fast when only a few tokens go through it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from llasa.base.errors import LlasaError

Linear = Callable[[Tensor], Tensor]
Precision = Literal["float32", "bfloat16", "int8"]
"""In what a CPU multiplies; sums are in float32 or exact."""

# Below this many multiplications the threaded half-precision kernel costs more than it saves.
_THREADED = 1_500_000


def pack_linear(weight: Tensor, precision: Precision = "float32") -> Linear:
    """A function x (N, in) -> (N, out) equal to ``F.linear(x, weight)``, laid out for decoding.

    On a CPU the input is float32. Weights that float16 can hold (most checkpoints) are kept in
    it and multiplied in float32, which halves the memory traffic and changes nothing; others are
    stored transposed. ``bfloat16`` rounds both factors, ``int8`` weights per row and inputs per
    call: faster still where the CPU has instructions for it, not exact.
    """
    if weight.device.type != "cpu":
        if precision == "int8":
            raise LlasaError(f"Weights in int8 work on the CPU only, not on {weight.device}.")
        return partial(F.linear, weight=weight)
    weight = weight.detach().float().contiguous()
    if precision == "int8":
        return _int8(weight)
    if precision == "bfloat16":
        short = weight.bfloat16().t()
        return lambda x: torch.mm(x.bfloat16(), short).float()
    if "fbgemm" in torch.backends.quantized.supported_engines and _fits_half(weight):
        return _half(weight)
    return partial(torch.mm, mat2=weight.t().contiguous())


def _fits_half(weight: Tensor) -> bool:
    """Whether float16 loses no more than float32 rounding of the largest weight."""
    loss = (weight - weight.half().float()).abs().max()
    return bool(loss <= weight.abs().max() * 2**-23)


def _half(weight: Tensor) -> Linear:
    if torch.get_num_threads() == 1:
        return _half_single(weight)
    packed = torch.ops.quantized.linear_prepack_fp16(weight, None)
    threaded = _with_packed(torch.ops.quantized.linear_dynamic_fp16, packed)
    size = weight.numel()
    if size >= _THREADED:
        return threaded
    single = _half_single(weight)
    return lambda x: single(x) if len(x) * size < _THREADED else threaded(x)


def _half_single(weight: Tensor) -> Linear:
    # fbgemm announces, once at packing and once at use, a removal that our torch range excludes.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        packed = torch.fbgemm_pack_gemm_matrix_fp16(weight)
        run = partial(
            torch.fbgemm_linear_fp16_weight_fp32_activation,
            packed_weight=packed,
            bias=torch.zeros(weight.shape[0]),
        )
        run(torch.zeros(1, weight.shape[1]))
    return run


def _int8(weight: Tensor) -> Linear:
    if torch.backends.quantized.engine == "none":
        raise LlasaError("This build of torch has no int8 kernels; leave int8 off.")
    scale = weight.abs().amax(1).clamp(min=1e-12).double() / 127
    zeros = torch.zeros(len(weight), dtype=torch.long)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the quantised types too are announced to go
        rounded = torch.quantize_per_channel(weight, scale, zeros, 0, torch.qint8)
    packed = torch.ops.quantized.linear_prepack(rounded, None)
    # True: 7-bit inputs, as AVX2 kernels overflow at 8.
    return _with_packed(torch.ops.quantized.linear_dynamic, packed, True)


def _with_packed(run: Callable[..., Tensor], *packed: object) -> Linear:
    return lambda x: run(x, *packed)

"""Weight layouts that make a linear layer fast when only a few tokens go through it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from llasa.errors import LlasaError

Linear = Callable[[Tensor], Tensor]

# Below this many multiplications the threaded half-precision kernel costs more than it saves.
_THREADED = 1_500_000


def pack_linear(weight: Tensor, int8: bool = False) -> Linear:
    """A function x (N, in) -> (N, out) equal to ``F.linear(x, weight)``, laid out for decoding.

    On a CPU the input is float32. Weights that float16 can hold (most checkpoints) are kept in
    it and multiplied in float32, which halves the memory traffic and changes nothing; others are
    stored transposed. ``int8`` rounds weights per row and inputs per call: faster still on large
    models, not exact.
    """
    if weight.device.type != "cpu":
        if int8:
            raise LlasaError(f"int8 weights work on the CPU only, not on {weight.device}.")
        return partial(F.linear, weight=weight)
    weight = weight.detach().float().contiguous()
    if int8:
        return _int8(weight)
    if "fbgemm" in torch.backends.quantized.supported_engines and _fits_half(weight):
        return _half(weight)
    return partial(torch.mm, mat2=weight.t().contiguous())


def _fits_half(weight: Tensor) -> bool:
    """Whether float16 loses no more than float32 rounding of the largest weight."""
    loss = (weight - weight.half().float()).abs().max()
    return bool(loss <= weight.abs().max() * 2**-23)


def _half(weight: Tensor) -> Linear:
    # fbgemm announces, once at packing and once at use, a removal that our torch range excludes.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        single = partial(
            torch.fbgemm_linear_fp16_weight_fp32_activation,
            packed_weight=torch.fbgemm_pack_gemm_matrix_fp16(weight),
            bias=torch.zeros(weight.shape[0]),
        )
        single(torch.zeros(1, weight.shape[1]))
    if torch.get_num_threads() == 1:
        return single
    shared = torch.ops.quantized.linear_prepack_fp16(weight, None)
    run = torch.ops.quantized.linear_dynamic_fp16
    size = weight.numel()

    def multiply(x: Tensor) -> Tensor:
        y: Tensor = single(x) if len(x) * size < _THREADED else run(x, shared)
        return y

    return multiply


def _int8(weight: Tensor) -> Linear:
    if torch.backends.quantized.engine == "none":
        raise LlasaError("This build of torch has no int8 kernels; leave int8 off.")
    scale = weight.abs().amax(1).clamp(min=1e-12).double() / 127
    zeros = torch.zeros(len(weight), dtype=torch.long)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rounded = torch.quantize_per_channel(weight, scale, zeros, 0, torch.qint8)
    packed = torch.ops.quantized.linear_prepack(rounded, None)
    run = torch.ops.quantized.linear_dynamic

    def multiply(x: Tensor) -> Tensor:
        y: Tensor = run(x, packed, True)  # 7-bit inputs: AVX2 kernels overflow at 8
        return y

    return multiply

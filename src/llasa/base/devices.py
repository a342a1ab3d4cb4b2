"""Where networks run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from llasa.base.errors import LlasaError, first_line

if TYPE_CHECKING:
    import torch


_BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")
"""Instructions for products of bfloat16, the last one on ARM."""


def multiplies_bfloat16(device: str | torch.device) -> bool:
    """Whether a device has instructions for products of bfloat16, and torch uses them.

    CPUs without them emulate these products, some fifty times slower than those of float32. torch
    uses them through oneDNN, which its builds for Macs lack; before 2.11 it does not say what a CPU
    has, and none is assumed.
    """
    import torch

    if torch.device(device).type != "cpu":
        return True
    able: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(torch.backends.mkldnn.is_available()) and any(able.get(one) for one in _BFLOAT16)


def find_device(device: str | torch.device | None) -> torch.device:
    """The device asked for (cpu, cuda, cuda:1, mps); by default a GPU where CUDA finds one.

    `LlasaError` for one that cannot be used.
    """
    import torch

    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        raise LlasaError(f"The device {device} cannot be used: {first_line(error)}.") from error
    return torch.device(device)

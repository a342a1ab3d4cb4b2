"""Where networks run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llasa.base.errors import LlasaError, first_line

if TYPE_CHECKING:
    import torch


def multiplies_bfloat16(device: str | torch.device) -> bool:
    """Whether a device has instructions for products of bfloat16.

    CPUs without them emulate these products, some fifty times slower than those of float32.
    """
    import torch

    if torch.device(device).type != "cpu":
        return True
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


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

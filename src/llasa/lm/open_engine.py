"""Engines by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llasa.base.errors import LlasaError
from llasa.base.names import check_choice
from llasa.lm.engine import Engine

if TYPE_CHECKING:
    import torch

ENGINES = ("torch", "vllm", "onnx")


def open_engine(
    folder: Path,
    allowed: range,
    end: Sequence[int],
    context: int,
    device: torch.device,
    int8: bool = False,
    name: str = "torch",
    options: Mapping[str, Any] | None = None,
    fast: bool = False,
    draft: Path | None = None,
) -> Engine:
    """Load a checkpoint into the engine of that name; see `TorchEngine` and `VllmEngine`.

    `device`, `int8`, `fast` and `draft`, the file of a draft head, are for torch; `options`, and
    `context`, for which it reserves memory, are for vllm, which finds its devices itself.
    """
    if name == "vllm":
        if int8 or fast:
            raise LlasaError(
                f"The option {'int8' if int8 else 'fast'} is for the engine torch: give vLLM the "
                "option quantization."
            )
        from llasa.lm.lora import ADAPTER_CONFIG

        if (folder / ADAPTER_CONFIG).exists():
            raise LlasaError(
                f"{folder} has an adapter, which vLLM does not read: merge it with llasa pack."
            )
        from llasa.lm.vllm import VllmEngine

        return VllmEngine(folder, allowed, end, context, options)
    check_choice(name, ENGINES, "The engine")
    if options:
        raise LlasaError("The engine torch takes no options: they are for vllm.")
    import torch

    from llasa.lm.checkpoint import load_llama
    from llasa.lm.decoder import Mode
    from llasa.lm.torch import TorchEngine

    if int8 and fast:
        raise LlasaError("int8 and fast were given: give one of them.")
    mode: Mode = "int8" if int8 else "fast" if fast else "float32"
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    found = TorchEngine(load_llama(folder, dtype, device), allowed, end, mode)
    if draft is not None and mode == "float32":  # 8 bits share a scale among the tokens of a pass
        from llasa.lm.draft_head import HeadDrafter, load_draft_head

        found.drafter = HeadDrafter(load_draft_head(draft), found.decoder, found.columns)
    return found

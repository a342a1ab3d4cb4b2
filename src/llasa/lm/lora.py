"""Low-rank adapters (LoRA, Hu et al. 2021): W + alpha / rank * B A with W frozen.

An adapter on the disk is that of PEFT: `adapter_config.json` and `adapter_model.safetensors`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llasa.base.errors import LlasaError
from llasa.base.files import read_json
from llasa.base.names import number, whole
from llasa.base.weights import read_tensors, write_checkpoint

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
_A, _B = ".lora_A", ".lora_B"


@dataclass
class LoraSettings:
    """``rank`` 0 is none; the other defaults are those of the released recipe (its rank is 8)."""

    rank: int = 0
    alpha: float = 32.0
    dropout: float = 0.1
    targets: list[str] = field(default_factory=lambda: ["q_proj", "v_proj"])

    def __post_init__(self) -> None:
        whole("Setting lora.rank", self.rank, 0)
        number("Setting lora.alpha", self.alpha, 0, above=True)
        number("Setting lora.dropout", self.dropout, 0, 1)

    @property
    def scale(self) -> float:
        return self.alpha / self.rank


class LoraLinear(nn.Linear):
    """A linear layer whose weight stays; begins as it was, because B is zero."""

    def __init__(self, linear: nn.Linear, settings: LoraSettings) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        self.lora_A = nn.Parameter(torch.empty(settings.rank, self.in_features))
        self.lora_B = nn.Parameter(torch.zeros(self.out_features, settings.rank))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))
        self.scale, self.dropout = settings.scale, nn.Dropout(settings.dropout)

    def forward(self, x: Tensor) -> Tensor:
        low = F.linear(self.dropout(x), self.lora_A)
        return super().forward(x) + self.scale * F.linear(low, self.lora_B)


def add_lora(model: nn.Module, settings: LoraSettings) -> None:
    """Freeze a model, and give the linear layers that ``targets`` names adapters that learn.

    Raises `LlasaError` for a target that the model does not have.
    """
    model.requires_grad_(False)
    missing = set(settings.targets)
    for path, module in list(model.named_modules()):
        parent, _, name = path.rpartition(".")
        if name in settings.targets and isinstance(module, nn.Linear):
            setattr(model.get_submodule(parent), name, LoraLinear(module, settings))
            missing.discard(name)
    if missing:
        raise LlasaError(f"Setting lora.targets: the model has no {', '.join(sorted(missing))}.")


def split_lora(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The weights below the adapter, and the adapter's own."""
    adapter = {name: tensor for name, tensor in state.items() if name.endswith((_A, _B))}
    return {name: tensor for name, tensor in state.items() if name not in adapter}, adapter


def merge_lora(
    state: Mapping[str, Tensor], adapter: Mapping[str, Tensor], scale: float
) -> dict[str, Tensor]:
    """Plain weights that do what weights and adapter do together, in the weights' own types.

    Raises KeyError, ValueError or RuntimeError where they do not fit.
    """
    merged = dict(state)
    for name in adapter:
        if name.endswith(_A):
            layer = name.removesuffix(_A)
            a, b = (adapter[layer + part].float() for part in (_A, _B))
            weight, product = merged[f"{layer}.weight"], b @ a
            if product.shape != weight.shape:
                raise ValueError(f"{layer} is {tuple(weight.shape)}, not {tuple(product.shape)}")
            merged[f"{layer}.weight"] = (weight.float() + scale * product).to(weight.dtype)
    return merged


def save_adapter(folder: Path, adapter: Mapping[str, Tensor], settings: LoraSettings) -> None:
    """Write the adapter as PEFT does."""
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": None,
        "r": settings.rank,
        "lora_alpha": settings.alpha,
        "lora_dropout": settings.dropout,
        "target_modules": settings.targets,
        "bias": "none",
    }
    tensors = {f"{_PREFIX}{name}.weight": tensor for name, tensor in adapter.items()}
    write_checkpoint(folder, tensors, {ADAPTER_CONFIG: config}, ADAPTER_WEIGHTS)


def with_adapter(state: dict[str, Tensor], folder: Path) -> dict[str, Tensor]:
    """The weights with the adapter that lies in the folder; as they are where there is none.

    Raises `LlasaError` for an adapter that isn't plain LoRA, or is for another model.
    """
    if not (folder / ADAPTER_CONFIG).exists():
        return state
    config = read_json(folder / ADAPTER_CONFIG)
    foreign = LlasaError(f"{folder / ADAPTER_CONFIG} is not a plain LoRA adapter of this model.")
    unusual = ("use_rslora", "use_dora", "rank_pattern", "alpha_pattern", "modules_to_save")
    if config.get("peft_type") != "LORA" or any(config.get(key) for key in unusual):
        raise foreign
    device = next(iter(state.values())).device
    adapter = {
        name.removeprefix(_PREFIX).removesuffix(".weight"): tensor.to(device)
        for name, tensor in read_tensors(folder / ADAPTER_WEIGHTS)
    }
    try:
        if any(not name.endswith((_A, _B)) for name in adapter):
            raise foreign
        return merge_lora(state, adapter, float(config["lora_alpha"]) / int(config["r"]))
    except (KeyError, TypeError, ValueError, ZeroDivisionError, RuntimeError) as error:
        raise foreign from error

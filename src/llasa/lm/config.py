"""Sizes of a Llama, from and to a Hugging Face ``config.json``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llasa.base.errors import LlasaError
from llasa.base.files import CONFIG, read_json
from llasa.base.names import number, whole

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
)
MOST, MOST_LAYERS = 1 << 24, 1000
"""Bounds far above the sizes of any checkpoint."""
_SCALING = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")


@dataclass(frozen=True)
class LlamaConfig:
    """Sizes of a Llama; names and defaults are those of a Hugging Face ``config.json``.

    ``rope_scaling`` is None or the ``llama3`` rule: a dict with ``factor``, ``low_freq_factor``,
    ``high_freq_factor`` and ``original_max_position_embeddings``.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10_000.0
    rope_scaling: dict[str, Any] | None = None
    tie_word_embeddings: bool = False
    max_position_embeddings: int = 2048
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None

    def __post_init__(self) -> None:
        for name in (*_SIZES, "max_position_embeddings"):
            most = MOST_LAYERS if name == "num_hidden_layers" else MOST
            whole(f"Llama config: {name}", getattr(self, name), 1, most)
        number("Llama config: rms_norm_eps", self.rms_norm_eps, 0, 1, above=True)
        number("Llama config: rope_theta", self.rope_theta, 1, 1e12)
        for name in _SCALING if self.rope_scaling else ():
            number(f"Llama config: {name}", (self.rope_scaling or {})[name], 1e-3, MOST)
        if self.num_attention_heads % self.num_key_value_heads or self.head_dim % 2:
            raise LlasaError(
                f"Llama config: {self.num_attention_heads} heads over {self.num_key_value_heads} "
                f"key-value heads of size {self.head_dim}; the first must be a multiple of the "
                "second and the size even."
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> LlamaConfig:
        """Read a Hugging Face ``config.json``; keys that do not change the network are ignored.

        Raises LlasaError for other architectures, biases, activations and rotary rules.
        """
        found = values.get("architectures") or values.get("model_type")
        if found not in ("llama", ["LlamaForCausalLM"]):
            raise LlasaError(f"The config describes {found}; only LlamaForCausalLM can be loaded.")
        fixed = {"attention_bias": False, "mlp_bias": False, "hidden_act": "silu"}
        for name, only in fixed.items():
            if values.get(name, only) != only:
                raise LlasaError(f"Llama config: {name} is {values[name]!r}; only {only} works.")
        known: dict[str, Any] = dict.fromkeys(_SIZES)
        known |= {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        known["rope_theta"], known["rope_scaling"] = _read_rope(values)
        heads, size = known.get("num_attention_heads"), known.get("hidden_size")
        known["num_key_value_heads"] = known.get("num_key_value_heads") or heads
        if not known.get("head_dim") and isinstance(heads, int) and isinstance(size, int) and heads:
            known["head_dim"] = size // heads
        return cls(**known)

    def to_dict(self) -> dict[str, Any]:
        """A valid Hugging Face ``LlamaForCausalLM`` config."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_act": "silu",
            "attention_bias": False,
            "mlp_bias": False,
            **values,
        }

    def frequencies(self, device: torch.device | None = None) -> Tensor:
        """Radians by which each pair turns from a position to the next, float32 (head_dim / 2,)."""
        import torch

        steps = torch.arange(0, self.head_dim, 2, device=device, dtype=torch.float32)
        frequency = 1.0 / self.rope_theta ** (steps / self.head_dim)
        if self.rope_scaling is None:
            return frequency
        factor, low, high, context = (float(self.rope_scaling[name]) for name in _SCALING)
        # Full turns of each pair within the original context decide: many are kept, few are
        # slowed down by the factor, the rest is blended.
        turns = context * frequency / (2 * math.pi)
        blend = ((turns - low) / (high - low)).clamp(0, 1)
        return (1 - blend) * frequency / factor + blend * frequency

    def rotary(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine tables, float32, shape ``positions.shape + (head_dim,)``."""
        import torch

        angle = positions[..., None].float() * self.frequencies(positions.device)
        angle = torch.cat((angle, angle), dim=-1)
        return angle.cos(), angle.sin()


def _read_rope(values: dict[str, Any]) -> tuple[Any, dict[str, Any] | None]:
    """Base and scaling of the rotary positions; newer configs hold both in rope_parameters."""
    rope = values.get("rope_parameters") or values.get("rope_scaling") or {}
    kind = None
    if isinstance(rope, dict):
        kind = rope.get("rope_type") or rope.get("type") or "default"
        theta = rope.get("rope_theta", values.get("rope_theta", LlamaConfig.rope_theta))
    if kind == "default":
        return theta, None
    if kind != "llama3" or any(not isinstance(rope.get(n), int | float) for n in _SCALING):
        raise LlasaError(
            f"Llama config: rotary rule {rope}; valid are 'default' and 'llama3' with the "
            f"numbers {', '.join(_SCALING)}."
        )
    return theta, {"rope_type": "llama3", **{name: rope[name] for name in _SCALING}}


def read_config(folder: str | Path) -> LlamaConfig:
    """The config of a Llama checkpoint folder; raises LlasaError as `load_llama` does."""
    return LlamaConfig.from_dict(read_json(Path(folder) / CONFIG))

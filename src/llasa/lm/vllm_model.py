"""vLLM's Llama, which gives logits to the allowed ids only.

vLLM's own `allowed_token_ids` is a list with each request; the released models have 65,537 ids,
and its newer model runner takes 1,024.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from vllm import ModelRegistry
from vllm.model_executor.models.llama import LlamaForCausalLM

_NAME = "LlasaForCausalLM"


@dataclass(frozen=True)
class Only:
    """Changes a checkpoint's config so that only these ids come out; for ``hf_overrides``.

    vLLM sends it to its processes, which so import this module and know the model.
    """

    allowed: range
    end: Sequence[int]

    def __call__(self, config: Any) -> Any:
        """The config as vLLM shall see it."""
        config.architectures = [_NAME]
        config.allowed, config.end = [self.allowed.start, self.allowed.stop], [*self.end]
        return config


class LlasaForCausalLM(LlamaForCausalLM):  # type: ignore[misc]
    """Llama whose logits are minus infinity outside the allowed ids."""

    def __init__(self, *, vllm_config: Any, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        forbidden = torch.ones(self.config.vocab_size, dtype=torch.bool)
        forbidden[slice(*self.config.allowed)] = False
        forbidden[self.config.end] = False
        self.register_buffer("forbidden", forbidden, persistent=False)

    def compute_logits(self, hidden_states: Tensor) -> Tensor | None:
        """Logits (tokens, vocabulary); None where another process has them."""
        logits = super().compute_logits(hidden_states)
        return None if logits is None else logits.masked_fill_(self.forbidden, float("-inf"))


ModelRegistry.register_model(_NAME, LlasaForCausalLM)

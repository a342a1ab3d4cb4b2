"""Random checkpoints as Hugging Face writes them, and the same model as its own code runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig as TheirConfig
from transformers import LlamaForCausalLM

from llasa.lm.config import LlamaConfig
from llasa.lm.llama import Llama

VOCABULARY = 120
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 48,
}
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "untied": {"tie_word_embeddings": False},
    "tied": {"tie_word_embeddings": True},
    "grouped": {"num_key_value_heads": 2},
    "wide heads": {"head_dim": 24, "num_key_value_heads": 1},
    "llama3 positions": {"rope_parameters": LLAMA3},
}


def their_model(half: bool = False, **changes: Any) -> LlamaForCausalLM:
    """A random ``LlamaForCausalLM``; ``half``: with weights that float16 holds exactly."""
    torch.manual_seed(3)
    sizes: dict[str, Any] = {
        **SIZES,
        "max_position_embeddings": 256,
        "initializer_range": 0.25,  # large, so that tokens differ and errors show
        "bos_token_id": None,
        "eos_token_id": None,
    }
    model = LlamaForCausalLM(TheirConfig(**sizes | changes)).eval()
    for name, weight in model.named_parameters():
        if "norm" in name:
            torch.nn.init.uniform_(weight, 0.5, 1.5)
        if half:
            weight.data = weight.data.half().float()
    return model


def our_model(seed: int = 0, **changes: Any) -> Llama:
    """A random Llama with large weights."""
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {
        **SIZES,
        "num_key_value_heads": 2,
        "head_dim": 12,
        "max_position_embeddings": 600,
        "rope_theta": 500_000.0,
        "tie_word_embeddings": True,
    }
    model = Llama(LlamaConfig(**sizes | changes)).eval()
    for weight in model.parameters():
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.25)
    return model


def saved(model: LlamaForCausalLM, folder: Path, **options: Any) -> Path:
    """Write a checkpoint with transformers."""
    model.save_pretrained(folder, **options)
    return folder


def prompt(length: int, seed: int = 0) -> list[int]:
    """Random token ids."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, VOCABULARY, (length,), generator=generator).tolist()

"""What a training of a language model takes: memory of each process, tokens a second, days.

Arithmetic from the sizes alone. Weights, gradients and optimizer are exact to some bytes;
activations and speed are estimates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from llasa.base.errors import LlasaError
from llasa.base.names import check_choice, number, whole
from llasa.lm.config import LlamaConfig
from llasa.lm.llama import Llama
from llasa.models.find import find_lm
from llasa.training.lm.objective import LOSS_POSITIONS, MOST_LOGITS
from llasa.training.lm.settings import LMTraining
from llasa.vocabulary.tokenizer import TOKENIZER_FILE
from llasa.vocabulary.vocabulary import Vocabulary

RELEASED_IDS = 193_800
"""Ids of the released models: those of Llama 3, 8 control tokens and 65,536 codes."""
FRAME_RATE = 50
"""Codes of a second of speech."""
_FLOAT32 = 4


class GPU(NamedTuple):
    """What a GPU can do: bfloat16 operations a second without sparsity, and bytes of memory."""

    peak: float
    memory: float


GPUS = {
    "h100": GPU(989e12, 80e9),
    "h200": GPU(989e12, 141e9),
    "a100": GPU(312e12, 80e9),
    "a100-40": GPU(312e12, 40e9),
    "l40s": GPU(362e12, 48e9),
    "rtx4090": GPU(165e12, 24e9),
}
"""As their makers state them."""


@dataclass(frozen=True)
class Plan:
    """Bytes of one process by what they hold, and the time of the whole run."""

    parameters: int
    shard: int
    """Processes over which one copy of the model is spread."""
    passes: int
    """Batches of each process in a step."""
    memory: dict[str, int]
    available: float
    tokens_per_step: int
    flops_per_token: float
    tokens_per_second: float
    tokens: float
    """Of the whole run; 0 where it is not known how much data there is."""

    @property
    def fits(self) -> bool:
        return sum(self.memory.values()) <= self.available

    @property
    def days(self) -> float:
        return self.tokens / self.tokens_per_second / 86_400

    @property
    def steps(self) -> int:
        return math.ceil(self.tokens / self.tokens_per_step)


def make_plan(
    settings: LMTraining,
    gpus: int,
    gpu: str = "h100",
    mfu: float = 0.4,
    hours: float | None = None,
) -> Plan:
    """What a run of these settings takes.

    Args:
        gpus: processes, each with a GPU.
        mfu: share of the GPU's peak that is used; 0.2 is poor, 0.45 good.
        hours: speech of the training data; default, what `run.steps` learns from.

    Raises:
        LlasaError: the sizes of the model are not known, or processes cannot be dealt out.
    """
    whole("--gpus", gpus)
    number("--mfu", mfu, 0, 1, above=True)
    check_choice(gpu, GPUS, "--gpu")
    config = planned_config(settings)
    shard = settings.parallel.shard or gpus
    if gpus % shard:
        raise LlasaError(f"Setting parallel.shard is {shard}, which does not divide {gpus} GPUs.")
    sizes = _sizes(config)
    parameters = sum(sizes.values())
    data = settings.data
    parts = settings.optimizer.accumulate * gpus
    if data.global_tokens:
        parts = max(1, round(data.global_tokens / data.tokens))
    flops = flops_per_token(config, data.max_tokens / 2)
    per_step = parts * data.tokens
    if hours is None:
        tokens = float(per_step * settings.run.steps)
    else:
        epochs = data.epochs or 1.0
        tokens = hours * 3600 * FRAME_RATE * data.tokens_per_code * epochs
    passes = -(-parts // gpus)
    return Plan(
        parameters=parameters,
        shard=shard,
        passes=passes,
        memory=_memory(settings, config, shard, passes),
        available=GPUS[gpu].memory,
        tokens_per_step=per_step,
        flops_per_token=flops,
        tokens_per_second=gpus * GPUS[gpu].peak * mfu / flops,
        tokens=tokens,
    )


def planned_config(settings: LMTraining) -> LlamaConfig:
    """Sizes of the model of these settings: those that they give, else those of ``init``."""
    from llasa.lm.config import read_config

    folder = find_lm(settings.vocabulary)
    ids = Vocabulary.load(folder).size if (folder / TOKENIZER_FILE).exists() else RELEASED_IDS
    sizes = {"vocab_size": ids, **settings.model}
    if settings.model:
        return LlamaConfig.from_dict({"model_type": "llama", **sizes})
    if settings.init is None or not Path(find_lm(settings.init)).is_dir():
        raise LlasaError(
            "The sizes of the model are not known: give model.hidden_size and the others, or init, "
            "a folder that is here."
        )
    return LlamaConfig.from_dict({**read_config(find_lm(settings.init)).to_dict(), **sizes})


def flops_per_token(config: LlamaConfig, context: float) -> float:
    """Floating-point operations of a token, forward and back (Kaplan et al. 2020, section 2.1).

    Six for each weight, with those of embedding and head counted once, and twelve for each
    channel of the queries and each token in sight, on average ``context``.
    """
    weights = sum(_sizes(config).values())
    if not config.tie_word_embeddings:
        weights -= config.vocab_size * config.hidden_size  # a look-up multiplies nothing
    channels = config.num_hidden_layers * config.num_attention_heads * config.head_dim
    return 6.0 * weights + 12.0 * channels * context


def _sizes(config: LlamaConfig) -> dict[str, int]:
    """Elements of each parameter."""
    with torch.device("meta"):
        return {name: value.numel() for name, value in Llama(config).named_parameters()}


def _memory(settings: LMTraining, config: LlamaConfig, shard: int, passes: int) -> dict[str, int]:
    sizes = _sizes(config)
    everything = sum(sizes.values())
    in_layers = {name: size for name, size in sizes.items() if ".layers." in name}
    matrices = sum(size for name, size in in_layers.items() if not name.endswith("norm.weight"))
    matrices *= settings.optimizer.muon
    moments = matrices + 2 * (everything - matrices)
    share = _FLOAT32 * everything // shard
    low = 2 if settings.run.bf16 else _FLOAT32
    root = everything - sum(in_layers.values())
    layer = sum(in_layers.values()) // config.num_hidden_layers
    memory = {"weights": share, "gradients": share, "optimizer": _FLOAT32 * moments // shard}
    if shard > 1:
        # Of the layer at work and the next; embedding and head stay from forward to backward.
        memory["gathered weights"] = low * (root + 2 * layer) + low * root
        if passes > 1 and settings.parallel.sync == "last":
            memory["gradients of accumulated batches"] = _FLOAT32 * everything
    memory["activations, about"] = _activations(settings, config, low)
    memory["logits, about"] = _logits(settings, config, low)
    return memory


def _activations(settings: LMTraining, config: LlamaConfig, low: int) -> int:
    positions, size, mlp = settings.data.tokens, config.hidden_size, config.intermediate_size
    heads = (config.num_attention_heads + 2 * config.num_key_value_heads) * config.head_dim
    # Input and norm of both halves, queries, keys and values, what attention gives, and three of
    # the feed-forward part.
    inside = positions * low * (4 * size + 2 * heads + 3 * mlp)
    layers = config.num_hidden_layers
    if settings.checkpointing:
        return layers * positions * size * low + inside
    return layers * inside


def _logits(settings: LMTraining, config: LlamaConfig, low: int) -> int:
    most = LOSS_POSITIONS if settings.checkpointing else MOST_LOGITS // config.vocab_size
    positions = min(settings.data.tokens, most)
    return positions * config.vocab_size * (low + 2 * _FLOAT32)

"""Plain weights of a model that is sharded, written by all processes, each its own files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from llasa.base.files import CONFIG, write_json
from llasa.base.weights import WEIGHTS, State, check_finite
from llasa.lm.checkpoint import INDEX
from llasa.lm.config import LlamaConfig
from llasa.lm.llama import Llama
from llasa.training.lm.sharding import full
from llasa.training.workers import Workers

LEAST = 1 << 30
"""Bytes up to which all weights go into one file."""


def write_sharded(
    folder: Path,
    config: LlamaConfig,
    state: Mapping[str, Tensor],
    plain: Callable[[State], State],
    workers: Workers,
) -> None:
    """Write ``config.json`` and safetensors, float32; all processes call it together.

    Parameters are gathered one module at a time, and each process keeps those of its own file: that
    takes memory for no more than a few shares of the weights.

    Args:
        state: the sharded weights, by name.
        plain: makes the weights of a plain Llama from those of one module.
    """
    with torch.device("meta"):
        sizes = {k: v.numel() * 4 for k, v in Llama(config).state_dict().items()}
    modules: dict[str, list[str]] = defaultdict(list)
    for name in state:
        modules[_module(name)].append(name)
    files = _files({module: sizes[f"{module}.weight"] for module in modules}, workers.world)
    own: dict[str, State] = {}
    for number, file in enumerate(files):
        for module in file:
            whole = {name: full(state[name]) for name in modules[module]}
            if number % workers.world == workers.rank:
                made = {k: v.detach().cpu().contiguous() for k, v in plain(whole).items()}
                own.setdefault(_name(number, len(files)), {}).update(made)
    # From here on no process waits for another, so that one may fail alone.
    for file_name, tensors in own.items():
        check_finite(tensors, "The model")
        save_file(tensors, folder / file_name, metadata={"format": "pt"})
    if workers.rank == 0:
        write_json(folder / CONFIG, config.to_dict())
        if len(files) > 1:
            names = {
                f"{module}.weight": _name(number, len(files))
                for number, file in enumerate(files)
                for module in file
            }
            total = {"total_size": sum(sizes.values())}
            write_json(folder / INDEX, {"metadata": total, "weight_map": names})


def _module(name: str) -> str:
    """Module of a weight: adapters and shared parts belong to the one that they change."""
    for end in (".parametrizations.weight", ".lora_A", ".lora_B", ".weight"):
        if end in name:
            return name[: name.index(end)]
    return name


def _files(sizes: Mapping[str, int], count: int) -> list[list[str]]:
    """Modules of each file, in order."""
    most = max(LEAST, 2 * -(-sum(sizes.values()) // count))  # so that there are about `count`
    files: list[list[str]] = [[]]
    used = 0
    for module, size in sizes.items():
        if files[-1] and used + size > most:
            files.append([])
            used = 0
        files[-1].append(module)
        used += size
    return files


def _name(number: int, count: int) -> str:
    return WEIGHTS if count == 1 else f"model-{number + 1:05d}-of-{count:05d}.safetensors"

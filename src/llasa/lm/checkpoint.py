"""Llama checkpoints on disk: folders with ``config.json`` and safetensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from llasa.base.errors import LlasaError
from llasa.base.files import read_json
from llasa.base.weights import (
    CONFIG,
    WEIGHTS,
    check_finite,
    read_tensors,
    weights_to_save,
    write_checkpoint,
)
from llasa.lm.config import read_config
from llasa.lm.llama import Llama
from llasa.lm.lora import with_adapter

INDEX = "model.safetensors.index.json"


def load_llama(
    folder: str | Path,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
) -> Llama:
    """Load a Llama checkpoint folder (``config.json`` and safetensors, one file or sharded).

    An ``lm_head.weight`` beside tied embeddings is dropped when equal to them; when it differs,
    the model becomes untied (as in Hugging Face). A LoRA adapter of PEFT in the folder is merged
    into the weights. Raises LlasaError for a folder that is not a whole, undamaged Llama
    checkpoint.
    """
    folder = Path(folder)
    config = read_config(folder)
    state = {
        name: tensor.to(device=device, dtype=dtype)
        for name, tensor in _tensors(folder)
        if not name.endswith("rotary_emb.inv_freq")
    }
    if config.tie_word_embeddings and "lm_head.weight" in state:
        embedding = state.get("model.embed_tokens.weight")
        if embedding is None or torch.equal(state["lm_head.weight"], embedding):
            del state["lm_head.weight"]
        else:
            config = replace(config, tie_word_embeddings=False)
    if config.num_hidden_layers > len(state):
        raise LlasaError(
            f"{folder}: config.json asks for {config.num_hidden_layers} layers, but the weights "
            f"have {len(state)} tensors in all; they are incomplete or of another model."
        )
    with torch.device("meta"):
        model = Llama(config)
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    for name in sorted(expected.keys() | state.keys()):
        found = tuple(state[name].shape) if name in state else "absent"
        due = expected.get(name, "no such tensor")
        if found != due:
            raise LlasaError(
                f"{folder}: {name} is {found} but config.json asks for {due}; "
                "the weights are incomplete or of another model."
            )
    state = with_adapter(state, folder)
    check_finite(state, str(folder))
    model.load_state_dict(state, assign=True)
    return model.eval()


def stored_dtype(folder: str | Path) -> torch.dtype:
    """Precision of the weights of a checkpoint folder; `load_llama` keeps it when it is given."""
    return next(_tensors(Path(folder)))[1].dtype


def save_llama(model: Llama, folder: str | Path, half: bool = False) -> None:
    """Write ``config.json`` and ``model.safetensors`` (float16 with ``half``), each atomically."""
    state = weights_to_save(model, half)
    write_checkpoint(Path(folder), state, {CONFIG: model.config.to_dict()})


def _tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Every (name, tensor) of a checkpoint's single file or shards."""
    files = [WEIGHTS]
    if not (folder / WEIGHTS).exists() and (folder / INDEX).exists():
        shards = read_json(folder / INDEX).get("weight_map")
        if not isinstance(shards, dict) or not shards:
            raise LlasaError(f"{folder / INDEX} has no weight_map; the file is damaged.")
        files = sorted({Path(str(name)).name for name in shards.values()})
    for file in files:
        yield from read_tensors(folder / file)

"""Llama checkpoints on disk: folders with ``config.json`` and safetensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    tensor_names,
    tensor_rows,
    tensor_shape,
    weights_to_save,
    write_checkpoint,
)
from llasa.lm.config import LlamaConfig, read_config
from llasa.lm.llama import Llama
from llasa.lm.lora import ADAPTER_CONFIG, with_adapter

INDEX = "model.safetensors.index.json"
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
ROWS_AT_ONCE = 4096
"""Rows of a tensor that are compared together."""


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
    model = _empty(folder, config, {name: tuple(tensor.shape) for name, tensor in state.items()})
    state = with_adapter(state, folder)
    check_finite(state, str(folder))
    model.load_state_dict(state, assign=True)
    return model.eval()


class LlamaRows:
    """The weights of a checkpoint folder as float32, of which no more is read than is asked for.

    For many processes that each need some rows of every tensor. Raises LlasaError as `load_llama`
    does; values that are not finite are for the caller to find.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self.config = read_config(self._folder)
        """As `load_llama` has it."""
        self._merged: dict[str, Tensor] | None = None
        if (self._folder / ADAPTER_CONFIG).exists():  # to be merged: small, as adapters are made
            model = load_llama(self._folder)
            self.config, self._merged = model.config, model.state_dict()
            return
        found = {name: path for path in _files(self._folder) for name in tensor_names(path)}
        self._paths = {n: p for n, p in found.items() if not n.endswith("rotary_emb.inv_freq")}
        shapes = {name: tensor_shape(path, name) for name, path in self._paths.items()}
        if self.config.tie_word_embeddings and HEAD in shapes:
            if self._equal(HEAD, EMBEDDING, shapes):
                del shapes[HEAD]
            else:
                self.config = replace(self.config, tie_word_embeddings=False)
        _empty(self._folder, self.config, shapes)

    def _equal(self, one: str, other: str, shapes: dict[str, tuple[int, ...]]) -> bool:
        """Whether two tensors are the same, read in parts."""
        if other not in shapes or shapes[one] != shapes[other]:
            return other not in shapes
        parts = (slice(at, at + ROWS_AT_ONCE) for at in range(0, shapes[one][0], ROWS_AT_ONCE))
        return all(torch.equal(self.rows(one, part), self.rows(other, part)) for part in parts)

    def rows(self, name: str, part: slice) -> Tensor:
        """Some rows of a tensor, in memory of their own."""
        if self._merged is not None:
            return self._merged[name][part].clone()
        return tensor_rows(self._paths[name], name, part).to(torch.float32, copy=True)


def stored_dtype(folder: str | Path) -> torch.dtype:
    """Precision of the weights of a checkpoint folder; `load_llama` keeps it when it is given."""
    return next(_tensors(Path(folder)))[1].dtype


def save_llama(model: Llama, folder: str | Path, half: bool = False) -> None:
    """Write ``config.json`` and ``model.safetensors`` (float16 with ``half``), each atomically."""
    state = weights_to_save(model, half)
    write_checkpoint(Path(folder), state, {CONFIG: model.config.to_dict()})


def _empty(folder: Path, config: LlamaConfig, shapes: Mapping[str, tuple[int, ...]]) -> Llama:
    """The network on the device "meta"; LlasaError unless the weights have its shapes."""
    if config.num_hidden_layers > len(shapes):
        raise LlasaError(
            f"{folder}: config.json asks for {config.num_hidden_layers} layers, but the weights "
            f"have {len(shapes)} tensors in all; they are incomplete or of another model."
        )
    with torch.device("meta"):
        model = Llama(config)
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    for name in sorted(expected.keys() | shapes.keys()):
        found = shapes.get(name, "absent")
        due = expected.get(name, "no such tensor")
        if found != due:
            raise LlasaError(
                f"{folder}: {name} is {found} but config.json asks for {due}; "
                "the weights are incomplete or of another model."
            )
    return model


def _tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Every (name, tensor) of a checkpoint's single file or shards."""
    for path in _files(folder):
        yield from read_tensors(path)


def _files(folder: Path) -> list[Path]:
    """The single file of weights, or its shards."""
    files = [WEIGHTS]
    if not (folder / WEIGHTS).exists() and (folder / INDEX).exists():
        shards = read_json(folder / INDEX).get("weight_map")
        if not isinstance(shards, dict) or not shards:
            raise LlasaError(f"{folder / INDEX} has no weight_map; the file is damaged.")
        files = sorted({Path(str(name)).name for name in shards.values()})
    return [folder / file for file in files]

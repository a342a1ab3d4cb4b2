"""Checkpoint folders: JSON settings beside safetensors weights, read and written whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from llasa.base import jsonl
from llasa.base.errors import LlasaError
from llasa.base.files import CONFIG as CONFIG
from llasa.base.files import atomic_path

WEIGHTS = "model.safetensors"
State = dict[str, Tensor]


def read_tensors(path: Path) -> Iterator[tuple[str, Tensor]]:
    """Names and tensors of a safetensors file, one at a time; `LlasaError` if it is damaged."""
    with _opened(path) as file:
        for name in file.keys():  # noqa: SIM118 (not a dict)
            yield name, file.get_tensor(name)


def tensor_names(path: Path) -> list[str]:
    """Names of the tensors of a safetensors file; `LlasaError` if it is damaged."""
    with _opened(path) as file:
        return list(file.keys())


def tensor_shape(path: Path, name: str) -> tuple[int, ...]:
    """Shape of a tensor of a safetensors file, which is not read."""
    with _opened(path) as file:
        return tuple(file.get_slice(name).get_shape())


def tensor_rows(path: Path, name: str, part: slice) -> Tensor:
    """Some rows of a tensor of a safetensors file; nothing else is read."""
    with _opened(path) as file:
        rows: Tensor = file.get_slice(name)[part]
        return rows


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise LlasaError(f"{path} does not exist.")
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (OSError, SafetensorError) as error:
        raise LlasaError(
            f"{path} is damaged or cut off ({error}): copy or download it again."
        ) from error


def check_finite(state: Mapping[str, Tensor], owner: str) -> None:
    """`LlasaError` where a weight is not a finite number."""
    for name, tensor in state.items():
        if not tensor.sum(dtype=torch.float32).isfinite():
            raise LlasaError(f"{owner} holds NaN or infinite values in {name}.")


def weights_to_save(model: nn.Module, half: bool) -> State:
    """The weights of a model, in float16 with `half`; `LlasaError` where one is not finite."""
    state = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    if half:
        state = {name: tensor.half() for name, tensor in state.items()}
    check_finite(state, "The model" + (" as float16" if half else ""))
    return state


def write_checkpoint(
    folder: Path, state: State, files: Mapping[str, Mapping[str, Any]], name: str = WEIGHTS
) -> None:
    """Write the weights and the JSON files, each whole or not at all; makes the folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:  # every file is complete before the first one is renamed
            for file, values in files.items():
                path = stack.enter_context(atomic_path(folder / file))
                path.write_bytes(jsonl.render(values, 2))
            weights = stack.enter_context(atomic_path(folder / name))
            contiguous = {key: tensor.contiguous() for key, tensor in state.items()}
            weights.touch()
            mode = weights.stat().st_mode
            save_file(contiguous, weights, metadata={"format": "pt"})
            weights.chmod(mode)  # safetensors leaves it readable by the owner alone
    except (OSError, SafetensorError) as error:
        raise LlasaError(f"{folder} cannot be written: {error}.") from error

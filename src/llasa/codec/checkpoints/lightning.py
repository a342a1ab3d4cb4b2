"""The original training checkpoint of X-codec2, a file of PyTorch Lightning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from llasa.base.errors import LlasaError, first_line
from llasa.base.weights import State
from llasa.codec.checkpoints.released import RELEASED_PREFIXES


def read_lightning(path: Path) -> State:
    """Tensors of the codec in a Lightning checkpoint (``state_dict`` of the released trainer).

    Only tensors are read: other objects in the file become empty placeholders and no code of the
    file runs. Training-only parts (discriminators, semantic decoder, ...) are skipped. Raises
    `LlasaError` for another or a damaged file.
    """
    try:
        foreign = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        placeholders: list[Any] = [(_Placeholder, name) for name in foreign]
        with torch.serialization.safe_globals(placeholders):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        found = checkpoint["state_dict"].items()
        return {key: value for key, value in found if key.startswith(RELEASED_PREFIXES)}
    except Exception as error:  # unpickling damaged bytes can raise anything
        raise LlasaError(
            f"{path} is not a readable Lightning checkpoint: {first_line(error)}."
        ) from error


class _Placeholder:
    """Stands for an object of the training code inside a checkpoint; holds nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, _: Any) -> None:
        pass

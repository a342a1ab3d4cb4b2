"""Reading of sharded checkpoints that runs no code which a file brings along.

torch.distributed.checkpoint (torch 2.13) unpickles its index and all that is not a tensor without
limits. These read the same files by the few classes that it writes.
"""

from __future__ import annotations

import pickle
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta
from torch.distributed.checkpoint.planner import ReadItem

_METADATA = "torch.distributed.checkpoint.metadata"
_ALLOWED = {
    *((_METADATA, name) for name in ("Metadata", "MetadataIndex", "StorageMeta")),
    *((_METADATA, name) for name in ("TensorStorageMetadata", "BytesStorageMetadata")),
    *((_METADATA, name) for name in ("ChunkStorageMetadata", "TensorProperties")),
    (_METADATA, "_MEM_FORMAT_ENCODING"),
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
    ("torch", "Size"),
    ("torch.serialization", "_get_layout"),
    ("pathlib", "PosixPath"),
    ("pathlib", "WindowsPath"),
    ("pathlib._local", "PosixPath"),
    ("pathlib._local", "WindowsPath"),
}
"""What an index consists of, beside types of numbers."""


class Reader(FileSystemReader):
    """Reads a folder; its index may name nothing but the classes of an index."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._folder = folder

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """The index of the folder; `UnpicklingError` where it is something else."""
        with (self._folder / ".metadata").open("rb") as file:
            found = _Unpickler(file).load()
        if not isinstance(found, Metadata):
            raise pickle.UnpicklingError("its index is none")
        found.storage_meta = StorageMeta(load_id=self.load_id)
        return found


class Planner(DefaultLoadPlanner):
    """Reads what is no tensor, such as rates of an optimizer, only if it is numbers and lists."""

    def load_bytes(self, read_item: ReadItem, value: BytesIO) -> None:
        """Hand on what is in a file; `UnpicklingError` where it is more than plain values."""
        found = torch.load(value, map_location="cpu", weights_only=True)
        checked = BytesIO()  # what was read, and not the file, for torch to read without limits
        torch.save(found, checked)
        checked.seek(0)
        super().load_bytes(read_item, checked)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ALLOWED:
            return super().find_class(module, name)
        if module == "torch" and isinstance(found := getattr(torch, name, None), torch.dtype):
            return found
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no checkpoint holds")

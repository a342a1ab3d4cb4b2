"""Codec checkpoints on disk: four layouts in, two out (ours and Transformers')."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from llasa.base.errors import LlasaError, first_line
from llasa.base.files import read_json
from llasa.base.names import check_choice
from llasa.base.packages import require
from llasa.base.weights import (
    CONFIG,
    WEIGHTS,
    State,
    check_finite,
    read_tensors,
    weights_to_save,
    write_checkpoint,
)
from llasa.codec.checkpoints.lightning import read_lightning
from llasa.codec.checkpoints.names import module_names, rename
from llasa.codec.checkpoints.released import from_released
from llasa.codec.checkpoints.transformers import (
    NEUCODEC,
    from_transformers,
    port_name,
    to_transformers,
)
from llasa.codec.config import CodecConfig
from llasa.codec.features import MELS
from llasa.codec.model import CodecModel, current_names

MODEL_TYPE = "llasa-codec"
LAYOUTS = ("llasa", "transformers")
_SHOWN = 3
"""Names of tensors that an error lists."""


def load_model(folder: Path) -> CodecModel:
    """Read a codec folder in our, the released or the Transformers layout, as float32 on CPU.

    Raises `LlasaError` for missing, damaged or foreign files; says which.
    """
    settings, tensors = read_json(folder / CONFIG), dict(read_tensors(folder / WEIGHTS))
    kind = settings.get("model_type")
    if kind == MODEL_TYPE:
        try:
            config = CodecConfig.from_dict(settings["codec"])
        except (KeyError, TypeError, ValueError) as error:
            raise LlasaError(
                f"{folder / CONFIG} is damaged: its codec settings are wrong ({first_line(error)})."
            ) from error
        return _build(config, current_names(tensors), folder, {})
    if kind not in ("xcodec2", "xcodec", NEUCODEC):
        raise LlasaError(
            f"{folder / CONFIG} has model_type {kind!r}; a codec has {MODEL_TYPE!r}, 'xcodec2' or "
            f"{NEUCODEC!r}."
        )
    if any(key.startswith("CodecEnc.") for key in tensors):
        return _load_released(tensors, folder, settings)
    require("transformers")
    try:
        config, state = from_transformers(settings, tensors)
    except KeyError as error:
        raise _missing(folder, error) from error
    except (TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise LlasaError(f"{folder} cannot be read as a model of type {kind}: {error}.") from error
    return _build(config, state, folder, {ours: port for ours, _, port in module_names(config)})


def load_lightning(file: str | Path) -> CodecModel:
    """Read the original Lightning training checkpoint, see `read_lightning`."""
    path = Path(file)
    return _load_released(read_lightning(path), path, {})


def save_model(model: CodecModel, folder: Path, layout: str, half: bool) -> None:
    """Write config.json and model.safetensors, see `Codec.save`; each whole or not at all."""
    check_choice(layout, LAYOUTS, "layout")
    state = weights_to_save(model, half)
    own = {"model_type": MODEL_TYPE, "codec": asdict(model.config)}
    files: dict[str, dict[str, Any]] = {CONFIG: own}
    if layout == "transformers":
        files[CONFIG], state = to_transformers(model.config, state)
        files["preprocessor_config.json"] = {
            "feature_extractor_type": f"{port_name(model.config)}FeatureExtractor",
            "feature_size": MELS,
            "hop_length": model.config.input_hop,
            "padding_value": 1.0,
            "sampling_rate": model.config.input_rate,
        }
    write_checkpoint(folder, state, files)


def _load_released(tensors: State, path: Path, settings: dict[str, Any]) -> CodecModel:
    try:
        config, state = from_released(tensors)
    except KeyError as error:
        raise _missing(path, error) from error
    except (IndexError, RuntimeError) as error:
        raise LlasaError(f"{path} holds a tensor of impossible shape: {error}.") from error
    stated = {
        "semantic_hidden_size": config.semantic.size,
        "codec_encoder_hidden_size": config.acoustic_size,
        "codec_decoder_hidden_size": config.decoder_size,
    }
    for name, size in stated.items():
        if settings.get(name, size) != size:
            raise LlasaError(f"{path}: {name} is {settings[name]}, but the weights have {size}.")
    return _build(config, state, path, {ours: theirs for ours, theirs, _ in module_names(config)})


def _build(config: CodecConfig, state: State, path: Path, names: dict[str, str]) -> CodecModel:
    """Build the network and load ``state``; errors use the file's module names from ``names``."""
    if (layers := max(config.decoder_layers, config.semantic.layers)) > len(state):
        raise LlasaError(
            f"{path} asks for {layers} layers, but its weights have {len(state)} tensors in all."
        )
    try:
        with torch.device("meta"):  # random weights would take a minute at released size
            model = CodecModel(config)
    except LlasaError:
        raise
    except Exception as error:  # Transformers, too, checks what is in `extra`
        raise LlasaError(f"{path} describes an impossible codec: {first_line(error)}.") from error
    expected = model.state_dict()
    problems = [
        *_list("lacks", (rename(key, names) for key in expected.keys() - state.keys())),
        *_list("has unknown", (rename(key, names) for key in state.keys() - expected.keys())),
    ]
    if problems:
        raise LlasaError(f"{path} does not fit an X-codec2: it {' and '.join(problems)}.")
    for key, tensor in state.items():
        if tensor.shape != expected[key].shape:
            raise LlasaError(
                f"{path}: {rename(key, names)} has shape {tuple(tensor.shape)}, "
                f"expected {tuple(expected[key].shape)}."
            )
    state = {key: _aligned(tensor.float().contiguous()) for key, tensor in state.items()}
    check_finite(state, str(path))
    model.load_state_dict(state, assign=True)
    return model


def _aligned(tensor: Tensor) -> Tensor:
    """The tensor in aligned memory, where matrix products round as they do in a new model. Tensors
    of a file are memory-mapped at places that depend on the tensors before them.
    """
    return tensor if tensor.data_ptr() % 64 == 0 else tensor.clone()


def _list(verb: str, keys: Iterable[str]) -> list[str]:
    """One clause that names the first few keys; nothing if there are none."""
    ordered = sorted(keys)
    more = f" and {len(ordered) - _SHOWN} more" if len(ordered) > _SHOWN else ""
    return [f"{verb} {', '.join(ordered[:_SHOWN])}{more}"] if ordered else []


def _missing(path: Path, error: KeyError) -> LlasaError:
    return LlasaError(f"{path} does not fit an X-codec2: it lacks {error.args[0]}.")

"""A model as ONNX: a model folder that speaks with onnxruntime and without PyTorch."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from llasa.base.errors import LlasaError
from llasa.base.files import CONFIG, write_json
from llasa.base.packages import require
from llasa.codec.checkpoints.folder import MODEL_TYPE as CODEC_TYPE
from llasa.codec.codec import Codec
from llasa.codec.model import CodecModel
from llasa.codec.onnx import DECODER, ENCODER, IDS, SPEAKER
from llasa.lm.checkpoint import load_llama
from llasa.lm.llama import Llama
from llasa.lm.onnx import MODEL
from llasa.models.export.codec_graph import DecoderGraph, EncoderGraph, SpeakerGraph, exportable
from llasa.models.export.lm_graph import OPSET, llama_graph
from llasa.models.export.source import new_folder
from llasa.models.folder import DESCRIPTOR, MODEL_TYPE, ModelFiles
from llasa.vocabulary.vocabulary import Vocabulary

_LARGEST = 2 << 30
"""Bytes of an ONNX file."""
Axes = Mapping[str, Mapping[int, str]]


def export_onnx(files: ModelFiles, out: str | Path) -> Path:
    """Write a model folder whose language model and codec are ONNX graphs, and its voices.

    `Llasa.load(out, engine="onnx")` speaks with it. Weights that float16 holds exactly are stored
    in it. Raises `LlasaError` if there is no such model, it is too large for one file, or `out`
    exists.
    """
    vocabulary, llama = Vocabulary.load(files.lm), load_llama(files.lm)
    size = 4 * sum(weight.numel() for weight in llama.parameters())
    if size > _LARGEST:
        raise LlasaError(
            f"The language model has {size / 1e9:.1f} GB of float32 weights, and an ONNX file "
            "holds 2: export it with gguf or hf."
        )
    sound = Codec.load(files.codec, "cpu")
    with new_folder(out) as folder:
        lm, codes = folder / "lm", folder / "codec"
        vocabulary.save(lm)
        write_json(lm / CONFIG, llama.config.to_dict())
        heads = files.settings.alignment
        write_llama(llama, lm / MODEL, None if heads is None else heads.layer)
        codes.mkdir()
        write_json(codes / CONFIG, {"model_type": CODEC_TYPE, "codec": asdict(sound.model.config)})
        ids = {"id": sound.id, "speaker_encoder_id": sound.speaker_encoder_id, "opset": OPSET}
        write_json(codes / IDS, ids)
        write_codec(sound.model, codes)
        (folder / "voices").mkdir()
        for voices in files.voices:
            shutil.copytree(voices, folder / "voices", dirs_exist_ok=True)
        settings = {**asdict(files.settings), "lm": "lm", "codec": "codec"}
        write_json(folder / DESCRIPTOR, {"model_type": MODEL_TYPE, **settings})
        (folder / "README.md").write_text(files.card(), "utf-8")
    return Path(out)


def write_llama(llama: Llama, path: Path, reader: int | None = None) -> None:
    """The graph of a language model, which also gives the queries of a layer; see `llama_graph`."""
    model = llama_graph(llama, reader)
    _halve(model)
    require("onnx").save(model, path)


def write_codec(model: CodecModel, folder: Path) -> None:
    """The graphs of a codec; see `EncoderGraph`, `DecoderGraph` and `SpeakerGraph`."""
    config, graph = model.config, exportable(model)
    heard, said, frames = {"waveform": {1: "samples"}}, {"codes": {1: "frames"}}, 12
    waveform = torch.linspace(-0.5, 0.5, frames * config.input_hop)[None].sin()
    _write(
        EncoderGraph(graph), (waveform,), folder / ENCODER, ["waveform"], ["codes"], heard | said
    )
    if config.speaker_size:
        _write(
            SpeakerGraph(graph), (waveform,), folder / SPEAKER, ["waveform"], ["embedding"], heard
        )
    write_decoder(model, folder / DECODER)


def write_decoder(model: CodecModel, path: Path) -> None:
    """The graph of a codec's decoder; see `DecoderGraph`."""
    config, axes = model.config, {"codes": {1: "frames"}, "waveform": {1: "samples"}}
    example: dict[str, Tensor] = {"codes": torch.zeros(1, 12, dtype=torch.int64)}
    outputs = ["waveform"]
    if config.speaker_size:
        example["embedding"] = torch.zeros(1, config.speaker_size)
    if config.decoder_head == "harmonic":
        example |= {name: torch.tensor([1]) for name in ("at", "stop", "frames")}
        example["cycles"] = torch.tensor([0.25], dtype=torch.float64)
        outputs.append("cycles_at_stop")
    values, names = tuple(example.values()), list(example)
    _write(DecoderGraph(exportable(model)), values, path, names, outputs, axes)


def _write(
    graph: nn.Module,
    example: tuple[Tensor, ...],
    path: Path,
    inputs: Sequence[str],
    outputs: Sequence[str],
    axes: Axes,
) -> None:
    """Trace a graph on an example."""
    require("onnx")
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of shapes that become constants: tests compare others
        torch.onnx.export(
            graph.eval().requires_grad_(False),
            example,
            str(path),
            # The newer exporter takes a hundred times as long for the same graph.
            dynamo=False,
            opset_version=OPSET,
            input_names=inputs,
            output_names=outputs,
            dynamic_axes=axes,
        )
    onnx = require("onnx")
    model = onnx.load(path)
    _halve(model)
    onnx.save(model, path)


def _halve(model: Any) -> None:
    """Store large float32 weights as float16 where that changes none of them."""
    onnx = require("onnx")
    casts = []
    for weight in model.graph.initializer:
        if weight.data_type != onnx.TensorProto.FLOAT or len(weight.raw_data) < 4096:
            continue
        values = onnx.numpy_helper.to_array(weight)
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if not (half == values).all():
            continue
        name, stored = weight.name, f"{weight.name}.half"
        weight.CopyFrom(onnx.numpy_helper.from_array(half, stored))
        cast = onnx.helper.make_node("Cast", [stored], [name], to=onnx.TensorProto.FLOAT)
        casts.append(cast)
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)

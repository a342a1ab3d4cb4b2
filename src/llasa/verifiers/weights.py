"""Checkpoints of PyTorch, read and filled in; encoders whose parts fairseq has named."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llasa.base.errors import LlasaError, first_line
from llasa.base.hub import find_folder
from llasa.base.packages import require

Embeddings = NDArray[np.float32]

_LAYER = r"encoder\.layers\.(\d+)\."
_RENAMED = (
    (r"^feature_extractor\.conv_layers\.(\d+)\.0\.", r"feature_extractor.conv_layers.\1.conv."),
    (
        r"^feature_extractor\.conv_layers\.(\d+)\.2(?:\.1)?\.",
        r"feature_extractor.conv_layers.\1.layer_norm.",
    ),
    (r"^post_extract_proj\.", "feature_projection.projection."),
    (r"^layer_norm\.", "feature_projection.layer_norm."),
    (r"^mask_emb$", "masked_spec_embed"),
    (
        r"^encoder\.pos_conv\.0\.weight_g$",
        "encoder.pos_conv_embed.conv.parametrizations.weight.original0",
    ),
    (
        r"^encoder\.pos_conv\.0\.weight_v$",
        "encoder.pos_conv_embed.conv.parametrizations.weight.original1",
    ),
    (r"^encoder\.pos_conv\.0\.bias$", "encoder.pos_conv_embed.conv.bias"),
    (_LAYER + r"self_attn\.grep_linear\.", r"encoder.layers.\1.attention.gru_rel_pos_linear."),
    (_LAYER + r"self_attn\.grep_a$", r"encoder.layers.\1.attention.gru_rel_pos_const"),
    (
        _LAYER + r"self_attn\.relative_attention_bias\.",
        r"encoder.layers.\1.attention.rel_attn_embed.",
    ),
    (_LAYER + r"self_attn_layer_norm\.", r"encoder.layers.\1.layer_norm."),
    (_LAYER + r"self_attn\.", r"encoder.layers.\1.attention."),
    (_LAYER + r"fc1\.", r"encoder.layers.\1.feed_forward.intermediate_dense."),
    (_LAYER + r"fc2\.", r"encoder.layers.\1.feed_forward.output_dense."),
)
"""What fairseq calls a part, and what Transformers calls it."""
_PRETRAINING = ("quantizer.", "project_q.", "final_proj.", "label_embs_concat", "target_glu.")
"""Parts that only pre-training needs."""


def read_state(path: Path) -> dict[str, Any]:
    """What a checkpoint of PyTorch holds; nothing in it is run."""
    import torch

    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:
        raise LlasaError(f"{path} isn't a checkpoint that can be read: {error}.") from error


def fill(model: Any, state: Mapping[str, Any], path: Path, device: str) -> Any:
    """The network with these weights, ready; `LlasaError` where they are those of another one."""
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise LlasaError(f"{path} holds the weights of another network: {error}.") from error
    return model.to(device).eval()


def unit(vectors: Sequence[Embeddings]) -> Embeddings:
    """Vectors (n, size) of length 1."""
    stacked = np.stack(vectors)
    return stacked / np.linalg.norm(stacked, axis=1, keepdims=True)


def part_of(state: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The weights below a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def from_fairseq(state: Mapping[str, Any], path: Path) -> Any:
    """A wav2vec 2.0 or WavLM encoder of Transformers, with the sizes and weights of fairseq's.

    The kind and all sizes are read off the weights; a base encoder has 64 numbers a head.
    """
    library = require("transformers")
    state = {k: v for k, v in state.items() if not k.startswith(_PRETRAINING)}
    renamed = {_renamed(name): value for name, value in state.items()}
    try:
        config = _config(library, renamed)
    except (KeyError, IndexError) as error:
        raise LlasaError(f"{path} holds no wav2vec 2.0 or WavLM encoder: no {error}.") from error
    kind = library.WavLMModel if config.model_type == "wavlm" else library.Wav2Vec2Model
    return fill(kind(config), renamed, path, "cpu")


def from_transformers(source: str | Path | None, what: str, *classes: str) -> list[Any]:
    """Parts of a model of Transformers, each by its class; `source`: its folder or hub id.

    Raises `LlasaError` where it isn't `what` it should be.
    """
    library, folder = require("transformers"), find_folder(str(source))
    local = {"local_files_only": True, "trust_remote_code": False}
    try:
        return [getattr(library, name).from_pretrained(folder, **local) for name in classes]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = first_line(error)
        raise LlasaError(f"{folder} isn't {what} of Transformers: {reason}.") from error


def _renamed(name: str) -> str:
    for old, new in _RENAMED:
        name = re.sub(old, new, name)
    return name


def _config(library: Any, state: Mapping[str, Any]) -> Any:
    """The sizes that weights, named as in Transformers, belong to."""
    width = state["feature_projection.projection.weight"].shape[0]
    convolutions = [
        state[f"feature_extractor.conv_layers.{i}.conv.weight"].shape
        for i in range(sum(bool(re.search(r"\d\.conv\.weight$", name)) for name in state))
    ]
    layers = {name.split(".")[2] for name in state if name.startswith("encoder.layers.")}
    normed = sum(name.endswith("layer_norm.weight") for name in state if "extractor" in name)
    position = state["encoder.pos_conv_embed.conv.parametrizations.weight.original1"].shape
    deep = normed > 1
    sizes = {
        "hidden_size": width,
        "num_hidden_layers": len(layers),
        "intermediate_size": state["encoder.layers.0.feed_forward.intermediate_dense.bias"].numel(),
        "conv_dim": [shape[0] for shape in convolutions],
        "conv_kernel": [shape[2] for shape in convolutions],
        "conv_stride": [5, *([2] * (len(convolutions) - 1))],
        "conv_bias": "feature_extractor.conv_layers.0.conv.bias" in state,
        "feat_extract_norm": "layer" if deep else "group",
        "do_stable_layer_norm": deep,
        "num_conv_pos_embeddings": position[2],
        "num_conv_pos_embedding_groups": width // position[1],
        "apply_spec_augment": "masked_spec_embed" in state,
        "layerdrop": 0.0,
    }
    bias = state.get("encoder.layers.0.attention.rel_attn_embed.weight")
    if bias is None:
        return library.Wav2Vec2Config(num_attention_heads=max(1, width // 64), **sizes)
    buckets, heads = bias.shape
    return library.WavLMConfig(num_attention_heads=heads, num_buckets=buckets, **sizes)

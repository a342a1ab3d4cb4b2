"""Sizes and weights of the codecs of Transformers, read and written.

These are ``Xcodec2Model`` and, where the decoder speaks at another rate than the encoder hears,
``NeuCodecModel``. Facts: ``transformers.models.xcodec2`` and ``neucodec``.
"""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor

from llasa.audio.audio import SPEECH_RATE
from llasa.base.errors import LlasaError
from llasa.base.packages import require
from llasa.base.weights import State
from llasa.codec.checkpoints.names import module_names, port_layer, rename
from llasa.codec.checkpoints.released import DERIVED
from llasa.codec.config import CodecConfig, SemanticConfig
from llasa.codec.features import MELS, SHIFT

NEUCODEC = "neucodec"
_SEMANTIC_SIZES = {
    "layers": "num_hidden_layers",
    "size": "hidden_size",
    "mlp_size": "intermediate_size",
    "heads": "num_attention_heads",
}
_SIZES = {
    "encoder_channels": "encoder_hidden_size",
    "decoder_size": "hidden_size",
    "decoder_layers": "num_hidden_layers",
    "decoder_heads": "num_attention_heads",
    "decoder_mlp_size": "intermediate_size",
    "dropout": "activation_dropout",
}
_LISTS = {"strides": "downsampling_ratios", "levels": "quantization_levels"}
"""Settings of a codec here and in Transformers."""


def from_transformers(settings: dict[str, Any], tensors: State) -> tuple[CodecConfig, State]:
    """Sizes and weights of an ``Xcodec2Model`` or ``NeuCodecModel`` folder.

    Raises `ValueError` for a setting that this codec does not know, `KeyError` with the name of a
    missing tensor of an attention layer.
    """
    config = _port_config(settings)
    state = {k: v for k, v in tensors.items() if not k.endswith(DERIVED)}
    for i in range(config.decoder_layers):
        q, k, v = (
            state.pop(port_layer(i, f"self_attn.{name}_proj.weight")) for name in ("q", "k", "v")
        )
        q, k = (_swap_pairs(x, config.decoder_heads, to_halves=False) for x in (q, k))
        state[port_layer(i, "self_attn.qkv_proj.weight")] = torch.cat([q, k, v])
    table = {port: ours for ours, _, port in module_names(config)}
    return config, {rename(k, table): v for k, v in state.items()}


def _swap_pairs(weight: Tensor, heads: int, to_halves: bool) -> Tensor:
    """Reorder the rows of each head between interleaved pairs (here) and halves (Transformers)."""
    rows, columns = weight.shape
    shape = (heads, -1, 2, columns) if to_halves else (heads, 2, rows // heads // 2, columns)
    return weight.reshape(shape).transpose(1, 2).reshape(rows, columns)


def _port_config(settings: dict[str, Any]) -> CodecConfig:
    library, neural = require("transformers"), settings.get("model_type") == NEUCODEC
    kind = library.NeuCodecConfig if neural else library.Xcodec2Config
    try:
        port = kind.from_dict(settings)
    except Exception as error:  # its validator has exceptions of its own, of several lines
        raise ValueError(" ".join(str(error).split())) from error
    semantic: dict[str, Any] = port.semantic_model_config.to_dict()  # type: ignore[union-attr]
    heard = "input_sampling_rate" if neural else "sampling_rate"
    required = {
        "num_key_value_heads": (port.num_key_value_heads, port.num_attention_heads),
        "head_dim": (port.head_dim, port.hidden_size // port.num_attention_heads),
        "attention_bias": (port.attention_bias, False),
        "hidden_act": (port.hidden_act, "silu"),
        "rms_norm_eps": (port.rms_norm_eps, 1e-6),
        "quantization_dim": (port.quantization_dim, port.hidden_size + semantic["hidden_size"]),
        heard: (getattr(port, heard), SPEECH_RATE),
        "position_embeddings_type": (semantic["position_embeddings_type"], "relative_key"),
    }
    for name, (given, value) in required.items():
        if given != value:
            raise ValueError(f"{name} is {given!r} in config.json, this codec needs {value!r}")
    ignored = {*_SEMANTIC_SIZES.values(), "feature_projection_input_dim", "output_hidden_size"}
    default = library.Wav2Vec2BertConfig().to_dict()
    extra = {
        name: value
        for name, value in semantic.items()
        if name in default.keys() - ignored and value != default[name]
        if not name.startswith(("mask_", "_"))
    }
    sizes: dict[str, Any] = {ours: getattr(port, theirs) for ours, theirs in _SIZES.items()}
    sizes |= {ours: tuple(getattr(port, theirs)) for ours, theirs in _LISTS.items()}
    return CodecConfig(
        output_rate=port.output_sampling_rate if neural else SPEECH_RATE,
        acoustic_size=port.hidden_size,
        semantic=SemanticConfig(
            **{ours: semantic[theirs] for ours, theirs in _SEMANTIC_SIZES.items()}, extra=extra
        ),
        **sizes,
    )


def port_name(config: CodecConfig) -> str:
    """What the names of the classes of Transformers begin with that hold such a codec."""
    return "Xcodec2" if config.output_rate == config.input_rate else "NeuCodec"


def to_transformers(config: CodecConfig, state: State) -> tuple[dict[str, Any], State]:
    """Settings (config.json) and weights for a class of Transformers, see `port_name`.

    Raises `LlasaError` where the codec has a size or option that the Transformers class lacks.
    """
    required = {
        "semantic.kind": (config.semantic.kind, "w2v-bert"),
        "acoustic_size": (config.acoustic_size, config.decoder_size),
        "hop": (config.input_hop, 320),
        "dilations": (config.dilations, (1, 3, 9)),
        "norm_groups": (config.norm_groups, 32),
        "relu_skip": (config.relu_skip, True),
        "double_bound": (config.double_bound, True),
        "time_rotary": (config.time_rotary, False),
        "decoder_window": (config.decoder_window, 0),
        "decoder_head": (config.decoder_head, "istft"),
        "speaker_size": (config.speaker_size, 0),
    }
    for name, (given, value) in required.items():
        if given != value:
            raise LlasaError(
                f"Transformers' {port_name(config)}Model cannot hold this codec: {name} is "
                f'{given!r} where it needs {value!r}. Save it with layout "llasa".'
            )
    table = {ours: port for ours, _, port in module_names(config)}
    renamed = {rename(k, table): v for k, v in state.items()}
    for i in range(config.decoder_layers):
        fused = renamed.pop(port_layer(i, "self_attn.qkv_proj.weight"))
        q, k, v = fused.chunk(3)
        q, k = (_swap_pairs(x, config.decoder_heads, to_halves=True) for x in (q, k))
        for name, tensor in (("q", q), ("k", k), ("v", v)):
            renamed[port_layer(i, f"self_attn.{name}_proj.weight")] = tensor.clone()
    return _port_settings(config), renamed


def _port_settings(config: CodecConfig) -> dict[str, Any]:
    semantic = {
        "model_type": "wav2vec2-bert",
        **{theirs: getattr(config.semantic, ours) for ours, theirs in _SEMANTIC_SIZES.items()},
        "feature_projection_input_dim": MELS * config.input_hop // SHIFT,
        "mask_time_prob": 0.0,
        **config.semantic.extra,
    }
    name = port_name(config)
    rates = {"sampling_rate": config.input_rate}
    if name == "NeuCodec":
        rates = {
            "input_sampling_rate": config.input_rate,
            "output_sampling_rate": config.output_rate,
        }
    library = require("transformers")
    try:
        kind = getattr(library, f"{name}Config")
    except AttributeError as error:
        raise LlasaError(
            f"Transformers {library.__version__} has no {name}Model, which holds this codec: "
            f'update it, or save with layout "llasa".'
        ) from error
    port = kind(
        architectures=[f"{name}Model"],
        **rates,
        **{theirs: getattr(config, ours) for ours, theirs in _SIZES.items()},
        **{theirs: list(getattr(config, ours)) for ours, theirs in _LISTS.items()},
        semantic_model_config=semantic,
        quantization_dim=config.latent_size,
        num_key_value_heads=config.decoder_heads,
        head_dim=config.decoder_size // config.decoder_heads,
    )
    settings: dict[str, Any] = json.loads(port.to_json_string(use_diff=False))
    return settings

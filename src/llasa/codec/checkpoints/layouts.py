"""Names and sizes of foreign codec checkpoints: the released X-codec2 and its Transformers ports.

These are ``Xcodec2Model`` and, where the decoder speaks at another rate than the encoder hears,
``NeuCodecModel``. Facts: key tables of the released weights and of ``transformers.models.xcodec2``
and ``neucodec``.
"""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor

from llasa.base.errors import LlasaError
from llasa.base.packages import require
from llasa.base.weights import State
from llasa.codec.config import SAMPLE_RATE, CodecConfig, SemanticConfig
from llasa.codec.features import MELS, SHIFT

SEMANTIC_LAYERS = 16  # the released codec reads hidden_states[16] of a 24-layer w2v-BERT
NEUCODEC = "neucodec"
HEAD_SIZE = 64  # fixed by the rotary table of the released decoder
RELEASED_PREFIXES = (
    "CodecEnc.",
    "generator.",
    "SemanticEncoder_module.",
    "semantic_model.",
    "fc_prior.",
    "fc_post_a.",
)
# Rebuilt from the sizes, or used in training only.
_DERIVED = (".filter", ".window", ".levels", ".basis", ".codebook", ".masked_spec_embed")
_PACKAGED_NAMES = {
    ".parametrizations.weight.original0": ".weight_g",
    ".parametrizations.weight.original1": ".weight_v",
    ".act.bias": ".act.beta",
}
_SEMANTIC_SIZES = {
    "layers": "num_hidden_layers",
    "size": "hidden_size",
    "mlp_size": "intermediate_size",
    "heads": "num_attention_heads",
}


def module_names(config: CodecConfig) -> list[tuple[str, str, str]]:
    """Every module with parameters: its name here, in the released file, in Transformers."""
    adapter, backbone = "SemanticEncoder_module", "generator.backbone"
    names = [
        ("semantic.model", "semantic_model", "semantic_encoder"),
        ("adapter.first", f"{adapter}.initial_conv", "semantic_adapter.conv1"),
        ("adapter.conv1", f"{adapter}.residual_blocks.1", "semantic_adapter.conv2"),
        ("adapter.conv2", f"{adapter}.residual_blocks.3", "semantic_adapter.conv3"),
        ("adapter.last", f"{adapter}.final_conv", "semantic_adapter.conv4"),
        ("acoustic.stem", "CodecEnc.conv_blocks.0", "acoustic_encoder.conv1"),
        ("acoustic.act", "CodecEnc.conv_final_block.0.act", "acoustic_encoder.snake1.act"),
        ("acoustic.tail", "CodecEnc.conv_final_block.1", "acoustic_encoder.conv2"),
        ("fuse", "fc_prior", "fc_encoder"),
        ("quantizer", "generator.quantizer", "quantizer"),
        ("decoder.fuse", "fc_post_a", "acoustic_decoder.fc"),
        ("decoder.embed", f"{backbone}.embed", "acoustic_decoder.embed"),
        ("decoder.before", f"{backbone}.prior_net", "acoustic_decoder.prior_net"),
        ("decoder.after", f"{backbone}.post_net", "acoustic_decoder.post_net"),
        ("decoder.norm", f"{backbone}.final_layer_norm", "acoustic_decoder.norm"),
        ("decoder.head.linear", "generator.head.out", "acoustic_decoder.head.linear"),
    ]
    for i in range(len(config.strides)):
        ours, released = f"acoustic.blocks.{i}", f"CodecEnc.conv_blocks.{i + 1}.block"
        port = f"acoustic_encoder.block.{i}"
        for j in range(len(config.dilations)):
            names += [
                (
                    f"{ours}.units.{j}.{a}",
                    f"{released}.{j}.block.{b}",
                    f"{port}.res_unit{j + 1}.{c}",
                )
                for a, b, c in (
                    ("act1", "0.act", "snake1.act"),
                    ("conv1", "1", "conv1"),
                    ("act2", "2.act", "snake2.act"),
                    ("conv2", "3", "conv2"),
                )
            ]
        names.append((f"{ours}.act", f"{released}.3.act", f"{port}.snake1.act"))
        names.append((f"{ours}.down", f"{released}.4", f"{port}.conv1"))
    for i in range(config.decoder_layers):
        names += [
            (f"decoder.layers.{i}.{a}", f"{backbone}.transformers.{i}.{b}", _port_layer(i, c))
            for a, b, c in (
                ("attention_norm", "att_norm", "input_layernorm"),
                ("qkv", "att.c_attn", "self_attn.qkv_proj"),  # split into three by the port
                ("out", "att.c_proj", "self_attn.o_proj"),
                ("mlp_norm", "ffn_norm", "post_attention_layernorm"),
                ("up", "mlp.fc1", "mlp.fc1"),
                ("down", "mlp.fc2", "mlp.fc2"),
            )
        ]
    return names


def _port_layer(index: int, name: str) -> str:
    return f"acoustic_decoder.layers.{index}.{name}"


def rename(key: str, table: dict[str, str]) -> str:
    """Replace the longest module prefix of ``key`` that ``table`` holds; unknown keys stay."""
    module = key
    while "." in module:
        module = module.rpartition(".")[0]
        if module in table:
            return table[module] + key[len(module) :]
    return key


def from_released(tensors: State) -> tuple[CodecConfig, State]:
    """Sizes and weights of ``HKUSTAudio/xcodec2`` tensors, weight norm folded.

    Raises `KeyError` with the name of a tensor that gives a size and is missing.
    """
    tensors = {_plain(k): v for k, v in tensors.items() if not k.endswith(_DERIVED)}
    tensors = _fold_weight_norm(tensors)
    config = _released_config(tensors)
    unused = tuple(
        f"semantic_model.encoder.layers.{i}."
        for i in range(config.semantic.layers, _count(tensors, "semantic_model.encoder.layers."))
    )
    table = {theirs: ours for ours, theirs, _ in module_names(config)}
    kept = {k: v for k, v in tensors.items() if not k.startswith(unused)}
    return config, {rename(k, table): v for k, v in kept.items()}


def _plain(key: str) -> str:
    """The name in the released file; the package ``xcodec2`` 0.1.5 saves some differently."""
    for packaged, released in _PACKAGED_NAMES.items():
        key = key.replace(packaged, released)
    return key


def _fold_weight_norm(tensors: State) -> State:
    """Replace weight_g, weight_v by weight = g * v / |v|, the norm taken per output channel."""
    folded = {}
    for key, tensor in tensors.items():
        if key.endswith(".weight_v"):
            name = key.removesuffix("_v")
            direction = tensor.float()
            norm = direction.flatten(1).norm(dim=1).view(-1, *[1] * (direction.ndim - 1))
            folded[name] = tensors[f"{name}_g"].float() * direction / norm
        elif not key.endswith(".weight_g"):
            folded[key] = tensor
    return folded


def _count(tensors: State, prefix: str) -> int:
    """Number of distinct first components after ``prefix``; at least one must exist."""
    found = {key[len(prefix) :].partition(".")[0] for key in tensors if key.startswith(prefix)}
    if not found:
        raise KeyError(prefix)
    return len(found)


def _released_config(tensors: State) -> CodecConfig:
    encoder, semantic = "CodecEnc.conv_blocks", "semantic_model.encoder.layers.0"
    decoder_size = len(tensors["fc_post_a.weight"])
    semantic_size = len(tensors["SemanticEncoder_module.final_conv.weight"])
    positions = tensors[f"{semantic}.self_attn.distance_embedding.weight"]
    blocks = range(1, _count(tensors, f"{encoder}."))
    kernels = [tensors[f"{encoder}.{i}.block.4.weight"].shape[-1] for i in blocks]
    extra = {
        # Offsets -left to right, of which w2v-BERT has 8 to the right.
        "left_max_position_embeddings": len(positions) - 1 - 8,
        "conv_depthwise_kernel_size": tensors[
            f"{semantic}.conv_module.depthwise_conv.weight"
        ].shape[-1],
    }
    return CodecConfig(
        encoder_channels=len(tensors[f"{encoder}.0.weight"]),
        strides=tuple(kernel // 2 for kernel in kernels),
        acoustic_size=len(tensors["CodecEnc.conv_final_block.1.weight"]),
        semantic=SemanticConfig(
            layers=min(SEMANTIC_LAYERS, _count(tensors, "semantic_model.encoder.layers.")),
            size=semantic_size,
            mlp_size=len(tensors[f"{semantic}.ffn1.intermediate_dense.weight"]),
            heads=semantic_size // positions.shape[-1],
            extra=extra,
        ),
        levels=(4,) * len(tensors["generator.quantizer.project_in.weight"]),
        decoder_size=decoder_size,
        decoder_layers=_count(tensors, "generator.backbone.transformers."),
        decoder_heads=max(1, decoder_size // HEAD_SIZE),
        decoder_mlp_size=len(tensors["generator.backbone.transformers.0.mlp.fc1.weight"]),
    )


def from_transformers(settings: dict[str, Any], tensors: State) -> tuple[CodecConfig, State]:
    """Sizes and weights of an ``Xcodec2Model`` or ``NeuCodecModel`` folder.

    Raises `ValueError` for a setting that this codec does not know, `KeyError` with the name of a
    missing tensor of an attention layer.
    """
    config = _port_config(settings)
    state = {k: v for k, v in tensors.items() if not k.endswith(_DERIVED)}
    for i in range(config.decoder_layers):
        q, k, v = (
            state.pop(_port_layer(i, f"self_attn.{name}_proj.weight")) for name in ("q", "k", "v")
        )
        q, k = (_swap_pairs(x, config.decoder_heads, to_halves=False) for x in (q, k))
        state[_port_layer(i, "self_attn.qkv_proj.weight")] = torch.cat([q, k, v])
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
        heard: (getattr(port, heard), SAMPLE_RATE),
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
    return CodecConfig(
        output_rate=port.output_sampling_rate if neural else SAMPLE_RATE,
        encoder_channels=port.encoder_hidden_size,
        strides=tuple(port.downsampling_ratios),
        acoustic_size=port.hidden_size,
        semantic=SemanticConfig(
            **{ours: semantic[theirs] for ours, theirs in _SEMANTIC_SIZES.items()}, extra=extra
        ),
        levels=tuple(port.quantization_levels),
        decoder_size=port.hidden_size,
        decoder_layers=port.num_hidden_layers,
        decoder_heads=port.num_attention_heads,
        decoder_mlp_size=port.intermediate_size,
        dropout=port.activation_dropout,
    )


def port_name(config: CodecConfig) -> str:
    """What the names of the classes of Transformers begin with that hold such a codec."""
    return "Xcodec2" if config.output_rate == config.sample_rate else "NeuCodec"


def to_transformers(config: CodecConfig, state: State) -> tuple[dict[str, Any], State]:
    """Settings (config.json) and weights for a class of Transformers, see `port_name`.

    Raises `LlasaError` where the codec has a size or option that the Transformers class lacks.
    """
    required = {
        "semantic.kind": (config.semantic.kind, "w2v-bert"),
        "acoustic_size": (config.acoustic_size, config.decoder_size),
        "hop": (config.hop, 320),
        "dilations": (config.dilations, (1, 3, 9)),
        "norm_groups": (config.norm_groups, 32),
        "relu_skip": (config.relu_skip, True),
        "double_bound": (config.double_bound, True),
        "time_rotary": (config.time_rotary, False),
        "decoder_window": (config.decoder_window, 0),
        "decoder_head": (config.decoder_head, "istft"),
        "timbre_size": (config.timbre_size, 0),
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
        fused = renamed.pop(_port_layer(i, "self_attn.qkv_proj.weight"))
        q, k, v = fused.chunk(3)
        q, k = (_swap_pairs(x, config.decoder_heads, to_halves=True) for x in (q, k))
        for name, tensor in (("q", q), ("k", k), ("v", v)):
            renamed[_port_layer(i, f"self_attn.{name}_proj.weight")] = tensor.clone()
    return _port_settings(config), renamed


def _port_settings(config: CodecConfig) -> dict[str, Any]:
    semantic = {
        "model_type": "wav2vec2-bert",
        **{theirs: getattr(config.semantic, ours) for ours, theirs in _SEMANTIC_SIZES.items()},
        "feature_projection_input_dim": MELS * config.hop // SHIFT,
        "mask_time_prob": 0.0,
        **config.semantic.extra,
    }
    name = port_name(config)
    rates = {"sampling_rate": config.sample_rate}
    if name == "NeuCodec":
        rates = {
            "input_sampling_rate": config.sample_rate,
            "output_sampling_rate": config.output_rate,
        }
    library = require("transformers")
    try:
        kind = getattr(library, f"{name}Config")
    except AttributeError as error:
        raise LlasaError(
            f"transformers {library.__version__} has no {name}Model, which holds this codec: "
            f'update it, or save with layout "llasa".'
        ) from error
    port = kind(
        architectures=[f"{name}Model"],
        **rates,
        encoder_hidden_size=config.encoder_channels,
        downsampling_ratios=list(config.strides),
        semantic_model_config=semantic,
        activation_dropout=config.dropout,
        quantization_dim=config.latent_size,
        quantization_levels=list(config.levels),
        hidden_size=config.decoder_size,
        intermediate_size=config.decoder_mlp_size,
        num_hidden_layers=config.decoder_layers,
        num_attention_heads=config.decoder_heads,
        num_key_value_heads=config.decoder_heads,
        head_dim=config.decoder_size // config.decoder_heads,
    )
    settings: dict[str, Any] = json.loads(port.to_json_string(use_diff=False))
    return settings

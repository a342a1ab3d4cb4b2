"""Sizes and weights of the released X-codec2; facts: the names and shapes of its tensors."""

from __future__ import annotations

from llasa.base.weights import State
from llasa.codec.checkpoints.names import module_names, rename
from llasa.codec.config import CodecConfig, SemanticConfig

SEMANTIC_LAYERS = 16  # the released codec reads hidden_states[16] of a 24-layer w2v-BERT
HEAD_SIZE = 64  # fixed by the rotary table of the released decoder
RELEASED_PREFIXES = (
    "CodecEnc.",
    "generator.",
    "SemanticEncoder_module.",
    "semantic_model.",
    "fc_prior.",
    "fc_post_a.",
)
DERIVED = (".filter", ".window", ".levels", ".basis", ".codebook", ".masked_spec_embed")
"""Suffixes of tensors that are rebuilt from the sizes or used in training only."""
_PACKAGED_NAMES = {
    ".parametrizations.weight.original0": ".weight_g",
    ".parametrizations.weight.original1": ".weight_v",
    ".act.bias": ".act.beta",
}


def from_released(tensors: State) -> tuple[CodecConfig, State]:
    """Sizes and weights of ``HKUSTAudio/xcodec2`` tensors, weight norm folded.

    Raises `KeyError` with the name of a tensor that gives a size and is missing.
    """
    tensors = {_plain(k): v for k, v in tensors.items() if not k.endswith(DERIVED)}
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

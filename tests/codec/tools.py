"""Random networks and oracles for the codec tests."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from llasa.codec.features import semantic_features
from tests.tiny_model import CODEC

RATE, HOP = 16_000, 320

CONV = replace(CODEC, levels=(4,) * 8, decoder_layers=2)


def port_config(semantic_layers: int = 16) -> Any:
    """A small ``Xcodec2Config`` that keeps what the released files fix: heads of 64, 16 layers."""
    from transformers import Xcodec2Config

    return Xcodec2Config(
        encoder_hidden_size=4,
        hidden_size=128,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=64,
        quantization_dim=160,
        semantic_model_config={
            "model_type": "wav2vec2-bert",
            "hidden_size": 32,
            "intermediate_size": 40,
            "num_hidden_layers": semantic_layers,
            "num_attention_heads": 2,
            "feature_projection_input_dim": 160,
            "conv_depthwise_kernel_size": 15,
            "left_max_position_embeddings": 20,
        },
    )


@torch.no_grad()
def randomize(model: nn.Module, seed: int) -> None:
    """Weights for which every part matters: snakes and norms away from their start values."""
    generator = torch.Generator().manual_seed(seed)

    def noise(tensor: Tensor, std: float) -> Tensor:
        return torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype) * std

    for name, parameter in model.named_parameters():
        if name.endswith(("alpha", "beta", "act.bias")):
            parameter.copy_(noise(parameter, 0.3))
        elif name.endswith(("weight_g", "original0")) or (
            parameter.ndim == 1 and name.endswith("weight")
        ):
            parameter.copy_(0.8 + noise(parameter, 0.2))
        elif parameter.ndim == 1:
            parameter.copy_(noise(parameter, 0.1))
        else:
            fan_in = parameter[0].numel()
            # Loud residual units would magnify rounding a thousandfold.
            gain = 0.4 if ".units." in name or "res_unit" in name else 1.0
            parameter.copy_(noise(parameter, gain / math.sqrt(fan_in)))


@torch.no_grad()
def spread_codes(project_in: nn.Linear, encode: Callable[[], object]) -> None:
    """Shift and scale the projection so that what ``encode`` runs uses all levels."""
    seen = []
    hook = project_in.register_forward_hook(lambda _, __, output: seen.append(output.flatten(0, 1)))
    encode()
    hook.remove()
    mean, std = seen[0].mean(0), seen[0].std(0)
    project_in.bias.copy_((project_in.bias - mean) / std)
    project_in.weight.div_(std[:, None])


def padded(clip: np.ndarray) -> Tensor:
    """The released padding: 1 to ``HOP`` zeros at the end, shape (1, samples)."""
    return torch.from_numpy(np.pad(clip, (0, HOP - len(clip) % HOP)))[None]


@torch.no_grad()
def port_codes(port: nn.Module, clip: np.ndarray) -> np.ndarray:
    """Codes of the Transformers model, fed with our filter banks (tested on their own)."""
    waveform = padded(clip)
    encoded = port.encode(waveform[:, None], input_features=semantic_features(waveform))
    return encoded.audio_codes[0, 0].numpy()


@torch.no_grad()
def port_audio(port: nn.Module, codes: np.ndarray) -> np.ndarray:
    return port.decode(torch.from_numpy(codes)[None, None].long()).audio_values[0, 0].numpy()


@dataclass(frozen=True)
class Sample:
    """A clip with the codes and the audio that an oracle makes of it."""

    clip: np.ndarray
    codes: np.ndarray
    audio: np.ndarray

    def check(self, codec: Any) -> None:
        """Equal codes on every frame and equal audio, on material rich enough to mean much."""
        (codes,) = codec.encode([self.clip])
        np.testing.assert_array_equal(codes, self.codes)
        (audio,) = codec.decode([codes])
        np.testing.assert_allclose(audio, self.audio, atol=1e-4, rtol=0)
        assert len(np.unique(codes)) > len(codes) / 5
        assert 0.01 < audio.std() < 10


def port_sample(port: nn.Module, clip: np.ndarray) -> Sample:
    codes = port_codes(port, clip)
    return Sample(clip, codes, port_audio(port, codes))


_RELEASED_NAMES = (  # from the port's names to the released ones, in order
    (r"^semantic_encoder\.", "semantic_model."),
    (r"^semantic_adapter\.conv1\.", "SemanticEncoder_module.initial_conv."),
    (r"^semantic_adapter\.conv2\.", "SemanticEncoder_module.residual_blocks.1."),
    (r"^semantic_adapter\.conv3\.", "SemanticEncoder_module.residual_blocks.3."),
    (r"^semantic_adapter\.conv4\.", "SemanticEncoder_module.final_conv."),
    (r"^acoustic_encoder\.conv1\.", "CodecEnc.conv_blocks.0."),
    (r"^acoustic_encoder\.snake1\.", "CodecEnc.conv_final_block.0."),
    (r"^acoustic_encoder\.conv2\.", "CodecEnc.conv_final_block.1."),
    (
        r"^acoustic_encoder\.block\.(\d+)\.",
        lambda m: f"CodecEnc.conv_blocks.{int(m[1]) + 1}.block.",
    ),
    (r"\.block\.snake1\.", ".block.3."),
    (r"\.block\.conv1\.", ".block.4."),
    (r"\.res_unit(\d)\.", lambda m: f".{int(m[1]) - 1}."),
    (r"(conv_blocks\.\d+\.block\.\d)\.snake1\.", r"\1.block.0."),
    (r"(conv_blocks\.\d+\.block\.\d)\.conv1\.", r"\1.block.1."),
    (r"(conv_blocks\.\d+\.block\.\d)\.snake2\.", r"\1.block.2."),
    (r"(conv_blocks\.\d+\.block\.\d)\.conv2\.", r"\1.block.3."),
    (r"^fc_encoder\.", "fc_prior."),
    (r"^quantizer\.", "generator.quantizer."),
    (r"^acoustic_decoder\.fc\.", "fc_post_a."),
    (r"^acoustic_decoder\.head\.linear\.", "generator.head.out."),
    (r"^acoustic_decoder\.norm\.", "generator.backbone.final_layer_norm."),
    (r"^acoustic_decoder\.layers\.", "generator.backbone.transformers."),
    (r"^acoustic_decoder\.", "generator.backbone."),
    (r"\.input_layernorm\.", ".att_norm."),
    (r"\.post_attention_layernorm\.", ".ffn_norm."),
    (r"\.self_attn\.o_proj\.", ".att.c_proj."),
)


def released_tensors(port: Any) -> dict[str, Tensor]:
    """The port's weights as the released file holds them: weight norm, fused q, k and v with
    interleaved rows, resampling filters, and w2v-BERT layers that nobody reads."""
    generator = torch.Generator().manual_seed(2)
    state = {key: value.clone() for key, value in port.state_dict().items()}
    tensors = {}
    for i in range(port.config.num_hidden_layers):
        stem = f"acoustic_decoder.layers.{i}.self_attn"
        q, k, v = (state.pop(f"{stem}.{name}_proj.weight") for name in "qkv")
        heads = port.config.num_attention_heads
        # Row 2p + s of a head of the released file is row p + 32 s of the port's.
        rows = [h * 64 + p + 32 * s for h in range(heads) for p in range(32) for s in range(2)]
        tensors[f"generator.backbone.transformers.{i}.att.c_attn.weight"] = torch.cat(
            [q[rows], k[rows], v]
        )
    for key, tensor in state.items():
        name = key
        for pattern, replacement in _RELEASED_NAMES:
            if "semantic_model" not in name:
                name = re.sub(pattern, replacement, name)
        if name.startswith("CodecEnc.") and name.endswith("weight"):
            scale = torch.rand(len(tensor), 1, 1, generator=generator) + 0.5
            tensors[f"{name}_g"] = tensor.flatten(1).norm(dim=1)[:, None, None]
            tensors[f"{name}_v"] = tensor * scale
        else:
            tensors[name] = tensor
        if name.endswith(".alpha"):
            unit = name.removesuffix(".act.alpha")
            tensors[f"{unit}.upsample.filter"] = torch.ones(1, 1, 12)
            tensors[f"{unit}.downsample.lowpass.filter"] = torch.ones(1, 1, 12)
        if name.startswith("semantic_model.encoder.layers.15."):
            for unused in ("16", "17"):
                tensors[name.replace("layers.15", f"layers.{unused}")] = tensor.clone()
    tensors["generator.head.istft.window"] = torch.ones(4 * HOP)
    return tensors

"""The start of codec training: building the network, checking settings, weight norm."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from llasa.base.errors import LlasaError, first_line
from llasa.base.weights import read_tensors
from llasa.codec.checkpoints.folder import save_model
from llasa.codec.codec import Codec
from llasa.codec.config import FORMER_KEYS, CodecConfig
from llasa.codec.heads import build_head
from llasa.codec.model import CodecModel, build_conditioning
from llasa.codec.semantic import W2vBert
from llasa.codec.speaker_encoder import SpeakerEncoder
from llasa.models.find import find_codec
from llasa.training.codec.discriminators import Discriminators
from llasa.training.codec.settings import CodecTraining

HEAD_SIZES = ("decoder_head", "output_rate")
"""Settings on which only the decoder's head depends."""


def build_codec(
    sizes: dict[str, Any], init: str | None, semantic_weights: str | None
) -> CodecModel:
    """A new codec of these sizes (fields of ``CodecConfig``), or the one that ``init`` names.

    ``init`` is a codec folder, a model folder or a model. Of its sizes only ``decoder_head``,
    ``output_rate`` and ``speaker_size`` may differ: the head, or the speaker encoder, is then new.

    Raises:
        LlasaError: sizes that do not exist or contradict ``init``, or weights that are missing or
            do not fit.
    """
    sizes = {FORMER_KEYS.get(name, name): value for name, value in sizes.items()}
    try:
        if init:
            model = Codec.load(find_codec(init), "cpu").model
            spoken = {name: sizes[name] for name in HEAD_SIZES if name in sizes}
            if any(getattr(model.config, name) != value for name, value in spoken.items()):
                model.config = replace(model.config, **spoken)
                model.decoder.head = build_head(*model.config.head)
            size = sizes.get("speaker_size", model.config.speaker_size)
            if size != model.config.speaker_size:
                model.config = replace(model.config, speaker_size=size)
                model.speaker_encoder = SpeakerEncoder(size) if size else None
                model.decoder.conditioning = build_conditioning(model.config)
            _check_sizes(sizes, model.config, init)
            return model
        model = CodecModel(CodecConfig.from_dict(sizes))
    except LlasaError:
        raise
    except (ValueError, TypeError) as error:
        raise LlasaError(f"Settings of codec: {error}.") from error
    if semantic_weights:
        _load_semantic(model, semantic_weights)
    elif isinstance(model.semantic, W2vBert):
        raise LlasaError(
            "A new codec with the semantic encoder w2v-bert needs its weights: set "
            "semantic_weights=facebook/w2v-bert-2.0 (or a folder), or start from init."
        )
    return model


def check_settings(settings: CodecTraining, config: CodecConfig, length: int) -> None:
    """`LlasaError` for settings that do not fit the codec.

    `length` is that of segments, in samples of decoded sound.
    """
    if settings.data.perturb and not config.speaker_size:
        raise LlasaError(
            "Setting data.perturb hides the voice from the encoder, so the decoder needs a speaker "
            "embedding: set codec.speaker_size, or leave data.perturb at 0."
        )
    adversarial = settings.loss.adversarial > 0
    windows = (*settings.loss.mel_windows, *settings.discriminator.ffts * adversarial)
    longest = max(windows, default=0)
    if length <= longest:
        raise LlasaError(
            f"Setting data.seconds {settings.data.seconds} gives segments of {length} samples: "
            f"more than {longest}, the longest window of the losses, are needed."
        )


def prepare(model: CodecModel, settings: CodecTraining) -> None:
    """Freeze what is not trained, and add weight norm if the settings ask for it."""
    if settings.weight_norm and not settings.freeze_encoder:
        add_weight_norm(model.acoustic)
    model.semantic.requires_grad_(False).eval()
    if settings.freeze_encoder:
        for part in (model.adapter, model.acoustic, model.fuse, model.quantizer):
            part.requires_grad_(False)


def add_weight_norm(module: nn.Module) -> None:
    """Add weight norm to every convolution inside."""
    for part in list(module.modules()):
        if isinstance(part, nn.Conv1d):
            parametrizations.weight_norm(part)


def save_codec(model: CodecModel, folder: Path) -> None:
    """Write a codec folder; weight norm is folded into plain weights."""
    state = {k: v for k, v in model.state_dict().items() if ".parametrizations." not in k}
    for name, part in model.named_modules():
        if parametrize.is_parametrized(part, "weight"):
            state[f"{name}.weight"] = part.weight
    with torch.device("meta"):
        plain = CodecModel(model.config)
    plain.load_state_dict(state, assign=True)
    save_model(plain, folder, "llasa", half=False)


def _check_sizes(wanted: dict[str, Any], config: CodecConfig, init: str) -> None:
    """``LlasaError`` if settings ask for other sizes than those of the initial codec."""
    found = asdict(config)
    semantic = {**found["semantic"], **wanted.get("semantic", {})}
    asked = asdict(CodecConfig.from_dict({**found, **wanted, "semantic": semantic}))
    for name, value in asked.items():
        if value != found[name]:
            raise LlasaError(
                f"Setting codec.{name} is {value}, but the codec in {init} has {found[name]}: "
                "leave out codec or init."
            )


def _load_semantic(model: CodecModel, source: str) -> None:
    """Weights of the frozen semantic encoder from a file, or of w2v-BERT from Transformers."""
    try:
        if isinstance(model.semantic, W2vBert) and not Path(source).is_file():
            from transformers import Wav2Vec2BertModel

            layers = model.config.semantic.layers
            whole = Wav2Vec2BertModel.from_pretrained(source, num_hidden_layers=layers)
            state = {k: v for k, v in whole.state_dict().items() if k != "masked_spec_embed"}
            model.semantic.model.load_state_dict(state)
        else:
            model.semantic.load_state_dict(dict(read_tensors(Path(source))))
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise LlasaError(
            f"Setting semantic_weights {source} cannot be loaded ({reason}): give the weights of "
            f"the semantic encoder ({model.config.semantic})."
        ) from error


def load_discriminators(discriminators: Discriminators, file: str) -> None:
    """Weights of discriminators that another run trained, from a safetensors file.

    Raises `LlasaError` where it is missing, damaged or of other sizes.
    """
    try:
        discriminators.load_state_dict(dict(read_tensors(Path(file))))
    except RuntimeError as error:
        raise LlasaError(
            f"Setting discriminator_weights {file} does not fit ({first_line(error)}): give the "
            "discriminator settings of the run that it comes from."
        ) from error

"""The network: sizes at released scale, shapes, and the quirks of the released weights."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
from torch import nn

from llasa.base.errors import LlasaError
from llasa.codec.config import CodecConfig, SemanticConfig
from llasa.codec.heads.istft import ISTFTHead
from llasa.codec.model import CodecModel

from .tools import CONV, HOP, padded, randomize


def built(config: Any, seed: int = 0) -> Any:
    model = CodecModel(config).eval()
    randomize(model, seed)
    return model


def millions(*modules: Any) -> Any:
    return sum(p.numel() for module in modules for p in module.parameters()) / 1e6


def test_parameter_counts_at_released_size() -> None:
    pytest.importorskip("transformers")
    with torch.device("meta"):
        model = CodecModel(CodecConfig())
    # The published count has one weight-norm gain per output channel, which is folded here.
    convs = [m for m in model.acoustic.modules() if isinstance(m, torch.nn.Conv1d)]
    gains = sum(m.out_channels for m in convs) / 1e6
    assert millions(model.acoustic) + gains == pytest.approx(38.46, abs=0.005)
    assert millions(model.adapter) == pytest.approx(12.58, abs=0.005)
    assert millions(model.fuse) == pytest.approx(4.20, abs=0.005)
    assert millions(model.quantizer) == pytest.approx(0.035, abs=0.0005)
    assert millions(model.decoder.fuse) == pytest.approx(2.10, abs=0.005)
    assert millions(model.decoder) - millions(model.decoder.fuse) == pytest.approx(
        184.87, abs=0.005
    )
    assert millions(model) - millions(model.semantic) == pytest.approx(242.2, abs=0.05)


def test_released_settings() -> None:
    config = CodecConfig()
    assert (config.input_hop, config.frame_rate, config.codebook_size) == (320, 50.0, 65_536)
    assert config.latent_size == 2048


@pytest.mark.parametrize("frames", [1, 2, 7])
def test_shapes(frames: Any) -> None:
    model = built(CONV)
    waveform = torch.randn(2, frames * HOP, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        codes = model.encode(waveform)
        audio = model.decode(codes)
    assert codes.shape == (2, frames)
    assert audio.shape == waveform.shape
    assert audio.isfinite().all()


def test_given_semantic_features_are_used() -> None:
    model = built(CONV)
    waveform = torch.randn(1, 5 * HOP, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        silent = model.latents(waveform, torch.zeros(1, 5, CONV.semantic.size))
        assert not torch.allclose(silent, model.latents(waveform))


def test_quirks_change_results(clip: Any) -> None:
    """Each option alters what it should: two the codes, the third the waveform."""
    waveform = padded(clip[: 100 * HOP])
    models = {}
    for name in ("relu_skip", "double_bound", "time_rotary"):
        change: dict[str, Any] = {name: not getattr(CONV, name)}
        models[name] = built(replace(CONV, **change))
    with torch.inference_mode():
        released = built(CONV)
        codes = released.encode(waveform)
        assert not torch.equal(models["relu_skip"].encode(waveform), codes)
        assert not torch.equal(models["double_bound"].encode(waveform), codes)
        assert torch.equal(models["time_rotary"].encode(waveform), codes)
        audio = released.decode(codes)
        assert not torch.allclose(models["time_rotary"].decode(codes), audio, atol=1e-3)
        assert torch.equal(models["relu_skip"].decode(codes), audio)


def test_attention_without_positions_ignores_order() -> None:
    layer = built(CONV).decoder.layers[0]
    x = torch.randn(1, 9, CONV.decoder_size, generator=torch.Generator().manual_seed(0))
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(layer(x[:, order]), layer(x)[:, order], atol=1e-5, rtol=0)
    layer.time_rotary = True
    assert not torch.allclose(layer(x[:, order]), layer(x)[:, order], atol=1e-3)


def test_head_equals_torch_istft() -> None:
    """Inside, "same" overlap-add is torch.istft of a signal shifted by half a window."""
    head = built(CONV).decoder.head
    x = torch.randn(1, 30, CONV.decoder_size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        ours = head(x)
        log_magnitude, phase = head.linear(x).chunk(2, -1)
        spectrum = torch.polar(log_magnitude.exp().clamp_max(100), phase).transpose(1, 2)
        theirs = torch.istft(spectrum, 4 * HOP, HOP, 4 * HOP, head.frames.window, center=True)
    # istft trims half a window (640), "same" trims 480.
    inner = ours[:, 160 : 160 + theirs.shape[1]]
    torch.testing.assert_close(inner[:, HOP:-HOP], theirs[:, HOP:-HOP], atol=1e-4, rtol=1e-4)


def test_gradients_reach_every_part() -> None:
    model = built(CONV)
    waveform = torch.randn(1, 50 * HOP, generator=torch.Generator().manual_seed(0))
    quantised, _ = model.quantizer(model.latents(waveform))
    model.decoder(quantised).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_config_survives_a_dict() -> None:
    config = replace(CONV, semantic=SemanticConfig(kind="conv", extra={"a": 1}))
    assert CodecConfig.from_dict(asdict(config)) == config


def test_unknown_settings_are_named() -> None:
    with pytest.raises(ValueError, match="stride"):
        CodecConfig.from_dict({"stride": 3})
    with pytest.raises(ValueError, match="lstm"):
        CodecModel(replace(CONV, semantic=SemanticConfig(kind="lstm")))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"strides": (4, 8, 8)}, "a multiple of 160"),
        ({"sample_rate": 24_000}, "sample_rate is 24000 Hz"),
        ({"decoder_heads": 7}, "a multiple of decoder_heads"),
    ],
)
def test_sizes_that_cannot_work_are_refused(sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(LlasaError, match=message):
        CodecConfig.from_dict(sizes)


def test_settings_of_older_files_are_read() -> None:
    config = CodecConfig.from_dict({"timbre_size": 8, "sample_rate": 16_000})
    assert config == CodecConfig(speaker_size=8)
    assert not {"timbre_size", "sample_rate"} & asdict(config).keys()


def test_weights_under_former_names_are_read() -> None:
    model = CodecModel(replace(CONV, speaker_size=8))
    state = model.state_dict()
    former = {
        key.replace("speaker_encoder.", "timbre.").replace("conditioning.", "timbre."): tensor + 1
        for key, tensor in state.items()
    }
    assert {"timbre.out.weight", "decoder.timbre.weight"} <= former.keys() - state.keys()
    expected = state["decoder.conditioning.weight"] + 1
    nn.ModuleDict({"codec": model}).load_state_dict({f"codec.{k}": v for k, v in former.items()})
    torch.testing.assert_close(model.decoder.conditioning.weight, expected)


def test_what_is_far_too_loud_has_a_gradient() -> None:
    """An exponential that overflows, bounded afterwards, would have none."""
    head = ISTFTHead(8, 320)
    with torch.no_grad():
        head.linear.bias[:641] = 200.0
    sound = head(torch.randn(1, 5, 8))
    sound.square().sum().backward()
    assert sound.isfinite().all()
    assert head.linear.weight.grad.isfinite().all()

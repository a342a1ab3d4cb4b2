"""Four checkpoint layouts against ``transformers.Xcodec2Model``, and damaged or foreign files."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from llasa.base.errors import LlasaError
from llasa.codec.checkpoints.folder import load_lightning
from llasa.codec.codec import Codec
from llasa.codec.features import semantic_features
from llasa.codec.model import CodecModel

from ..tools import CONV, padded, port_sample, randomize, released_tensors

HUB_CONFIG = {  # as in HKUSTAudio/xcodec2, with the sizes of the test model
    "model_type": "xcodec2",
    "semantic_hidden_size": 32,
    "codec_encoder_hidden_size": 128,
    "codec_decoder_hidden_size": 128,
    "use_vocos": True,
    "architectures": ["XCodec2Model"],
}


class TrainerSettings:
    """Stands for objects of the training code that sit in a Lightning checkpoint."""

    def __init__(self) -> None:
        self.seed = 1024


def write_released(folder: Path, tensors: Any, config: Any = HUB_CONFIG) -> Any:
    folder.mkdir(exist_ok=True)
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def write_lightning(path: Path, tensors: Any) -> Any:
    extra = (
        "fc_post_s.weight",
        "SemanticDecoder_module.initial_conv.weight",
        "discriminator.discriminators.0.convs.0.weight_g",
        "spec_discriminator.discriminators.0.layers.0.bias",
        "model_spk.feature_extract.weight",
        "criteria.gan_loss.weight",
    )
    training = {name: torch.ones(3) for name in extra}
    torch.save(
        {
            "epoch": 4,
            "global_step": 1_400_000,
            "state_dict": {**training, **tensors},
            "optimizer_states": [{"state": {0: {"step": torch.tensor(3.0)}}}],
            "hyper_parameters": {"cfg": TrainerSettings()},
        },
        path,
    )
    return path


@pytest.fixture(scope="module")
def released(port: Any) -> Any:
    return released_tensors(port)


@pytest.fixture(scope="module")
def codec(port_folder: Path) -> Any:
    return Codec.load(port_folder, device="cpu")


@pytest.mark.slow
def test_latents_equal_the_port_in_double_precision(codec: Codec, port: Any, clip: Any) -> None:
    """The same arithmetic, not merely near: 1e-12 where single precision leaves 1e-6."""
    waveform = padded(clip[:32_000])
    features = semantic_features(waveform).double()
    ours, theirs = deepcopy(codec.model).double(), deepcopy(port).double()
    with torch.inference_mode():
        semantic = theirs.semantic_encoder(features).last_hidden_state
        adapted = theirs.semantic_adapter(semantic.transpose(1, 2))
        acoustic = theirs.acoustic_encoder(waveform.double()[:, None])
        expected = theirs.fc_encoder(torch.cat([adapted, acoustic], 1).transpose(1, 2))
        latents = ours.latents(waveform.double(), ours.semantic(features))
    torch.testing.assert_close(latents, expected, atol=1e-12, rtol=0)


@pytest.fixture
def small(tmp_path: Path) -> Any:
    """A folder in our layout, and its codec."""
    torch.manual_seed(0)
    model = CodecModel(CONV)
    randomize(model, seed=3)
    codec = Codec(model, device="cpu")
    codec.save(tmp_path / "small")
    return tmp_path / "small", codec


def assert_equal_states(codec: Codec, other: Any) -> None:
    state = other.model.state_dict()
    for name, tensor in codec.model.state_dict().items():
        torch.testing.assert_close(state[name], tensor, atol=1e-6, rtol=1e-6, msg=name)


@pytest.mark.slow
def test_transformers_layout(codec: Codec, sample: Any) -> None:
    sample.check(codec)


@pytest.mark.slow
def test_transformers_layout_on_speech(codec: Codec, port: Any, speech: Any) -> None:
    port_sample(port, speech).check(codec)


@pytest.mark.parametrize("model_type", ["xcodec2", "xcodec"])
@pytest.mark.slow
def test_released_layout(
    tmp_path: Path, released: Any, codec: Codec, sample: Any, model_type: Any
) -> None:
    folder = write_released(tmp_path, released, HUB_CONFIG | {"model_type": model_type})
    loaded = Codec.load(folder, device="cpu")
    assert loaded.model.config == codec.model.config
    assert_equal_states(codec, loaded)
    sample.check(loaded)


def test_released_layout_with_the_names_of_the_package(
    tmp_path: Path, released: Any, codec: Codec
) -> None:
    newer = ".parametrizations.weight.original"
    tensors = {
        k.replace(".weight_g", f"{newer}0")
        .replace(".weight_v", f"{newer}1")
        .replace(".beta", ".bias"): v
        for k, v in released.items()
    }
    assert_equal_states(codec, Codec.load(write_released(tmp_path, tensors), device="cpu"))


@pytest.mark.slow
def test_lightning_checkpoint(tmp_path: Path, released: Any, codec: Codec, sample: Any) -> None:
    path = write_lightning(tmp_path / "last.ckpt", released)
    loaded = Codec.from_lightning(path, device="cpu")
    assert_equal_states(codec, loaded)
    sample.check(loaded)


@pytest.mark.slow
def test_our_layout(tmp_path: Path, codec: Codec, sample: Any) -> None:
    codec.save(tmp_path)
    loaded = Codec.load(tmp_path, device="cpu")
    assert loaded.model.config == codec.model.config
    sample.check(loaded)
    settings = json.loads((tmp_path / "config.json").read_text())
    assert settings["model_type"] == "llasa-codec"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


@pytest.mark.slow
def test_transformers_opens_what_is_written(
    tmp_path: Path, codec: Codec, port: Any, sample: Any
) -> None:
    from transformers import Xcodec2Model

    codec.save(tmp_path, layout="transformers")
    theirs: Any = Xcodec2Model
    opened, report = theirs.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    port_sample(opened.eval(), sample.clip).check(codec)
    expected = port.state_dict()
    for name, tensor in opened.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    sample.check(Codec.load(tmp_path, device="cpu"))


def test_half_precision_file_loads_as_float32(small: Any, tmp_path: Path) -> None:
    folder, codec = small
    codec.save(tmp_path / "half", half=True)
    stored = load_file(tmp_path / "half" / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    loaded = Codec.load(tmp_path / "half", device="cpu").model.state_dict()
    for name, tensor in codec.model.state_dict().items():
        assert loaded[name].dtype == torch.float32
        assert torch.equal(loaded[name], tensor.half().float())
    full = load_file(folder / "model.safetensors")
    assert {tensor.dtype for tensor in full.values()} == {torch.float32}


def test_conv_codec_survives_saving_bit_for_bit(small: Any, clip: Any) -> None:
    folder, codec = small
    loaded = Codec.load(folder, device="cpu")
    codes = codec.encode([clip[:16_000]])
    np.testing.assert_array_equal(loaded.encode([clip[:16_000]])[0], codes[0])
    np.testing.assert_array_equal(loaded.decode(codes)[0], codec.decode(codes)[0])


def test_saving_over_a_loaded_codec(small: Any) -> None:
    folder, codec = small
    Codec.load(folder, device="cpu").save(folder)
    assert_equal_states(codec, Codec.load(folder, device="cpu"))


def test_hub_id_is_downloaded(small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    folder, codec = small
    asked = []

    def download(name: str, allow_patterns: Any) -> Any:
        asked.append(name)
        return str(folder)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert Codec.load("owner/name", device="cpu").codebook_size == codec.codebook_size
    assert asked == ["owner/name"]


def test_failed_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def download(name: str, allow_patterns: Any) -> None:
        raise FileNotFoundError("offline.\nmany details")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(LlasaError, match=r"owner/name is not a local folder .*\(offline\)"):
        Codec.load("owner/name")


@pytest.mark.parametrize("name", ["missing", "/no/such/folder", "a/b/c"])
def test_missing_folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LlasaError, match="does not exist"):
        Codec.load(name)


def test_a_file_instead_of_a_folder(small: Any) -> None:
    with pytest.raises(LlasaError, match=r"is a file.*from_lightning"):
        Codec.load(small[0] / "model.safetensors")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_missing_file(small: Any, name: str) -> None:
    (small[0] / name).unlink()
    with pytest.raises(LlasaError, match=f"{name} does not exist"):
        Codec.load(small[0])


@pytest.mark.parametrize("kept", [0, 5, 1000, -4])
def test_truncated_weights(small: Any, kept: Any) -> None:
    path = small[0] / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(LlasaError, match="damaged or cut off"):
        Codec.load(small[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"model_type": "llama"}', "model_type 'llama'"),
        ("{}", "model_type None"),
        ('{"model_type": "llasa-codec"}', "codec settings are wrong"),
        ('{"model_type": "llasa-codec", "codec": 3}', "codec settings are wrong"),
        ('{"model_type": "llasa-codec", "codec": {"lstm": 1}}', "lstm"),
        ('{"model_type": "llasa-codec", "codec": {"strides": [2, 2]}}', "hop of 4"),
        ('{"model_type": "llasa-codec", "codec": {"sample_rate": 8000}}', "8000 Hz"),
        ('{"model_type": "llasa-codec", "codec": {"semantic": {"kind": "x"}}}', "kind 'x'"),
        ('{"model_type": "xcodec2"}', "does not fit|cannot be read"),
        ('{"model_type": "xcodec2", "hidden_size": "big"}', "cannot be read"),
        ('{"model_type": "xcodec2", "attention_bias": true}', "attention_bias is True"),
    ],
)
def test_bad_config(small: Any, text: str, message: str) -> None:
    (small[0] / "config.json").write_text(text)
    with pytest.raises(LlasaError, match=message):
        Codec.load(small[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"norm_groups": 5}, "a multiple of decoder_heads \(2\) and of norm_groups \(5\)"),
        ({"decoder_layers": 3}, "lacks decoder.layers.2"),
        ({"decoder_layers": 1}, "has unknown decoder.layers.1.attention_norm.weight, .* 3 more"),
        ({"decoder_mlp_size": 47}, r"has shape \(.*48.*\), expected \(.*47.*\)"),
    ],
)
def test_config_that_does_not_fit_the_weights(small: Any, change: Any, message: str) -> None:
    path = small[0] / "config.json"
    settings = json.loads(path.read_text())
    settings["codec"].update(change)
    path.write_text(json.dumps(settings))
    with pytest.raises(LlasaError, match=message):
        Codec.load(small[0])


@pytest.mark.parametrize(
    ("remove", "add", "message"),
    [
        ("fc_prior.bias", None, "lacks fc_prior.bias"),
        ("CodecEnc.conv_blocks.2.block.4.weight_g", None, "conv_blocks.2.block.4.weight_g"),
        ("CodecEnc.conv_blocks.0.weight_v", None, "CodecEnc.conv_blocks.0.weight"),
        ("generator.backbone.transformers.1.att.c_attn.weight", None, "1.att.c_attn.weight"),
        ("SemanticEncoder_module.final_conv.weight", None, "final_conv"),
        (None, "CodecEnc.conv_blocks.1.lstm.weight", "unknown CodecEnc.conv_blocks.1.lstm"),
        (None, "discriminator.weight", "unknown discriminator.weight"),
    ],
)
def test_released_keys_are_checked_by_their_own_names(
    tmp_path: Path, released: Any, remove: Any, add: Any, message: str
) -> None:
    tensors = {k: v for k, v in released.items() if k != remove}
    if add:
        tensors[add] = torch.ones(2)
    with pytest.raises(LlasaError, match=message):
        Codec.load(write_released(tmp_path, tensors))


@pytest.mark.parametrize("key", ["k_proj.weight", "res_unit2.snake1.act.alpha", "fc_encoder.bias"])
def test_port_keys_are_checked_by_their_own_names(
    tmp_path: Path, port_folder: Path, key: Any
) -> None:
    tensors = load_file(port_folder / "model.safetensors")
    name = next(k for k in sorted(tensors) if k.endswith(key))
    del tensors[name]
    config = json.loads((port_folder / "config.json").read_text())
    with pytest.raises(LlasaError, match=f"lacks {name}"):
        Codec.load(write_released(tmp_path, tensors, config))


def test_stated_sizes_must_hold(tmp_path: Path, released: Any) -> None:
    config = HUB_CONFIG | {"codec_decoder_hidden_size": 1024}
    with pytest.raises(LlasaError, match=r"codec_decoder_hidden_size is 1024, .* 128"):
        Codec.load(write_released(tmp_path, released, config))


def test_nan_weights_are_refused(small: Any) -> None:
    path = small[0] / "model.safetensors"
    tensors = load_file(path)
    tensors["fuse.bias"][3] = float("nan")
    save_file(tensors, path)
    with pytest.raises(LlasaError, match=r"NaN or infinite values in fuse\.bias"):
        Codec.load(small[0])


def test_weights_beyond_half_precision_are_not_written(small: Any, tmp_path: Path) -> None:
    codec = small[1]
    with torch.no_grad():
        codec.model.fuse.bias[0] = 1e6
    with pytest.raises(LlasaError, match="float16"):
        codec.save(tmp_path / "half", half=True)
    assert not (tmp_path / "half").exists()


def test_conv_codec_has_no_transformers_layout(small: Any, tmp_path: Path) -> None:
    with pytest.raises(LlasaError, match=r"semantic.kind is 'conv'"):
        small[1].save(tmp_path / "port", layout="transformers")


def test_unknown_layout(small: Any, tmp_path: Path) -> None:
    with pytest.raises(LlasaError, match="llasa, transformers"):
        small[1].save(tmp_path / "port", layout="onnx")


def test_unwritable_folder(small: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LlasaError, match="cannot be written"):
        small[1].save(tmp_path / "file" / "codec")


def test_failed_save_leaves_the_old_files(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, codec = small
    before = {p.name: p.read_bytes() for p in folder.iterdir()}

    def full_disk(*_: Any, **__: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("llasa.base.weights.save_file", full_disk)
    with pytest.raises(LlasaError, match=r"cannot be written: .*No space left"):
        codec.save(folder, half=True)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut"])
def test_damaged_lightning_checkpoint(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "last.ckpt"
    path.write_bytes(content)
    with pytest.raises(LlasaError, match="not a readable Lightning checkpoint"):
        load_lightning(path)


def test_foreign_lightning_checkpoints(tmp_path: Path, released: Any) -> None:
    path = tmp_path / "last.ckpt"
    with pytest.raises(LlasaError, match="not a readable Lightning checkpoint"):
        load_lightning(path)
    torch.save({"weights": torch.ones(2)}, path)
    with pytest.raises(LlasaError, match="not a readable Lightning checkpoint"):
        load_lightning(path)
    torch.save({"state_dict": {"layer.weight": torch.ones(2)}}, path)
    with pytest.raises(LlasaError, match="does not fit an X-codec2"):
        load_lightning(path)
    write_lightning(path, released)
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(LlasaError, match="not a readable Lightning checkpoint"):
        load_lightning(path)


def test_lightning_checkpoint_runs_no_foreign_code(tmp_path: Path, released: Any) -> None:
    class Attack:
        def __reduce__(self) -> Any:
            return (open, (str(tmp_path / "owned"), "w"))

    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": released, "hyper_parameters": Attack()}, path)
    load_lightning(path)
    assert not (tmp_path / "owned").exists()

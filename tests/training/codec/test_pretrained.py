"""Transformers models as parts of the codec's training: semantic encoder and perceptual loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from llasa.base.errors import LlasaError
from llasa.codec.features import semantic_features
from llasa.training.codec.perceptual import PerceptualLoss
from llasa.training.codec.setup import build_codec
from llasa.training.codec.trainer import CodecTrainer

from ..tools import SIZES, codec_settings, vowel

transformers: Any = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def listener(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny random wav2vec 2.0 with four layers."""
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8, 8, 8),
        conv_stride=(5, 8, 8),
        conv_kernel=(10, 8, 8),
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
    )
    folder = tmp_path_factory.mktemp("listener")
    transformers.Wav2Vec2Model(config).save_pretrained(folder)
    return folder


def test_perceptual_loss(listener: Path) -> None:
    loss = PerceptualLoss(str(listener))
    real = torch.from_numpy(vowel(0.3, 120).samples)[None]
    other = torch.from_numpy(vowel(0.3, 200).samples)[None].requires_grad_()
    assert loss(real, real).item() == 0
    distance = loss(other, real)
    distance.backward()
    assert distance.item() > 0
    assert other.grad is not None
    assert other.grad.abs().sum() > 0
    with torch.no_grad():  # the upper half: states 2, 3 and 4 of 0 to 4
        states = [loss.model(x, output_hidden_states=True).hidden_states for x in (other, real)]
        expected = torch.stack([(states[0][i] - states[1][i]).square().mean() for i in (2, 3, 4)])
    torch.testing.assert_close(distance.detach(), expected.mean())
    assert not any(p.requires_grad for p in loss.parameters())


def test_perceptual_loss_in_the_trainer(listener: Path, clips: Path, tmp_path: Path) -> None:
    wanted = {"perceptual": 2.0, "perceptual_model": str(listener), "adversarial": 0.0}
    trainer = CodecTrainer(codec_settings(clips, tmp_path, loss=wanted))
    values = trainer.step(trainer.batch(0))
    log = {name: float(torch.as_tensor(value).detach()) for name, value in values.items()}
    total = 15 * log["mel"] + 5 * log["semantic"] + 2 * log["perceptual"] + 2 * log["phones"]
    assert log["loss"] == pytest.approx(total, rel=1e-5)


def test_no_such_listener() -> None:
    with pytest.raises(LlasaError, match="perceptual_model /nowhere cannot be loaded"):
        PerceptualLoss("/nowhere")


def test_w2v_bert_weights_from_a_folder(tmp_path: Path) -> None:
    """The first layers of a longer model."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16}
    extra = {"conv_depthwise_kernel_size": 3, "left_max_position_embeddings": 4}
    config = transformers.Wav2Vec2BertConfig(num_hidden_layers=3, **sizes, **extra)
    whole = transformers.Wav2Vec2BertModel(config).eval()
    whole.save_pretrained(tmp_path)
    semantic = {"kind": "w2v-bert", "layers": 2, "size": 16, "mlp_size": 16, "heads": 2}
    codec = {**SIZES, "semantic": {**semantic, "extra": extra}}
    features = semantic_features(torch.from_numpy(vowel(0.3, 120).samples)[None])
    with torch.no_grad():
        found = build_codec(codec, None, str(tmp_path)).eval().semantic(features)
        expected = whole(features, output_hidden_states=True).hidden_states[2]
    torch.testing.assert_close(found, expected)
    with pytest.raises(LlasaError, match="cannot be loaded"):
        build_codec({**codec, "semantic": {**semantic, "size": 8}}, None, str(tmp_path))
    with pytest.raises(LlasaError, match="needs its weights"):
        build_codec(codec, None, None)

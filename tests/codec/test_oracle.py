"""The original implementation, package ``xcodec2`` 0.1.5, against ours on equal weights.

Skipped where it is not installed:

    pip install --no-deps xcodec2==0.1.5 vector-quantize-pytorch==1.17.8 einops==0.8.0 \
        einx frozendict torchtune==0.6.1
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from llasa.codec.codec import Codec
from llasa.codec.features import semantic_features

from .tools import Sample, padded, port_config, randomize, spread_codes

pytestmark = [pytest.mark.slow, pytest.mark.oracle]

PACKAGES = ("xcodec2", "vector_quantize_pytorch", "einops", "einx", "frozendict", "torchtune")


class Original(nn.Module):
    """The parts of ``XCodec2Model`` at small size; its constructor would download w2v-BERT."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import Wav2Vec2BertModel
        from xcodec2.vq.codec_decoder_vocos import CodecDecoderVocos
        from xcodec2.vq.codec_encoder import CodecEncoder_Transformer
        from xcodec2.vq.module import SemanticEncoder

        self.semantic_model = Wav2Vec2BertModel(port_config(18).semantic_model_config)
        self.SemanticEncoder_module = SemanticEncoder(32, 32, 32)
        self.CodecEnc = CodecEncoder_Transformer(ngf=4, hidden_dim=128)
        self.generator = CodecDecoderVocos(
            hidden_dim=128, depth=2, heads=2, pos_meb_dim=64, vq_dim=160
        )
        self.fc_prior = nn.Linear(160, 160)
        self.fc_post_a = nn.Linear(160, 128)

    @torch.no_grad()
    def encode(self, waveform: Any, features: Any) -> Any:
        hidden = self.semantic_model(features, output_hidden_states=True).hidden_states[16]
        semantic = self.SemanticEncoder_module(hidden.transpose(1, 2))
        acoustic = self.CodecEnc(waveform[:, None]).transpose(1, 2)
        joined = self.fc_prior(torch.cat([semantic, acoustic], 1).transpose(1, 2))
        return self.generator(joined.transpose(1, 2), vq=True)[1][0, 0].numpy()

    @torch.no_grad()
    def decode(self, codes: Any) -> Any:
        indices = torch.from_numpy(codes)[None, :, None]
        latent = self.generator.quantizer.get_output_from_indices(indices)
        return self.generator(self.fc_post_a(latent), vq=False)[0].flatten().numpy()


@pytest.fixture(scope="module")
def original(clip: Any) -> Any:
    pytest.importorskip("transformers")
    for name in PACKAGES:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"the original codec is not installed: {name} is missing")
    if importlib.metadata.version("vector-quantize-pytorch") != "1.17.8":
        pytest.skip("the original codec needs vector-quantize-pytorch 1.17.8")
    with pytest.MonkeyPatch.context() as patch:
        # It imports all of torchaudio and torchtune, and uses one class of the latter.
        path = "modules/position_embeddings.py"
        package = importlib.util.find_spec("torchtune")
        assert package is not None
        assert package.submodule_search_locations is not None
        (root,) = package.submodule_search_locations
        for name in ("torchaudio", "torchtune", "torchtune.modules"):
            patch.setitem(sys.modules, name, ModuleType(name))
        spec = importlib.util.spec_from_file_location("rotary", f"{root}/{path}")
        assert spec is not None
        rotary = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(rotary)
        embeddings = rotary.RotaryPositionalEmbeddings
        vars(sys.modules["torchtune.modules"])["RotaryPositionalEmbeddings"] = embeddings
        torch.manual_seed(0)
        model = Original().eval()
    randomize(model, seed=5)
    waveform = padded(clip)
    features = semantic_features(waveform)
    spread_codes(model.generator.quantizer.project_in, lambda: model.encode(waveform, features))
    return model


@pytest.fixture(scope="module")
def folder(original: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The weights in the layout of ``HKUSTAudio/xcodec2``."""
    folder = tmp_path_factory.mktemp("released")
    save_file(original.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "xcodec2"}))
    return folder


def test_codes_and_audio_equal_the_original(original: Any, folder: Path, clip: Any) -> None:
    waveform = padded(clip)
    codes = original.encode(waveform, semantic_features(waveform))
    Sample(clip, codes, original.decode(codes)).check(Codec.load(folder, device="cpu"))


def test_with_the_feature_extractor_of_the_original(original: Any, folder: Path, clip: Any) -> None:
    from transformers import SeamlessM4TFeatureExtractor

    waveform = padded(clip)
    extractor = SeamlessM4TFeatureExtractor()
    wide = np.pad(waveform[0].numpy(), 160)
    features = extractor(wide, sampling_rate=16_000, return_tensors="pt").input_features
    codes = original.encode(waveform, features)
    assert (Codec.load(folder, device="cpu").encode([clip])[0] == codes).mean() > 0.99

"""The paper's judges, from checkpoints of the right layout with random weights.

The real weights are not here: names and shapes are those that their authors publish.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llasa.audio.audio import Audio
from llasa.base.errors import LlasaError
from llasa.evaluation.judges import Judges
from llasa.verifiers import Candidate, find_verifier
from llasa.verifiers.ecapa import Ecapa, EcapaNetwork, filters
from llasa.verifiers.emotion import EmotionEmbedder
from llasa.verifiers.utmos import UTMOS
from llasa.verifiers.wavlm import EcapaHead, WavLMSpeaker
from llasa.verifiers.weights import from_fairseq

from .tools import scores

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SMALL = {
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "conv_dim": [16, 16, 16],
    "conv_kernel": [10, 3, 3],
    "conv_stride": [5, 2, 2],
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}

SPEECHBRAIN = [
    *(0.39702, -0.04059, -0.29101, 0.40230, -0.17418, -0.24232),
    *(0.38360, -0.28296, -0.15457, 0.37048, -0.34073, -0.02586),
]
"""What its ECAPA-TDNN makes of `chirp` with the weights of `waves`."""


def clip(seed: int = 0, count: int = 16_000) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.01, 0.1, count).astype(np.float32)


def fairseq(model: Any) -> dict[str, Any]:
    """The weights of an encoder under the names that fairseq gives them."""
    names = {
        "feature_projection.projection.": "post_extract_proj.",
        "feature_projection.layer_norm.": "layer_norm.",
        "masked_spec_embed": "mask_emb",
        "pos_conv_embed.conv.parametrizations.weight.original0": "pos_conv.0.weight_g",
        "pos_conv_embed.conv.parametrizations.weight.original1": "pos_conv.0.weight_v",
        "pos_conv_embed.conv.bias": "pos_conv.0.bias",
        "attention.gru_rel_pos_linear.": "self_attn.grep_linear.",
        "attention.gru_rel_pos_const": "self_attn.grep_a",
        "attention.rel_attn_embed.": "self_attn.relative_attention_bias.",
        "attention.": "self_attn.",
        "feed_forward.intermediate_dense.": "fc1.",
        "feed_forward.output_dense.": "fc2.",
    }
    state = {}
    for old, value in model.state_dict().items():
        new = old
        for theirs, other in names.items():
            new = new.replace(theirs, other)
        parts = new.split(".")
        if new.startswith("feature_extractor."):
            deep = model.config.feat_extract_norm == "layer"
            place = {"conv": ["0"], "layer_norm": ["2", "1"] if deep else ["2"]}[parts[3]]
            new = ".".join([*parts[:3], *place, *parts[4:]])
        elif new.startswith("encoder.layers.") and parts[3] == "layer_norm":
            new = ".".join([*parts[:3], "self_attn_layer_norm", *parts[4:]])
        state[new] = value
    return state


@pytest.mark.parametrize("stable", [False, True])
@pytest.mark.parametrize("kind", ["WavLM", "Wav2Vec2"])
def test_encoders_of_fairseq(kind: str, stable: bool) -> None:
    torch.manual_seed(0)
    norm = {"feat_extract_norm": "layer" if stable else "group", "do_stable_layer_norm": stable}
    config = getattr(transformers, f"{kind}Config")(**SMALL, **norm, conv_bias=stable)
    theirs = getattr(transformers, f"{kind}Model")(config).eval()
    state = {**fairseq(theirs), "quantizer.vars": torch.zeros(1)}
    assert "encoder.layers.0.self_attn_layer_norm.weight" in state
    ours = from_fairseq(state, Path("x.pt"))
    sound = torch.from_numpy(clip())[None]
    with torch.inference_mode():
        wanted, found = (m(sound, output_hidden_states=True).hidden_states for m in (theirs, ours))
    for one, other in zip(wanted, found, strict=True):
        torch.testing.assert_close(one, other)
    del state["post_extract_proj.weight"]
    with pytest.raises(LlasaError, match=r"x.pt holds no wav2vec 2.0 or WavLM encoder: no"):
        from_fairseq(state, Path("x.pt"))


def save_wavlm(folder: Path) -> Path:
    """As UniSpeech's wavlm_large_finetune.pth, smaller."""
    torch.manual_seed(0)
    norm = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
    encoder = transformers.WavLMModel(transformers.WavLMConfig(**SMALL, **norm))
    head = EcapaHead(3, 128, 64, 32)
    head.feature_weight.data.normal_()
    state = {f"feature_extract.model.{k}": v for k, v in fairseq(encoder).items()}
    state |= head.state_dict() | {"loss_calculator.projection.weight": torch.zeros(3, 32)}
    torch.save({"model": state}, folder / "wavlm_large_finetune.pth")
    return folder / "wavlm_large_finetune.pth"


def test_wavlm_names_are_those_of_unispeech() -> None:
    names = set(EcapaHead(25, 1024, 512, 256).state_dict())
    assert {
        *("feature_weight", "layer1.conv.weight", "layer1.bn.running_mean", "conv.bias"),
        *("layer2.Conv1dReluBn1.conv.weight", "layer3.Res2Conv1dReluBn.convs.6.weight"),
        *("layer4.Res2Conv1dReluBn.bns.6.weight", "layer4.SE_Connect.linear2.bias"),
        *("pooling.linear1.weight", "bn.weight", "linear.weight"),
    } <= names
    shapes = EcapaHead(25, 1024, 512, 256).state_dict()
    assert shapes["layer1.conv.weight"].shape == (512, 1024, 5)
    assert shapes["layer2.Res2Conv1dReluBn.convs.0.weight"].shape == (64, 64, 3)
    assert shapes["linear.weight"].shape == (256, 3072)


def test_wavlm(tmp_path: Path) -> None:
    embedder = WavLMSpeaker(str(save_wavlm(tmp_path)))
    assert embedder.family == "wavlm"
    one, other, short = clip(0), clip(1), clip(2, 9000)
    found = embedder.embed([one, short, other, np.float32(0.1) * one])
    assert found.shape == (4, 32)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(found[3], found[0], atol=1e-3)  # loudness is no part of a voice
    np.testing.assert_allclose(embedder.embed([short])[0], found[1], atol=1e-5)
    assert np.abs(found[0] - found[2]).max() > 1e-3
    audio = Audio(one, 16_000)
    verifier = find_verifier(f"wavlm:{tmp_path}")
    np.testing.assert_allclose(scores(verifier, [Candidate(audio=audio, prompt=audio)]), [1.0])


def test_ecapa_names_are_those_of_speechbrain() -> None:
    shapes = {name: value.shape for name, value in EcapaNetwork(1024, 192).state_dict().items()}
    assert shapes["blocks.0.conv.conv.weight"] == (1024, 80, 5)
    assert shapes["blocks.1.res2net_block.blocks.6.norm.norm.weight"] == (128,)
    assert shapes["blocks.3.se_block.conv1.conv.weight"] == (128, 1024, 1)
    assert shapes["asp.tdnn.conv.conv.weight"] == (128, 9216, 1)
    assert shapes["asp.conv.conv.weight"] == (3072, 128, 1)
    assert shapes["asp_bn.norm.weight"] == (6144,)
    assert shapes["fc.conv.weight"] == (192, 6144, 1)


def test_ecapa(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(EcapaNetwork(64, 24).state_dict(), tmp_path / "embedding_model.ckpt")
    embedder = Ecapa(str(tmp_path))
    one, short = clip(0), clip(2, 9000)
    found = embedder.embed([one, short, np.float32(0.1) * one])
    assert found.shape == (3, 24)
    np.testing.assert_allclose(found[2], found[0], atol=1e-4)
    np.testing.assert_allclose(embedder.embed([short])[0], found[1], atol=1e-5)
    assert find_verifier(f"ecapa:{tmp_path}").family == "ecapa"
    bank = filters()
    assert bank.shape == (201, 80)
    assert float(bank.max()) <= 1
    centres = (bank * torch.arange(201)[:, None]).sum(0) / bank.sum(0)
    assert (centres[20:].diff() > 0).all()
    (tmp_path / "empty").mkdir()
    with pytest.raises(LlasaError, match=r"isn't SpeechBrain's ECAPA-TDNN: it has no embedding"):
        Ecapa(str(tmp_path / "empty")).load()


def waves(state: dict[str, Any]) -> dict[str, Any]:
    """Weights that every version of PyTorch makes alike."""
    found = {}
    for place, (name, value) in enumerate(sorted(state.items())):
        if value.is_floating_point():
            line = torch.arange(value.numel(), dtype=torch.float64)
            wave = torch.sin(0.37 * line + place).reshape(value.shape).float()
            found[name] = 1 + wave / 2 if name.endswith("running_var") else wave / 4
        else:
            found[name] = value
    return found


def chirp() -> np.ndarray:
    """One second."""
    line = np.linspace(0, 1, 16_000)
    return (np.sin(2000 * line * (1 + line)) * line / 2).astype(np.float32)


def ecapa_of_waves(folder: Path) -> np.ndarray:
    torch.save(waves(EcapaNetwork(16, 12).state_dict()), folder / "embedding_model.ckpt")
    found: np.ndarray = Ecapa(str(folder)).embed([chirp()])[0]
    return found


def test_ecapa_hears_as_speechbrain_does(tmp_path: Path) -> None:
    """Numbers that SpeechBrain 1.1.2 gives; see the next test."""
    np.testing.assert_allclose(ecapa_of_waves(tmp_path), SPEECHBRAIN, atol=1e-4)


@pytest.mark.oracle
def test_speechbrain_is_an_oracle(tmp_path: Path) -> None:
    """Features, their normalisation and the network of SpeechBrain (which needs torchaudio)."""
    pytest.importorskip("speechbrain", exc_type=ImportError)
    from speechbrain.lobes.features import Fbank
    from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN
    from speechbrain.processing.features import InputNormalization

    network = ECAPA_TDNN(80, lin_neurons=12, channels=[16, 16, 16, 16, 48]).eval()
    network.load_state_dict(waves(network.state_dict()))
    features = Fbank(n_mels=80)(torch.from_numpy(chirp())[None])
    normal = InputNormalization(norm_type="sentence", std_norm=False)
    with torch.inference_mode():
        wanted = network(normal(features, torch.ones(1)))[0, 0].numpy()
    wanted /= np.linalg.norm(wanted)
    np.testing.assert_allclose(ecapa_of_waves(tmp_path), wanted, atol=1e-4)
    np.testing.assert_allclose(SPEECHBRAIN, wanted, atol=1e-4)


def test_utmos(tmp_path: Path) -> None:
    """The mean over frames, twice, and 3: with a head that gives 0.4 for all of them, 3.8."""
    torch.manual_seed(0)
    encoder = transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**SMALL))
    lstm = torch.nn.LSTM(128 + 256, 16, batch_first=True, bidirectional=True)
    layers = torch.nn.Sequential(torch.nn.Linear(32, 24), torch.nn.ReLU(), torch.nn.Linear(24, 1))
    state = {f"wav2vec2.{k}": v for k, v in fairseq(encoder).items()}
    state |= {f"blstm.{k}": v for k, v in lstm.state_dict().items()}
    state |= {f"projection.{k}": v.clone() for k, v in layers.state_dict().items()}
    state |= {"domain_emb": torch.randn(1, 128), "judge_emb": torch.randn(1, 128)}
    torch.save(state, path := tmp_path / "utmos22.pt")
    batch = [Candidate(audio=Audio(clip(n, 16_000 - 3000 * n), 16_000)) for n in range(3)]
    together = scores(UTMOS(str(path)), batch)
    for one, score in zip(batch, together, strict=True):
        sound = torch.from_numpy(one.audio.samples)[None]
        with torch.inference_mode():
            frames = encoder.eval()(sound).last_hidden_state
            kinds = torch.cat([state["domain_emb"], state["judge_emb"]], 1)
            frames = torch.cat([frames, kinds[:, None].expand(-1, frames.shape[1], -1)], 2)
            wanted = layers(lstm(frames)[0]).mean() * 2 + 3
        assert score == pytest.approx(float(wanted), abs=1e-4)
    state["projection.2.weight"].zero_()
    state["projection.2.bias"].fill_(0.4)
    torch.save(state, path)
    assert scores(UTMOS(str(path)), batch).tolist() == pytest.approx([3.8] * 3)
    judges = Judges(f"utmos:{path}")
    assert list(judges(batch[0]).measures) == [f"MOS utmos:{path}"]
    del state["judge_emb"]
    torch.save(state, path)
    with pytest.raises(LlasaError, match="holds the weights of another network"):
        UTMOS(str(path)).load()


def test_emotion(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.HubertConfig(**SMALL, num_labels=4)
    model = transformers.HubertForSequenceClassification(config).eval()
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
    model.save_pretrained(tmp_path)
    extractor.save_pretrained(tmp_path)
    embedder = EmotionEmbedder(tmp_path)
    assert embedder.family == "emotion-hubert"
    given = extractor(clip(), sampling_rate=16_000, return_tensors="pt")
    with torch.inference_mode():
        wanted = model.hubert(**given).last_hidden_state.mean(1)[0].numpy()
    np.testing.assert_allclose(
        embedder.embed([clip()])[0], wanted / np.linalg.norm(wanted), atol=1e-4
    )
    verifier = find_verifier(f"emotion:{tmp_path}")
    audio, other = Audio(clip(), 16_000), Audio(clip(1), 16_000)
    judged = Judges([verifier])(Candidate(audio=audio, prompt=audio), resynthesis=other)
    assert list(judged.measures) == [f"SIM-r emotion:{tmp_path}"]  # nothing is like itself
    (tmp_path / "empty").mkdir()
    with pytest.raises(LlasaError, match="isn't an audio classifier of Transformers"):
        EmotionEmbedder(tmp_path / "empty").load()


@pytest.mark.parametrize("name", ["wavlm", "ecapa", "utmos", "emotion", "ctc", "paraformer"])
def test_each_needs_weights(name: str) -> None:
    with pytest.raises(LlasaError, match=f"The verifier {name} needs a "):
        find_verifier(name)

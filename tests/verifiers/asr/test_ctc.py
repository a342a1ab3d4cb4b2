"""CTC models of Transformers and exported Paraformers, with random weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from llasa.base.errors import LlasaError
from llasa.verifiers.asr.ctc import CTC
from llasa.verifiers.asr.paraformer import Paraformer, hamming_fbank, joined, stacked
from llasa.verifiers.content import Content
from llasa.verifiers.registry import find_verifier

transformers = pytest.importorskip("transformers")
LETTERS = "<pad> <s> </s> <unk> | E T A O N I H S R D L U".split()  # noqa: SIM905


def clip(seed: int = 0, count: int = 16_000) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.01, 0.1, count).astype(np.float32)


@pytest.fixture
def hubert(tmp_path: Path) -> Path:
    """A folder as facebook/hubert-large-ls960-ft is one."""
    import torch

    torch.manual_seed(0)
    config = transformers.HubertConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=[16, 16, 16],
        conv_kernel=[10, 3, 3],
        conv_stride=[5, 4, 4],
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
        vocab_size=len(LETTERS),
    )
    model = transformers.HubertForCTC(config)
    model.lm_head.weight.data.mul_(20)
    model.save_pretrained(tmp_path)
    (tmp_path / "vocab.json").write_text(json.dumps({c: i for i, c in enumerate(LETTERS)}))
    transformers.Wav2Vec2CTCTokenizer(str(tmp_path / "vocab.json")).save_pretrained(tmp_path)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(tmp_path)
    return tmp_path


def test_transcripts_are_those_of_transformers(hubert: Path) -> None:
    recognizer = CTC(hubert)
    assert recognizer.family == "hubert"
    clips = [clip(0), clip(1, 9000), clip(2)]
    processor = transformers.Wav2Vec2Processor.from_pretrained(hubert)
    model = transformers.HubertForCTC.from_pretrained(hubert)
    ears = transformers.pipeline(
        "automatic-speech-recognition",
        model=model,
        tokenizer=processor.tokenizer,
        feature_extractor=processor.feature_extractor,
    )
    wanted = [ears(one)["text"] for one in clips]
    found = recognizer.transcribe(clips)
    assert [heard.text for heard in found] == wanted
    assert any(wanted)
    assert all(heard.logprob < 0 for heard in found)
    assert recognizer.transcribe([clip(0, 5)])[0].text is not None  # shorter than a frame
    verifier = find_verifier(f"ctc:{hubert}")
    assert isinstance(verifier, Content)
    (hubert / "empty").mkdir()
    with pytest.raises(LlasaError, match="isn't a CTC model of Transformers"):
        CTC(hubert / "empty").load()


def write_paraformer(folder: Path) -> np.ndarray:
    """An exported folder whose graph scores each stack of frames by a matrix, which is returned."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto as Type
    from onnx import helper

    weights = np.random.default_rng(0).normal(size=(560, 6)).astype(np.float32)
    one = helper.make_tensor("one", Type.INT32, [1], [1])
    matrix = helper.make_tensor("matrix", Type.FLOAT, weights.shape, weights.ravel())
    nodes = [
        helper.make_node("MatMul", ["speech", "matrix"], ["logits"]),
        helper.make_node("Add", ["speech_lengths", "one"], ["token_num"]),
    ]
    graph = helper.make_graph(
        nodes,
        "paraformer",
        [
            helper.make_tensor_value_info("speech", Type.FLOAT, [1, "time", 560]),
            helper.make_tensor_value_info("speech_lengths", Type.INT32, [1]),
        ],
        [
            helper.make_tensor_value_info("logits", Type.FLOAT, None),
            helper.make_tensor_value_info("token_num", Type.INT32, None),
        ],
        [one, matrix],
    )
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), folder / "model.onnx")
    tokens = ["<blank>", "<s>", "</s>", "你", "好", "the@@"]
    (folder / "tokens.json").write_text(json.dumps(tokens), "utf-8")
    shift, scale = " ".join(["-10"] * 560), " ".join(["0.1"] * 560)
    (folder / "am.mvn").write_text(
        f"<Nnet>\n<AddShift> 560 560\n<LearnRateCoef> 0 [ {shift} ]\n"
        f"<Rescale> 560 560\n<LearnRateCoef> 0 [ {scale} ]\n</Nnet>\n"
    )
    return weights


def test_an_exported_paraformer(tmp_path: Path) -> None:
    weights = write_paraformer(tmp_path)
    recognizer = Paraformer(tmp_path)
    (heard,) = recognizer.transcribe([clip(0, 20_000)])
    frames = stacked(hamming_fbank(clip(0, 20_000)))
    best = ((frames - 10) * 0.1 @ weights).argmax(1)
    tokens = ["<blank>", "<s>", "</s>", "你", "好", "the@@"]
    assert heard.text == joined([tokens[n] for n in best if n not in (0, 2)])
    assert heard.text
    verifier = find_verifier(f"paraformer:{tmp_path}", "zh")
    assert isinstance(verifier, Content)
    assert not verifier.by_word
    (tmp_path / "am.mvn").write_text("nothing")
    with pytest.raises(LlasaError, match=r"its am.mvn has no shift and scale"):
        Paraformer(tmp_path).load()
    (tmp_path / "model.onnx").unlink()
    with pytest.raises(LlasaError, match=r"it has neither model.onnx nor model_quant.onnx"):
        Paraformer(tmp_path).load()


def test_filter_banks_with_a_hamming_window() -> None:
    """Kaldi's recipe, once more: 2^15, no offset, pre-emphasis, window, power, mels, logarithm."""
    from llasa.audio.mel import mel_filters

    wave = clip(3, 1000).astype(np.float64) * 2**15
    frames = np.stack([wave[start : start + 400] for start in (0, 160, 320, 480)])
    frames -= frames.mean(1, keepdims=True)
    frames[:, 1:] -= 0.97 * frames[:, :-1].copy()
    frames[:, 0] *= 0.03
    power = np.abs(np.fft.rfft(frames * np.hamming(400), 512)) ** 2
    wanted = np.log(power @ mel_filters(16_000, 512, 80, "kaldi"))
    np.testing.assert_allclose(hamming_fbank(clip(3, 1000)), wanted, rtol=1e-4, atol=1e-4)


def test_stacks_and_words() -> None:
    frames = np.arange(13, dtype=np.float32)[:, None].repeat(80, 1)
    found = stacked(frames).reshape(-1, 7, 80)[..., 0]
    assert found.tolist() == [
        [0, 0, 0, 0, 1, 2, 3],
        [3, 4, 5, 6, 7, 8, 9],
        [9, 10, 11, 12, 12, 12, 12],
    ]
    assert joined(["今", "天", "open@@", "ai", "好"]) == "今天 openai 好"
    assert joined(["the", "lazy", "dog"]) == "the lazy dog"

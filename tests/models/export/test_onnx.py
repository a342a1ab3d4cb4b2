"""The ONNX export in onnxruntime: tokens, codes and sound are those of PyTorch."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llasa.base.errors import LlasaError
from llasa.codec.codec import Codec
from llasa.codec.config import CodecConfig
from llasa.codec.onnx import OnnxCodec
from llasa.codec.protocol import PhaseState
from llasa.codec.streaming import StreamingDecoder
from llasa.lm.engine import generate
from llasa.models.export.onnx import export_onnx
from llasa.models.find import find_model
from llasa.models.folder import ModelConfig
from llasa.models.voice import Voice
from llasa.tts.llasa import Llasa
from tests.tiny_model import CODEC, HARMONIC, tone, write_tiny_model

pytest.importorskip("onnx", reason="needs the package onnx")
pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")

KINDS = {
    "istft": CODEC,
    "released quirks": replace(CODEC, relu_skip=True, double_bound=True, dilations=(1, 3)),
    "24 kHz": replace(CODEC, output_rate=24_000),
    "harmonic": HARMONIC,
}


@pytest.fixture(scope="module", params=KINDS)
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A model folder and its export."""
    config: CodecConfig = KINDS[request.param]
    folder = tmp_path_factory.mktemp("pair")
    settings = ModelConfig("tiny", default_voice="ann", cloning=not config.speaker_size)
    model = write_tiny_model(folder, settings, config=config)
    return model, export_onnx(find_model(model), folder / "out")


@pytest.fixture(scope="module")
def codecs(pair: tuple[Path, Path]) -> tuple[Codec, OnnxCodec]:
    return Codec.load(pair[0] / "codec", "cpu"), OnnxCodec(pair[1] / "codec")


def codes(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(64, size=count)


def voice_of(codec: Codec | OnnxCodec) -> object:
    return codec.speaker_embedding(tone(1.5))


def test_facts(codecs: tuple[Codec, OnnxCodec]) -> None:
    for name in ("id", "speaker_encoder_id", "sample_rate", "hop", "frame_rate", "codebook_size"):
        assert getattr(codecs[0], name) == getattr(codecs[1], name)


@pytest.mark.parametrize("seconds", [0.3, 1.73])
def test_codes_of_a_recording(codecs: tuple[Codec, OnnxCodec], seconds: float) -> None:
    ours, theirs = (codec.encode([tone(seconds, 22_050)])[0] for codec in codecs)
    assert ours.dtype == theirs.dtype
    assert len(set(ours.tolist())) > 1
    assert (ours == theirs).mean() > 0.98  # a value on the border of two levels may fall either way


@pytest.mark.parametrize("count", [1, 5, 160])
def test_sound(codecs: tuple[Codec, OnnxCodec], count: int) -> None:
    embedding = codecs[0].speaker_embedding(tone(1.5))
    for given in (None, embedding):
        (ours,), (theirs,) = (codec.decode([codes(count)], given) for codec in codecs)
        assert ours.std() > 1e-3
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_speaker_embedding(codecs: tuple[Codec, OnnxCodec]) -> None:
    ours, theirs = (codec.speaker_embedding(tone(1.5)) for codec in codecs)
    if ours is None or theirs is None:
        assert ours is theirs
        return
    np.testing.assert_allclose(ours.values, theirs.values, atol=1e-4)
    assert theirs.id == ours.id


def test_a_part_goes_on_in_phase(codecs: tuple[Codec, OnnxCodec]) -> None:
    phase = PhaseState(100, 0.3)
    (ours, then), (theirs, also) = (
        codec.decode_part(codes(60), 20, 45, phase, 0.2) for codec in codecs
    )
    assert len(ours) == 40 * codecs[0].hop
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
    assert then.frames == also.frames
    assert abs((then.cycles - also.cycles + 0.5) % 1 - 0.5) < 1e-3


def test_a_stream(codecs: tuple[Codec, OnnxCodec]) -> None:
    said = []
    for codec in codecs:
        stream = StreamingDecoder(codec)
        pieces = [stream.push(codes(30, seed)) for seed in range(4)]
        said.append(np.concatenate([*pieces, stream.finish()]))
    assert len(said[0]) == 120 * codecs[0].hop
    np.testing.assert_allclose(said[0], said[1], atol=1e-3)


def test_bad_input_is_refused_alike(codecs: tuple[Codec, OnnxCodec]) -> None:
    for codec in codecs:
        with pytest.raises(LlasaError, match="holds code 64: valid are 0 to 63"):
            codec.decode([np.array([64])])
        with pytest.raises(LlasaError, match="cannot go from 9 to 5"):
            codec.decode_part(codes(10), 9, 5)
        with pytest.raises(LlasaError, match="too short"):
            codec.encode([np.zeros(100, np.float32)])


@pytest.mark.parametrize("rule", [{"temperature": 0}, {"seed": 3, "top_k": 20, "top_p": 0.9}])
def test_speech(pair: tuple[Path, Path], rule: dict[str, Any]) -> None:
    ours = Llasa.load(pair[0], device="cpu")("A fox.", max_seconds=2, **rule)
    theirs = Llasa.load(pair[1], engine="onnx")("A fox.", max_seconds=2, **rule)
    np.testing.assert_allclose(ours.audio.samples, theirs.audio.samples, atol=1e-3)


def test_phones_are_named_and_not_heard(named: Path, tmp_path: Path) -> None:
    tts = Llasa.load(export_onnx(find_model(named), tmp_path / "out"), engine="onnx")
    for voice in ("ann", "bob"):
        task = tts.task(tts.request("A fox.", voice=voice, temperature=0), 0)
        (said,) = generate(tts.engine, [task.prompt], [task.params])
        assert len(tts.vocabulary.ids_to_phones(said.tokens)) > 3
        ours, theirs = (
            model("A fox.", voice=voice, temperature=0)
            for model in (Llasa.load(named, device="cpu"), tts)
        )
        assert theirs.codes.tolist() == ours.codes.tolist()
        assert len(theirs.audio.samples) == tts.codec.hop * len(theirs.codes)
        np.testing.assert_allclose(ours.audio.samples, theirs.audio.samples, atol=1e-3)


def test_many_at_once_and_a_voice_of_its_own(pair: tuple[Path, Path], tmp_path: Path) -> None:
    tts = Llasa.load(pair[1], engine="onnx")
    together = tts(["A fox.", "The lazy dog jumps."], seed=2, max_seconds=1)
    alone = tts("The lazy dog jumps.", seed=2, max_seconds=1)
    np.testing.assert_allclose(together[1].audio.samples, alone.audio.samples, atol=1e-4)
    cloned = tts.clone(tone(2), "The lazy dog jumps.")
    cloned.save(tmp_path / "me.safetensors")
    assert Voice.load(tmp_path / "me.safetensors").fits(Llasa.load(pair[0], device="cpu").codec)


def test_nano(tmp_path: Path) -> None:
    out = export_onnx(find_model("nano"), tmp_path / "out")
    text = "The quick brown fox jumps over the lazy dog."
    ours = Llasa.load("nano", device="cpu")(text, temperature=0)
    theirs = Llasa.load(out, engine="onnx")(text, temperature=0)
    np.testing.assert_allclose(ours.audio.samples, theirs.audio.samples, atol=1e-3)


def test_half_precision_is_kept_where_it_is_exact(pair: tuple[Path, Path]) -> None:
    import onnx

    kinds = {
        weight.data_type
        for weight in onnx.load(pair[1] / "lm" / "model.onnx").graph.initializer
        if np.prod(weight.dims) > 5000 and weight.name not in ("cos", "sin")  # of any place
    }
    assert kinds == {onnx.TensorProto.FLOAT16}  # the model was packed in float16


def test_an_export_of_another_version(pair: tuple[Path, Path], tmp_path: Path) -> None:
    import onnx

    shutil.copytree(pair[1], tmp_path / "old")
    graph = tmp_path / "old" / "lm" / "model.onnx"
    model = onnx.load(graph)
    del model.graph.output[1:]
    onnx.save(model, graph)
    with pytest.raises(LlasaError, match="written by another version of llasa: run"):
        Llasa.load(tmp_path / "old", engine="onnx")


def test_too_large_for_one_file(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llasa.models.export.onnx._LARGEST", 1000)
    with pytest.raises(LlasaError, match="export it with gguf or hf"):
        export_onnx(find_model(tiny), tmp_path / "out")
    assert not (tmp_path / "out").exists()

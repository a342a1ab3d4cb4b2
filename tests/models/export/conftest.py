"""Models to export, and what the engine of this package says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from llasa.lm.checkpoint import load_llama, save_llama
from llasa.lm.config import LlamaConfig
from llasa.lm.engine import generate
from llasa.lm.llama import Llama
from llasa.lm.sampling import SamplingParams
from llasa.lm.torch import TorchEngine
from llasa.models.folder import ModelConfig
from llasa.models.pack import pack_model
from llasa.text import PLAIN
from llasa.vocabulary.tokenizer import train_bpe
from llasa.vocabulary.vocabulary import Vocabulary
from tests.tiny_model import HARMONIC, tiny_codec, tiny_llama, tiny_voice

TEXT = "the quick brown fox jumps over the lazy dog."
PHONES = (" ", "A", "b", "æ", "ŋ", "ᵻ", *(f"x{number}" for number in range(14)))
"""As the recipe of nano has them, and so many that a random model names some."""


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory, llama3: Vocabulary) -> Path:
    """A language model with the tokens and the kind of config of the released ones, in bf16."""
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=llama3.size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        rms_norm_eps=1e-5,
        rope_theta=500_000.0,
        rope_scaling={
            "rope_type": "llama3",
            "factor": 32.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
        tie_word_embeddings=True,
        max_position_embeddings=512,
    )
    llama = Llama(config)
    for weight in llama.parameters():
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.25)
    folder = tmp_path_factory.mktemp("released")
    save_llama(llama.bfloat16(), folder)
    llama3.save(folder)
    return folder


@pytest.fixture(scope="session")
def named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model as nano will be: it names phones and speaks letters, in the voices ann and bob.

    Its likeliest tokens are many codes and some phones; the voice bob is one by its name, too.
    """
    folder = tmp_path_factory.mktemp("named")
    tokenizer = train_bpe(["hehe hehe"], 257)  # as in nano, h and e are one token
    vocabulary = Vocabulary.extend(tokenizer, 64, phones=PHONES)
    codec = tiny_codec(config=HARMONIC)
    llama = tiny_llama(vocabulary)
    with torch.no_grad():
        for weight in llama.model.layers.parameters():
            if weight.dim() > 1:
                torch.nn.init.normal_(weight, std=0.5)
        llama.model.embed_tokens.weight[: vocabulary.speech_start].mul_(0.1)
    save_llama(llama, folder / "lm")
    vocabulary.save(folder / "lm")
    codec.save(folder / "codec")
    voices = [tiny_voice(codec), replace(tiny_voice(codec, "bob"), speaker="bob")]
    rule = {"temperature": 0.9, "top_k": 30, "top_p": 0.9, "min_p": 0.01}
    settings = ModelConfig("named", sampling=rule, cloning=False, form=PLAIN, max_tokens=1000)
    parts = (folder / "lm", folder / "codec", folder / "named", settings)
    return pack_model(*parts, voices=voices)


def greedy(lm: Path, prompt: Sequence[int], count: int = 40) -> list[int]:
    """The likeliest tokens among all of the vocabulary, the end token last where it came."""
    vocabulary = Vocabulary.load(lm)
    engine = TorchEngine(load_llama(lm), None, [vocabulary.end])
    rule = SamplingParams(temperature=0, max_tokens=count)
    (said,) = generate(engine, [prompt], rule)
    return said.tokens + [vocabulary.end] * (said.finish == "stop")

"""Small models made of the real parts with random weights, for everything that speaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from llasa.audio.audio import Audio, Samples
from llasa.codec.codec import Codec
from llasa.codec.config import CodecConfig, SemanticConfig
from llasa.codec.model import CodecModel
from llasa.codec.protocol import CodecLike
from llasa.lm.checkpoint import save_llama
from llasa.lm.config import LlamaConfig
from llasa.lm.llama import Llama
from llasa.models.folder import ModelConfig
from llasa.models.pack import pack_model
from llasa.models.voice import Voice
from llasa.vocabulary.tokenizer import train_bpe
from llasa.vocabulary.vocabulary import Vocabulary

TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "Convert the text to speech, then convert the speech to text.",
]
CODEC = CodecConfig(
    encoder_channels=4,
    acoustic_size=24,
    semantic=SemanticConfig(kind="conv", layers=1, size=16, mlp_size=24, heads=1),
    levels=(4,) * 3,
    decoder_size=32,
    decoder_layers=1,
    decoder_heads=2,
    decoder_mlp_size=48,
    norm_groups=8,
)
HARMONIC = replace(
    CODEC, decoder_head="harmonic", decoder_window=4, time_rotary=True, speaker_size=8
)


def tiny_vocabulary(phones: Sequence[str] = ()) -> Vocabulary:
    """300 text tokens and 64 codes."""
    return Vocabulary.extend(train_bpe(TEXTS, 300), 64, phones=phones)


def tiny_codec(seed: int = 0, config: CodecConfig = CODEC) -> Codec:
    """A codec that makes audible noise."""
    torch.manual_seed(seed)
    model = CodecModel(config)
    with torch.no_grad():  # codes that differ; soft noise, not full scale
        model.quantizer.project_in.weight.mul_(3)
        if model.decoder.conditioning is not None:  # which otherwise begins with zeros
            torch.nn.init.normal_(model.decoder.conditioning.weight)
    return Codec(model, "cpu")


def tiny_llama(vocabulary: Vocabulary, ends: float | None = None, seed: int = 0) -> Llama:
    """A Llama whose next token is nearly random.

    With `ends` its layers do nothing, and the end token's logit is always so much above those of
    the codes, which are all alike: a large number ends at once, a negative one never.
    """
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary.size,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        tie_word_embeddings=True,
        eos_token_id=vocabulary.end,
    )
    llama = Llama(config)
    if ends is not None:
        with torch.no_grad():
            for layer in llama.model.layers:
                layer.self_attn.o_proj.weight.zero_()
                layer.mlp.down_proj.weight.zero_()
            rows = llama.model.embed_tokens.weight
            rows.zero_()
            rows[:, 0] = 1.0  # every token has the same hidden state, sqrt(32) after the norm
            rows[vocabulary.end, 0] += ends / 32**0.5
    return llama


def write_tiny_model(
    folder: Path,
    settings: ModelConfig | None = None,
    *,
    ends: float | None = None,
    seed: int = 0,
    config: CodecConfig = CODEC,
    phones: Sequence[str] = (),
) -> Path:
    """A model folder with the voice `ann` (1.5 s of random codes), if it can speak with it."""
    vocabulary, codec = tiny_vocabulary(phones), tiny_codec(config=config)
    lm, sound = folder / "parts" / "lm", folder / "parts" / "codec"
    save_llama(tiny_llama(vocabulary, ends, seed), lm)
    vocabulary.save(lm)
    codec.save(sound)
    settings = settings or ModelConfig("tiny", default_voice="ann")
    voices = [tiny_voice(codec)] if settings.cloning or config.speaker_size else []
    return pack_model(lm, sound, folder / "tiny", settings, voices=voices)


def tiny_voice(codec: CodecLike, name: str = "ann") -> Voice:
    """A voice of random codes."""
    codes = torch.randint(64, (75,), generator=torch.Generator().manual_seed(1)).numpy()
    embedding = codec.speaker_embedding(tone(1.5))
    words = "The lazy dog jumps."
    return Voice(name, words, codes, codec.id, codec.frame_rate, speaker_embedding=embedding)


def tone(seconds: float, rate: int = 16_000, channels: int = 1) -> Audio:
    """A sound that is no silence: a gliding tone with some noise."""
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(0).normal(size=time.shape)
    samples = 0.3 * np.sin(2 * np.pi * (150 + 40 * np.sin(3 * time)) * time) + 0.02 * noise
    wave: Samples = samples.astype(np.float32)
    return Audio(wave if channels == 1 else np.stack([wave] * channels, axis=1), rate)

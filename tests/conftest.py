"""Fixtures shared by all tests."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from llasa.vocabulary.tokenizer import train_bpe
from llasa.vocabulary.vocabulary import Vocabulary

# A shell in the background starts its programs with Ctrl-C ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

LLAMA3_SPECIAL = [
    "<|begin_of_text|>",
    "<|end_of_text|>",
    *(f"<|reserved_special_token_{i}|>" for i in range(4)),
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|reserved_special_token_4|>",
    "<|eot_id|>",
    *(f"<|reserved_special_token_{i}|>" for i in range(5, 251)),
]
LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CORPUS = [
    "The quick brown fox jumps over the lazy dog.",
    "Convert the text to speech, then convert the speech to text.",
    "system user assistant Cutting Knowledge Date December Today Speaker",
]


def llama3_tokenizer() -> Tokenizer:
    """A tokenizer laid out as Llama 3's (128,000 text ids, 256 special ones), with few merges."""
    small = train_bpe(CORPUS * 3, 400)
    vocab = small.get_vocab()
    vocab.update({f"\x00{i}": i for i in range(len(vocab), 128_000)})
    merges = [tuple(pair) for pair in json.loads(small.to_str())["model"]["merges"]]
    tokenizer = Tokenizer(models.BPE(vocab, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in LLAMA3_SPECIAL])
    return tokenizer


@pytest.fixture(scope="session")
def llama3_base() -> Tokenizer:
    """Base tokenizer with the ids of Llama 3."""
    return llama3_tokenizer()


@pytest.fixture(scope="session")
def llama3(llama3_base: Tokenizer) -> Vocabulary:
    """Vocabulary with the released ids: 193,800 tokens."""
    return Vocabulary.extend(llama3_base, 65_536)


@pytest.fixture(scope="session")
def compact() -> Vocabulary:
    """Vocabulary of a small model: 300 text tokens, 64 codes."""
    return Vocabulary.extend(train_bpe(CORPUS, 300), 64)


@pytest.fixture(scope="session")
def speech_data() -> Path:
    """Folder of real recordings (environment variable LLASA_DATA)."""
    folder = Path(os.environ.get("LLASA_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (folder / "librispeech.jsonl").exists():
        pytest.skip(f"no recordings in {folder}: set LLASA_DATA to the folder that holds them")
    return folder

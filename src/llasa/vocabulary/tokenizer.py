"""Text tokenizers, and the control and speech tokens that a released one holds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llasa.base import hub
from llasa.base.errors import LlasaError, first_line
from llasa.base.files import read_bytes

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER_FILE = "tokenizer.json"
CONTROL_TOKENS = (
    "<|TEXT_GENERATION_START|>",
    "<|TEXT_GENERATION_END|>",
    "<|TEXT_UNDERSTANDING_START|>",
    "<|TEXT_UNDERSTANDING_END|>",
    "<|SPEECH_GENERATION_START|>",
    "<|SPEECH_GENERATION_END|>",
    "<|SPEECH_UNDERSTANDING_START|>",
    "<|SPEECH_UNDERSTANDING_END|>",
)
_PHONE = "<|phone_"
HEADER_TOKENS = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")


def train_bpe(texts: Iterable[str], size: int) -> Tokenizer:
    """Train a small byte-level BPE on raw text (case kept, no normalisation).

    `size` counts the 256 bytes. A space is put before the first word, so that a word has the same
    tokens at the start of a text and inside it.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    if size < 256:
        raise LlasaError(f"A byte-level tokenizer needs at least 256 tokens, not {size}.")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def read_tokenizer(name: str | Path) -> Tokenizer:
    """A text tokenizer: a tokenizer.json, the folder that holds it, or a hub id.

    Raises `LlasaError` where there is none, or it is damaged.
    """
    from tokenizers import Tokenizer

    path = hub.expand(name)
    if not path.is_file():
        path = hub.find_folder(name, (TOKENIZER_FILE,)) / TOKENIZER_FILE
    try:
        return Tokenizer.from_str(read_bytes(path, "a tokenizer").decode())
    except (KeyboardInterrupt, SystemExit, LlasaError):
        raise
    except BaseException as error:  # tokenizers raises no narrower type, and panics
        raise LlasaError(
            f"{path} is not a Hugging Face tokenizer file ({first_line(error)})."
        ) from error


def phone_token(symbol: str) -> str:
    """Name of a phone's token in a tokenizer that has all tokens."""
    return f"{_PHONE}{symbol}|>"


def is_token(entry: object) -> bool:
    """Whether an entry of `added_tokens` in a tokenizer.json is one: it has a content and an id."""
    if not isinstance(entry, dict):
        return False
    return isinstance(entry.get("content"), str) and type(entry.get("id")) is int


def take_speech_tokens(spec: dict[str, Any], path: Path) -> tuple[int, int] | None:
    """Remove all but the base tokens from a parsed tokenizer.json; its base and codebook size.

    None where it has none; `LlasaError` where they are not in the released order.
    """
    ids = {token["content"]: token["id"] for token in spec["added_tokens"]}
    if CONTROL_TOKENS[0] not in ids:
        return None
    base_size = ids[CONTROL_TOKENS[0]]
    codes = 0
    while f"<|s_{codes}|>" in ids:
        codes += 1
    names = (*CONTROL_TOKENS, *(f"<|s_{code}|>" for code in range(codes)))
    if codes == 0 or any(ids.get(name) != id_ for id_, name in enumerate(names, base_size)):
        raise LlasaError(
            f"{path} holds speech tokens, but not in the released order (eight control tokens, "
            "then <|s_0|>, <|s_1|>, ... with consecutive ids)."
        )
    taken = set(names)
    spec["added_tokens"] = [
        token
        for token in spec["added_tokens"]
        if token["content"] not in taken and not token["content"].startswith(_PHONE)
    ]
    return base_size, codes

"""Token ids: text, control tokens, codes and phones, each to ids and back.

Eight control tokens and `<|s_0|> ... <|s_{n-1}|>` follow any base tokenizer in the released order
(paper section 3.1), and then the phones, where there are some.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from llasa.base.errors import LlasaError, first_line
from llasa.base.names import check_choice, check_whole
from llasa.vocabulary.tokenizer import CONTROL_TOKENS, HEADER_TOKENS

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Ids = NDArray[np.int64]
Moments = NDArray[np.float64]
"""Times in codes since the speech began."""
CodesLike = Sequence[int] | NDArray[np.integer[Any]]
PromptStyle = Literal["llama3", "compact"]

PHONES_PER_CODE = 0.5
"""The most phone tokens to expect for each code, pauses between words included."""


class TokenIds:
    """A base tokenizer, eight control tokens and one token for each code of the codec."""

    def __init__(
        self,
        tokenizer_spec: dict[str, Any],
        base_size: int,
        codebook_size: int,
        style: PromptStyle | None = None,
        phones: Sequence[str] = (),
    ) -> None:
        """Use `Vocabulary.extend` or `load`; the spec is a tokenizer.json without speech tokens."""
        from tokenizers import Tokenizer

        # Text is encoded by a tokenizer that knows no added tokens at all, so that no string a
        # user types can become a control, header or speech token.
        self._extras = {
            key: tokenizer_spec.get(key)
            for key in ("added_tokens", "post_processor", "truncation", "padding")
        }
        bare = {**tokenizer_spec, **dict.fromkeys(self._extras), "added_tokens": []}
        try:
            self.text_tokenizer: Tokenizer = Tokenizer.from_str(json.dumps(bare))
            """Of plain text; it has no added tokens."""
            self.text_tokenizer.encode("A fox.")
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # tokenizers raises no narrower type, and panics
            raise LlasaError(f"The tokenizer file is damaged: {first_line(error)}.") from error
        self.added_tokens: dict[str, int] = {
            token["content"]: token["id"] for token in tokenizer_spec["added_tokens"]
        }
        """Ids of the base tokenizer's own special tokens, by name."""
        missing = [name for name in HEADER_TOKENS if name not in self.added_tokens]
        self.style: PromptStyle = style or ("compact" if missing else "llama3")
        self.base_size = base_size
        self.codebook_size = codebook_size
        self.codec = ""
        """Id of the codec whose codes these are; "" where it is not known."""
        check_whole(codebook_size=codebook_size)
        check_choice(self.style, get_args(PromptStyle), "Prompt style")
        if self.style == "llama3" and missing:
            raise LlasaError(
                f"Prompt style llama3 needs {', '.join(missing)}, which the base tokenizer does "
                "not have: use a Llama 3 tokenizer or the style compact."
            )
        self.speech_start = base_size + len(CONTROL_TOKENS)
        """Id of `<|s_0|>`; the id of a code is this plus the code."""
        self.end = self.control_id("SPEECH_GENERATION_END")
        """The token at which speech generation stops."""
        self.phones = tuple(phones)
        """Symbols of the phone tokens, which follow the speech tokens; () where there are none."""
        self.phone_start = self.speech_start + codebook_size
        """Id of the first phone token."""
        self._phone_ids = {symbol: self.phone_start + i for i, symbol in enumerate(self.phones)}
        if len(self._phone_ids) < len(self.phones):
            raise LlasaError("The phones of a vocabulary must differ from each other.")
        self.size = self.phone_start + len(self.phones)
        """Number of ids: rows of the embedding."""
        self.eot = self.added_tokens.get("<|eot_id|>")
        self.text_end = self.control_id("TEXT_GENERATION_END")
        """The token at which a transcript stops."""

    @property
    def text_ids(self) -> range:
        """Ids of plain text: what a transcript is made of."""
        return range(self.text_tokenizer.get_vocab_size(with_added_tokens=False))

    def control_id(self, name: str) -> int:
        """Id of a control token, such as SPEECH_GENERATION_START."""
        return self.base_size + CONTROL_TOKENS.index(f"<|{name}|>")

    def encode_text(self, text: str) -> list[int]:
        """Ids of plain text. Strings that look like control tokens stay text."""
        # An empty string would become a lone space where the tokenizer puts one before each text.
        return list(self.text_tokenizer.encode(text, add_special_tokens=False).ids) if text else []

    def decode_text(self, ids: Iterable[int]) -> str:
        """Text of the ids, ignoring all but text tokens; outer whitespace is removed."""
        added = set(self.added_tokens.values())
        kept = [int(i) for i in ids if 0 <= i < self.base_size and i not in added]
        return str(self.text_tokenizer.decode(kept, skip_special_tokens=False)).strip()

    def codes_to_ids(self, codes: CodesLike) -> Ids:
        """Ids of the codec's codes (0 to codebook_size - 1), shape (n,)."""
        array = np.asarray(codes, dtype=np.int64).reshape(-1)
        if array.size and not 0 <= array.min() <= array.max() < self.codebook_size:
            raise LlasaError(
                f"Codes run from {array.min()} to {array.max()}, but this vocabulary has "
                f"{self.codebook_size} codes (0 to {self.codebook_size - 1}): the codec and the "
                "model do not belong together, or the codes already carry the token offset."
            )
        return array + self.speech_start

    def ids_to_codes(self, ids: CodesLike) -> Ids:
        """Codes of speech token ids, shape (n,), without phones; any other token is an error."""
        array = np.asarray(ids, dtype=np.int64).reshape(-1)
        if array.size and not self.speech_start <= array.min() <= array.max() < self.size:
            raise LlasaError(
                f"Ids from {array.min()} to {array.max()} are not all speech tokens "
                f"({self.speech_start} to {self.size - 1})."
            )
        return array[array < self.phone_start] - self.speech_start

    def ids_to_phones(self, ids: CodesLike) -> list[tuple[str, int]]:
        """The phones that are named among speech token ids, each with the codes before it."""
        array = np.asarray(ids, dtype=np.int64).reshape(-1)
        named = array >= self.phone_start
        before = np.cumsum(~named)[named].tolist()
        symbols = [self.phones[id_] for id_ in (array[named] - self.phone_start).tolist()]
        return list(zip(symbols, before, strict=True))

    def named_ids(self, codes: CodesLike, phones: Sequence[tuple[str, int]]) -> Ids:
        """Ids of codes with their phones, each with the codes before it, as `ids_to_phones`."""
        ids = self.codes_to_ids(codes)
        if not phones:
            return ids
        tokens = [self._phone_ids[symbol] for symbol, _ in phones]
        return np.insert(ids, [before for _, before in phones], tokens)

    def token_rate(self, frame_rate: float) -> float:
        """The most tokens that a second of speech takes, for a codec of `frame_rate` codes."""
        return frame_rate * (1 + PHONES_PER_CODE * bool(self.phones))

    def interleaved(
        self, codes: CodesLike, phones: Sequence[tuple[str, float]]
    ) -> tuple[list[int], Moments]:
        """Ids of codes with each phone before its first code, and when each is spoken."""
        ids = self.codes_to_ids(codes)
        moments = np.arange(len(ids), dtype=np.float64) + 0.5
        runs = [(symbol, list(run)[-1][1]) for symbol, run in groupby(phones, lambda p: p[0])]
        starts = [0.0, *(end for _, end in runs)]
        named = [
            (self._phone_ids[symbol], start)
            for (symbol, _), start in zip(runs, starts, strict=False)
            if symbol in self._phone_ids and start < len(ids)
        ]
        if not named:
            return ids.tolist(), moments
        tokens, begins = (np.array(part) for part in zip(*named, strict=True))
        places = np.ceil(begins - 0.5).astype(np.int64).clip(0, len(ids))
        return np.insert(ids, places, tokens).tolist(), np.insert(moments, places, begins)

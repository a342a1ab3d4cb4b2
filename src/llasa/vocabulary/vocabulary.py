"""``Vocabulary``: token ids, prompts and training rows of a Llama that speaks, in one object.

Prompts for inference and rows for training are built by the same functions, so the two cannot
disagree.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llasa.base.errors import LlasaError
from llasa.base.files import make_folder, read_json, write_atomic, write_json
from llasa.base.names import whole
from llasa.vocabulary.ids import PromptStyle
from llasa.vocabulary.rows import RowBuilder
from llasa.vocabulary.tokenizer import (
    CONTROL_TOKENS,
    TOKENIZER_FILE,
    is_token,
    take_speech_tokens,
)

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MOST = 1 << 28
"""A bound on sizes in files, far above those of any model."""
VOCABULARY_FILE = "vocabulary.json"


class Vocabulary(RowBuilder):
    """A base tokenizer with control and speech tokens; made by `extend` or `load`."""

    @classmethod
    def extend(
        cls,
        base_tokenizer: Tokenizer,
        codebook_size: int,
        style: PromptStyle | None = None,
        phones: Sequence[str] = (),
    ) -> Vocabulary:
        """Append control, speech and, if wanted, phone tokens to a text tokenizer.

        The style defaults to `llama3` where the Llama 3 header tokens exist, else `compact`.
        """
        spec = json.loads(base_tokenizer.to_str())
        names = base_tokenizer.get_vocab(with_added_tokens=True)
        if any(name in names for name in (*CONTROL_TOKENS, "<|s_0|>")):
            raise LlasaError(
                "The tokenizer already holds speech tokens: load its folder with "
                "Vocabulary.load, or extend a plain text tokenizer."
            )
        return cls(spec, max(names.values()) + 1, codebook_size, style, phones)

    @classmethod
    def load(cls, folder: str | Path) -> Vocabulary:
        """Read a model folder: a released tokenizer.json, or ours with a vocabulary.json beside it.

        Raises `LlasaError` where files are missing, damaged or hold no speech tokens.
        """
        folder = Path(folder)
        spec = read_json(folder / TOKENIZER_FILE)
        added = spec.get("added_tokens")
        if not isinstance(added, list) or not all(map(is_token, added)) or "model" not in spec:
            raise LlasaError(f"{folder / TOKENIZER_FILE} is not a Hugging Face tokenizer file.")
        released = take_speech_tokens(spec, folder / TOKENIZER_FILE)
        path = folder / VOCABULARY_FILE
        if not path.exists():
            if released is None:
                raise LlasaError(
                    f"{folder / TOKENIZER_FILE} has no speech tokens and there is no "
                    f"{VOCABULARY_FILE} beside it: this is a text model, not one that speaks."
                )
            return cls(spec, *released)
        settings = read_json(path)
        try:
            base, codes, style = (settings[key] for key in ("base_size", "codebook_size", "style"))
            sizes = whole("base_size", base, 0, MOST), whole("codebook_size", codes, 1, MOST)
            phones = tuple(map(str, settings.get("phones", ())))
        except (KeyError, TypeError, LlasaError) as error:
            raise LlasaError(
                f"{path} is damaged: it must give base_size, codebook_size and style."
            ) from error
        if released is not None and released != sizes:
            raise LlasaError(
                f"{path} says base and codebook sizes {sizes}, but {TOKENIZER_FILE} holds "
                f"{released}: the two files belong to different models."
            )
        vocabulary = cls(spec, *sizes, style, phones)
        vocabulary.codec = str(settings.get("codec", ""))
        return vocabulary

    def tokenizer_spec(self) -> dict[str, Any]:
        """The base tokenizer as a tokenizer.json has it: no control or speech tokens."""
        return {**json.loads(self.text_tokenizer.to_str()), **self._extras}

    def save(self, folder: str | Path) -> None:
        """Write tokenizer.json (the base tokenizer) and vocabulary.json."""
        folder = make_folder(Path(folder))
        text = json.dumps(self.tokenizer_spec(), ensure_ascii=False, separators=(",", ":"))
        write_atomic(folder / TOKENIZER_FILE, text.encode())
        keys = ("base_size", "codebook_size", "style", "codec")
        values: dict[str, Any] = {key: getattr(self, key) for key in keys}
        if self.phones:
            values["phones"] = list(self.phones)
        write_json(folder / VOCABULARY_FILE, values)

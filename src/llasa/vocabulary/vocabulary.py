"""Token ids, prompts and training rows of a Llama that speaks: one place for all three.

Eight control tokens and `<|s_0|> ... <|s_{n-1}|>` follow any base tokenizer in the released order
(paper section 3.1). Prompts for inference and rows for training come from the same functions, so
the two cannot disagree. Two prompt styles exist: `llama3`, the frozen chat text of the released
models (its date included), and `compact`, control tokens only, for small models.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from llasa.base.errors import LlasaError, first_line
from llasa.base.files import make_folder, read_json, write_atomic, write_json
from llasa.base.names import check_choice, check_whole, whole
from llasa.vocabulary.tokenizer import CONTROL_TOKENS, HEADER_TOKENS, is_token, take_speech_tokens

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Ids = NDArray[np.int64]
Moments = NDArray[np.float64]
"""Times in codes since the speech began."""
Codes = Sequence[int] | NDArray[np.integer[Any]]
Style = Literal["llama3", "compact"]
Task = Literal["tts", "asr"]

SYSTEM_TEXT = "\n\nCutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
TASKS: dict[Task, tuple[str, int, int, int]] = {
    "tts": ("Convert the text to speech:", 2, 3, 4),
    "asr": ("Convert the speech to text:", 6, 7, 0),
}
"""Instruction; control tokens before and after what the user gives, and before the answer."""

MAX_TOKENS = 2048
PHONES_PER_CODE = 0.5
"""More phone tokens than that do not come for a code: pauses between words count, too."""
MOST = 1 << 28
"""Ids that no vocabulary has."""
IGNORE = -100
"""Label of a position that is not learnt."""

TOKENIZER_FILE = "tokenizer.json"
VOCABULARY_FILE = "vocabulary.json"


@dataclass(frozen=True)
class Row:
    """One utterance as a language model is trained on it.

    `ids`, `labels` and `attention_mask` are int64 of equal length; labels are not shifted
    (`labels[i]` is `ids[i]` or -100), as Transformers expects them.
    """

    ids: Ids
    labels: Ids
    attention_mask: Ids
    text_span: tuple[int, int]
    """Positions of the text tokens, end exclusive."""
    speech_start: int
    """Position of the token that opens the speech."""
    cut: int
    """Tokens of the speech that did not fit and were left out."""
    prompt: tuple[int, int] = (0, 0)
    """Text tokens and codes at the start of text and speech that are the voice prompt."""
    moments: Moments = field(default_factory=lambda: np.zeros(0))
    """When each token of the answer is spoken, in codes: a code in its middle, a phone where it
    begins, END after all."""
    timing: Sequence[tuple[float, float]] = ()
    """Of the text and codes after the prompt: a share of the text, the codes that say it."""
    phones: Sequence[tuple[str, float]] = ()
    """Of the codes after the prompt: symbols, each with the codes after which it ends."""
    prompt_timing: Sequence[tuple[float, float]] = ()
    prompt_phones: Sequence[tuple[str, float]] = ()
    """The same of the prompt."""


class Vocabulary:
    """A base tokenizer, eight control tokens and one token for each code of the codec."""

    def __init__(
        self,
        tokenizer_spec: dict[str, Any],
        base_size: int,
        codebook_size: int,
        style: Style | None = None,
        phones: Sequence[str] = (),
    ) -> None:
        """Use `extend` or `load`; the spec is a parsed tokenizer.json without speech tokens."""
        from tokenizers import Tokenizer

        # Text is encoded by a tokenizer that knows no added tokens at all, so that no string a
        # user types can become a control, header or speech token.
        self._extras = {
            key: tokenizer_spec.get(key)
            for key in ("added_tokens", "post_processor", "truncation", "padding")
        }
        bare = {**tokenizer_spec, **dict.fromkeys(self._extras), "added_tokens": []}
        try:
            self._text: Tokenizer = Tokenizer.from_str(json.dumps(bare))
            self._text.encode("A fox.")
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # tokenizers raises no narrower type, and panics
            raise LlasaError(f"The tokenizer file is damaged: {first_line(error)}.") from error
        self._added: dict[str, int] = {
            token["content"]: token["id"] for token in tokenizer_spec["added_tokens"]
        }
        missing = [name for name in HEADER_TOKENS if name not in self._added]
        self.style: Style = style or ("compact" if missing else "llama3")
        self.base_size = base_size
        self.codebook_size = codebook_size
        self.codec = ""
        """Id of the codec whose codes these are; "" where it is not known."""
        check_whole(codebook_size=codebook_size)
        check_choice(self.style, get_args(Style), "Prompt style")
        if self.style == "llama3" and missing:
            raise LlasaError(
                f"Prompt style llama3 needs {', '.join(missing)}, which the base tokenizer does "
                "not have: use a Llama 3 tokenizer or the style compact."
            )
        (
            self.text_generation_start,
            self.text_generation_end,
            self.text_understanding_start,
            self.text_understanding_end,
            self.speech_generation_start,
            self.speech_generation_end,
            self.speech_understanding_start,
            self.speech_understanding_end,
        ) = range(base_size, base_size + len(CONTROL_TOKENS))
        self.speech_start = base_size + len(CONTROL_TOKENS)
        """Id of `<|s_0|>`; the id of a code is this plus the code."""
        self.end = self.speech_generation_end
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
        self.eot = self._added.get("<|eot_id|>")

    # -- creation and files ---------------------------------------------------------------

    @classmethod
    def extend(
        cls,
        base_tokenizer: Tokenizer,
        codebook_size: int,
        style: Style | None = None,
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

    def save(self, folder: str | Path) -> None:
        """Write tokenizer.json (the base tokenizer) and vocabulary.json."""
        folder = make_folder(Path(folder))
        spec = {**json.loads(self._text.to_str()), **self._extras}
        text = json.dumps(spec, ensure_ascii=False, separators=(",", ":"))
        write_atomic(folder / TOKENIZER_FILE, text.encode())
        keys = ("base_size", "codebook_size", "style", "codec")
        values: dict[str, Any] = {key: getattr(self, key) for key in keys}
        if self.phones:
            values["phones"] = list(self.phones)
        write_json(folder / VOCABULARY_FILE, values)

    # -- text and codes to ids and back ---------------------------------------------------

    def encode_text(self, text: str) -> list[int]:
        """Ids of plain text. Strings that look like control tokens stay text."""
        # An empty string would become a lone space where the tokenizer puts one before each text.
        return list(self._text.encode(text, add_special_tokens=False).ids) if text else []

    def decode_text(self, ids: Iterable[int]) -> str:
        """Text of the ids, ignoring all but text tokens; outer whitespace is removed."""
        added = set(self._added.values())
        kept = [int(i) for i in ids if 0 <= i < self.base_size and i not in added]
        return str(self._text.decode(kept, skip_special_tokens=False)).strip()

    def codes_to_ids(self, codes: Codes) -> Ids:
        """Ids of the codec's codes (0 to codebook_size - 1), shape (n,)."""
        array = np.asarray(codes, dtype=np.int64).reshape(-1)
        if array.size and not 0 <= array.min() <= array.max() < self.codebook_size:
            raise LlasaError(
                f"Codes run from {array.min()} to {array.max()}, but this vocabulary has "
                f"{self.codebook_size} codes (0 to {self.codebook_size - 1}): the codec and the "
                "model do not belong together, or the codes already carry the token offset."
            )
        return array + self.speech_start

    def ids_to_codes(self, ids: Codes) -> Ids:
        """Codes of speech token ids, shape (n,), without phones; any other token is an error."""
        array = np.asarray(ids, dtype=np.int64).reshape(-1)
        if array.size and not self.speech_start <= array.min() <= array.max() < self.size:
            raise LlasaError(
                f"Ids from {array.min()} to {array.max()} are not all speech tokens "
                f"({self.speech_start} to {self.size - 1})."
            )
        return array[array < self.phone_start] - self.speech_start

    def token_rate(self, frame_rate: float) -> float:
        """Most tokens that a second of speech takes, at so many codes a second."""
        return frame_rate * (1 + PHONES_PER_CODE * bool(self.phones))

    def spoken_phones(self, ids: Codes) -> list[tuple[str, int]]:
        """The phones that a model named while speaking, each with the code at which it ends."""
        array = np.asarray(ids, dtype=np.int64).reshape(-1)
        named = array >= self.phone_start
        ends = np.cumsum(~named)
        starts = [*ends[named], ends[-1]] if array.size else []
        symbols = [self.phones[i] for i in array[named] - self.phone_start]
        return [(symbol, int(end)) for symbol, end in zip(symbols, starts[1:], strict=True)]

    def _interleaved(
        self, codes: Codes, phones: Sequence[tuple[str, float]]
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

    # -- prompts --------------------------------------------------------------------------

    def tts_prompt(
        self,
        text: str,
        prompt_text: str | None = None,
        prompt_codes: Codes | None = None,
        speaker: str | None = None,
    ) -> list[int]:
        """Ids after which the model speaks `text`.

        For cloning give the codes of the prompt audio and the words spoken in it: the text becomes
        `prompt_text + ' ' + text` and the codes open the speech. `speaker` names a voice the
        model was fine-tuned on (`Speaker NAME` opens the assistant's turn).
        """
        words, codes = self._said(text, prompt_text, prompt_codes)
        before, after = self._turns("tts", speaker)
        return [*before, *words, *after, *codes]

    def asr_prompt(self, codes: Codes) -> list[int]:
        """Ids after which the model writes down what the codes say, up to TEXT_GENERATION_END."""
        before, after = self._turns("asr")
        return [*before, *self.codes_to_ids(codes).tolist(), *after]

    def _said(
        self, text: str | Sequence[int], prompt_text: str | None, prompt_codes: Codes | None
    ) -> tuple[list[int], list[int]]:
        """Ids of the text, which may be given as ids, and those of the voice prompt's codes."""
        if (prompt_text is None) != (prompt_codes is None):
            raise LlasaError(
                "A voice prompt needs both its codes and the words spoken in it "
                f"({'the words' if prompt_text is None else 'the codes'} are missing)."
            )
        words = self.encode_text(text) if isinstance(text, str) else [int(id_) for id_ in text]
        if not words or (isinstance(text, str) and not text.strip()):
            raise LlasaError("The text is empty: give at least one word.")
        if any(not 0 <= id_ < self.base_size for id_ in words):
            raise LlasaError(f"Text ids must lie between 0 and {self.base_size - 1}.")
        if prompt_text is None or prompt_codes is None:
            return words, []
        if not isinstance(text, str):
            raise LlasaError("With a voice prompt the text must be words, not ids.")
        return self.encode_text(f"{prompt_text} {text}"), self.codes_to_ids(prompt_codes).tolist()

    def _turns(self, task: Task, speaker: str | None = None) -> tuple[list[int], list[int]]:
        """Ids around what the user says: all before it, and up to where the answer begins."""
        if speaker is not None and not speaker.strip():
            raise LlasaError("The speaker's name is empty: give a name or no speaker at all.")
        reply = "" if speaker is None else f"Speaker {speaker}"
        instruction, *marks = TASKS[task]
        start, end, answer = (self.base_size + mark for mark in marks)
        if self.style == "compact":
            return [start], [end, *self.encode_text(reply), answer]
        begin, header, body, eot = (self._added[name] for name in HEADER_TOKENS)

        def turn(role: str, content: str) -> list[int]:
            return [header, *self.encode_text(role), body, *self.encode_text(content)]

        opening = [begin, *turn("system", SYSTEM_TEXT), eot, *turn("user", "\n\n" + instruction)]
        return [*opening, start], [end, eot, *turn("assistant", "\n\n" + reply), answer]

    # -- training rows --------------------------------------------------------------------

    def training_row(
        self,
        text: str | Sequence[int],
        codes: Codes,
        *,
        prompt_text: str | None = None,
        prompt_codes: Codes | None = None,
        speaker: str | None = None,
        task: Task = "tts",
        max_tokens: int = MAX_TOKENS,
        released: bool = False,
        phones: Sequence[tuple[str, float]] = (),
        prompt_phones: Sequence[tuple[str, float]] = (),
    ) -> Row:
        """Build the row for one utterance: prompt, speech and END (or the text, for `asr`).

        Learnt are the tokens from SPEECH_GENERATION_START to SPEECH_GENERATION_END inclusive
        (for `asr`, TEXT_GENERATION_START to TEXT_GENERATION_END). The codes of a voice prompt lie
        between them, so they are learnt as well: cloning is going on with the speech of one text,
        and the loss is on all speech (paper section 3.1). Where a row is longer than `max_tokens`,
        codes are left out at the end and counted in `Row.cut`; END always stays.

        `text` may be token ids. `released` repeats the released trainer exactly: the row is closed
        by an end-of-turn, cut on the right whatever is lost, padded to `max_tokens` with
        end-of-turn, and every end-of-turn is masked in the attention and the labels.

        `phones` are symbols, each with the codes after which it ends; where the vocabulary has
        tokens for them, these stand before their codes (not for `asr`: what is heard has none).
        `prompt_phones` are those of the prompt.
        """
        speech, moments = self._interleaved(codes, phones if task == "tts" else ())
        if not speech:
            raise LlasaError("The utterance has no codes: there is nothing to learn.")
        check_choice(task, TASKS, "Task")
        prompted = prompt_text is not None or prompt_codes is not None
        if task == "asr" and (released or prompted or speaker):
            raise LlasaError("Task asr takes text and codes only.")
        if released and prompted:
            raise LlasaError("Released rows have no voice prompt.")
        words, heard = self._said(text, prompt_text, prompt_codes)
        if prompt_codes is not None:
            heard, begun = self._interleaved(prompt_codes, prompt_phones)
            moments = np.array([*begun, *(len(prompt_codes) + moments)])
        before, after = self._turns(task, speaker)
        taken = len(before) + len(words) + len(after) + len(heard) + 1
        room = len(speech) if released else max_tokens - taken
        if room < 1:
            raise LlasaError(
                f"The text and the prompt take {taken} tokens and leave no room for speech in a "
                f"row of {max_tokens}: use shorter text."
            )
        kept = speech[:room]
        given, answer = words, [*heard, *kept, self.end]
        told = moments[: len(answer) - 1]
        moments = np.array([*told, math.ceil(told[-1]) + 0.5])
        if task == "asr":
            given, answer = kept, [*words, self.text_generation_end]
            moments = np.arange(len(answer), dtype=np.float64) + 0.5
        ids = np.array([*before, *given, *after, *answer], dtype=np.int64)
        learnt = len(ids) - len(answer) - 1
        first, opening = (len(before), learnt) if task == "tts" else (learnt + 1, len(before) - 1)
        span = first, first + len(words)
        if released:
            return self._released_row(ids, span, opening, max_tokens, moments)
        labels = np.where(np.arange(len(ids)) >= learnt, ids, IGNORE)
        before_codes = 0 if prompt_codes is None else len(prompt_codes)
        voice = (len(self.encode_text(prompt_text or "")), before_codes)
        cut = len(speech) - len(kept)
        return Row(ids, labels, np.ones_like(ids), span, opening, cut, voice, moments=moments)

    def _released_row(
        self, ids: Ids, span: tuple[int, int], opening: int, max_tokens: int, moments: Moments
    ) -> Row:
        if self.eot is None or self.style != "llama3":
            raise LlasaError("Released rows need a vocabulary of style llama3.")
        padded = np.full(max(len(ids) + 1, max_tokens), self.eot, dtype=np.int64)
        padded[: len(ids)] = ids
        padded = padded[:max_tokens]
        attended = padded != self.eot
        labels = np.where(attended & (np.arange(max_tokens) >= opening), padded, IGNORE)
        # END and end-of-turn come last, so they are the first two to be lost.
        cut = max(0, len(ids) - 1 - max_tokens)
        mask = attended.astype(np.int64)
        return Row(padded, labels, mask, span, opening, cut, moments=moments)

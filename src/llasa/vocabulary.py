"""Token ids, prompts and training rows of a Llama that speaks: one place for all three.

Eight control tokens and `<|s_0|> ... <|s_{n-1}|>` follow any base tokenizer in the released order
(paper section 3.1). Prompts for inference and rows for training come from the same functions, so
the two cannot disagree. Two prompt styles exist: `llama3`, the frozen chat text of the released
models (its date included), and `compact`, control tokens only, for small models.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from llasa.errors import LlasaError
from llasa.files import read_json, write_atomic

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Ids = NDArray[np.int64]
Codes = Sequence[int] | NDArray[np.integer[Any]]
Style = Literal["llama3", "compact"]
Task = Literal["tts", "asr"]

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
HEADER_TOKENS = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
SYSTEM_TEXT = "\n\nCutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
TTS_INSTRUCTION = "Convert the text to speech:"
ASR_INSTRUCTION = "Convert the speech to text:"

MAX_TOKENS = 2048
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
    """Codes that did not fit and were left out."""
    prompt: tuple[int, int] = (0, 0)
    """Text tokens and codes at the start of text and speech that are the voice prompt."""
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
        style: Style,
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
        except Exception as error:  # tokenizers raises no narrower type
            raise LlasaError(f"The tokenizer file is damaged: {error}.") from error
        self._added: dict[str, int] = {
            token["content"]: token["id"] for token in tokenizer_spec["added_tokens"]
        }
        self._added_names = {id_: name for name, id_ in self._added.items()}
        self.base_size = base_size
        self.codebook_size = codebook_size
        self.style = style
        self.codec = ""
        """Id of the codec whose codes these are; "" where it is not known."""
        if codebook_size < 1:
            raise LlasaError(f"Codebook size {codebook_size} is not valid: give 1 or more.")
        if style not in ("llama3", "compact"):
            raise LlasaError(f"Prompt style {style!r} is unknown: use llama3 or compact.")
        missing = [name for name in HEADER_TOKENS if name not in self._added]
        if style == "llama3" and missing:
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
        self.size = self.speech_start + codebook_size
        """Number of ids: rows of the embedding."""
        self.eot = self._added.get("<|eot_id|>")

    # -- creation and files ---------------------------------------------------------------

    @classmethod
    def extend(
        cls, base_tokenizer: Tokenizer, codebook_size: int, style: Style | None = None
    ) -> Vocabulary:
        """Append control and speech tokens to a text tokenizer.

        The style defaults to `llama3` where the Llama 3 header tokens exist, else `compact`.
        """
        spec = json.loads(base_tokenizer.to_str())
        names = base_tokenizer.get_vocab(with_added_tokens=True)
        if any(name in names for name in (*CONTROL_TOKENS, "<|s_0|>")):
            raise LlasaError(
                "The tokenizer already holds speech tokens: load its folder with "
                "Vocabulary.load, or extend a plain text tokenizer."
            )
        if style is None:
            style = "llama3" if all(name in names for name in HEADER_TOKENS) else "compact"
        return cls(spec, max(names.values()) + 1, codebook_size, style)

    @classmethod
    def load(cls, folder: str | Path) -> Vocabulary:
        """Read a model folder: a released tokenizer.json, or ours with a vocabulary.json beside it.

        Raises `LlasaError` where files are missing, damaged or hold no speech tokens.
        """
        folder = Path(folder)
        spec = read_json(folder / TOKENIZER_FILE)
        if not isinstance(spec.get("added_tokens"), list) or "model" not in spec:
            raise LlasaError(f"{folder / TOKENIZER_FILE} is not a Hugging Face tokenizer file.")
        released = _take_speech_tokens(spec, folder / TOKENIZER_FILE)
        path = folder / VOCABULARY_FILE
        if not path.exists():
            if released is None:
                raise LlasaError(
                    f"{folder / TOKENIZER_FILE} has no speech tokens and there is no "
                    f"{VOCABULARY_FILE} beside it: this is a text model, not one that speaks."
                )
            names = {token["content"] for token in spec["added_tokens"]}
            style: Style = "llama3" if names.issuperset(HEADER_TOKENS) else "compact"
            return cls(spec, *released, style)
        settings = read_json(path)
        try:
            sizes = operator.index(settings["base_size"]), operator.index(settings["codebook_size"])
            style = settings["style"]
        except (KeyError, TypeError) as error:
            raise LlasaError(
                f"{path} is damaged: it must give base_size, codebook_size and style."
            ) from error
        if released is not None and released != sizes:
            raise LlasaError(
                f"{path} says base and codebook sizes {sizes}, but {TOKENIZER_FILE} holds "
                f"{released}: the two files belong to different models."
            )
        vocabulary = cls(spec, *sizes, style)
        vocabulary.codec = str(settings.get("codec", ""))
        return vocabulary

    def save(self, folder: str | Path) -> None:
        """Write tokenizer.json (the base tokenizer) and vocabulary.json."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        spec = {**json.loads(self._text.to_str()), **self._extras}
        text = json.dumps(spec, ensure_ascii=False, separators=(",", ":"))
        write_atomic(folder / TOKENIZER_FILE, text.encode())
        settings = {
            "base_size": self.base_size,
            "codebook_size": self.codebook_size,
            "style": self.style,
            "codec": self.codec,
        }
        write_atomic(folder / VOCABULARY_FILE, (json.dumps(settings, indent=2) + "\n").encode())

    # -- text and codes to ids and back ---------------------------------------------------

    def encode_text(self, text: str) -> list[int]:
        """Ids of plain text. Strings that look like control tokens stay text."""
        # An empty string would become a lone space where the tokenizer puts one before each text.
        return list(self._text.encode(text, add_special_tokens=False).ids) if text else []

    def decode_text(self, ids: Iterable[int]) -> str:
        """Text of the ids, ignoring all but text tokens; outer whitespace is removed."""
        kept = [int(i) for i in ids if 0 <= i < self.base_size and i not in self._added_names]
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
        """Codes of speech token ids, shape (n,); any other token is an error."""
        array = np.asarray(ids, dtype=np.int64).reshape(-1)
        if array.size and not self.speech_start <= array.min() <= array.max() < self.size:
            raise LlasaError(
                f"Ids from {array.min()} to {array.max()} are not all speech tokens "
                f"({self.speech_start} to {self.size - 1})."
            )
        return array - self.speech_start

    def render(self, ids: Iterable[int]) -> str:
        """The ids as one string, every control and speech token written out."""
        names = self._added_names | dict(enumerate(CONTROL_TOKENS, self.base_size))
        pieces: list[str] = []
        text: list[int] = []

        def flush() -> None:
            if text:
                pieces.append(self._text.decode(text, skip_special_tokens=False))
                text.clear()

        for id_ in map(int, ids):
            if id_ in names or self.speech_start <= id_ < self.size:
                flush()
                pieces.append(names.get(id_) or f"<|s_{id_ - self.speech_start}|>")
            elif 0 <= id_ < self.base_size:
                text.append(id_)
            else:
                raise LlasaError(f"Id {id_} is outside the vocabulary of {self.size} tokens.")
        flush()
        return "".join(pieces)

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
        before, words, after = self._tts_parts(text, prompt_text, prompt_codes, speaker)
        return [*before, *words, *after]

    def asr_prompt(self, codes: Codes) -> list[int]:
        """Ids after which the model writes down what the codes say, up to TEXT_GENERATION_END."""
        before, after = self._asr_parts()
        return [*before, *self.codes_to_ids(codes).tolist(), *after]

    def _tts_parts(
        self,
        text: str | Sequence[int],
        prompt_text: str | None,
        prompt_codes: Codes | None,
        speaker: str | None,
    ) -> tuple[list[int], list[int], list[int]]:
        """Ids before the text, of the text, and after it."""
        if (prompt_text is None) != (prompt_codes is None):
            raise LlasaError(
                "A voice prompt needs both its codes and the words spoken in it "
                f"({'the words' if prompt_text is None else 'the codes'} are missing)."
            )
        words = self._words(text)
        if prompt_text is not None:
            if not isinstance(text, str):
                raise LlasaError("With a voice prompt the text must be words, not ids.")
            words = self.encode_text(f"{prompt_text} {text}")
        if speaker is not None and not speaker.strip():
            raise LlasaError("The speaker's name is empty: give a name or no speaker at all.")
        opening, closing = self._turns(
            TTS_INSTRUCTION, f"Speaker {speaker}" if speaker is not None else ""
        )
        codes = self.codes_to_ids([] if prompt_codes is None else prompt_codes).tolist()
        return (
            [*opening, self.text_understanding_start],
            words,
            [self.text_understanding_end, *closing, self.speech_generation_start, *codes],
        )

    def _words(self, text: str | Sequence[int]) -> list[int]:
        """Ids of a text, which may be given as ids."""
        words = self.encode_text(text) if isinstance(text, str) else [int(id_) for id_ in text]
        if not words or (isinstance(text, str) and not text.strip()):
            raise LlasaError("The text is empty: give at least one word.")
        if any(not 0 <= id_ < self.base_size for id_ in words):
            raise LlasaError(f"Text ids must lie between 0 and {self.base_size - 1}.")
        return words

    def _asr_parts(self) -> tuple[list[int], list[int]]:
        """Ids before and after the speech."""
        opening, closing = self._turns(ASR_INSTRUCTION, "")
        return (
            [*opening, self.speech_understanding_start],
            [self.speech_understanding_end, *closing, self.text_generation_start],
        )

    def _turns(self, instruction: str, reply: str) -> tuple[list[int], list[int]]:
        """Ids around the user's content: all before it, and up to where the answer begins."""
        if self.style == "compact":
            return [], self.encode_text(reply)
        begin, start, end, eot = (self._added[name] for name in HEADER_TOKENS)

        def turn(role: str, content: str) -> list[int]:
            return [start, *self.encode_text(role), end, *self.encode_text(content)]

        opening = [begin, *turn("system", SYSTEM_TEXT), eot, *turn("user", "\n\n" + instruction)]
        return opening, [eot, *turn("assistant", "\n\n" + reply)]

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
        """
        speech = self.codes_to_ids(codes).tolist()
        if not speech:
            raise LlasaError("The utterance has no codes: there is nothing to learn.")
        if task == "asr":
            if released or prompt_text is not None or prompt_codes is not None or speaker:
                raise LlasaError("Task asr takes text and codes only.")
            return self._asr_row(text, speech, max_tokens)
        if task != "tts":
            raise LlasaError(f"Task {task!r} is unknown: use tts or asr.")
        if released and prompt_text is not None:
            raise LlasaError("Released rows have no voice prompt.")
        before, words, after = self._tts_parts(text, prompt_text, prompt_codes, speaker)
        prompted = (0, 0)
        if prompt_text is not None and prompt_codes is not None:
            prompted = len(self.encode_text(prompt_text)), len(prompt_codes)
        span = len(before), len(before) + len(words)
        opening = span[1] + after.index(self.speech_generation_start)
        prompt = [*before, *words, *after]
        if released:
            return self._released_row([*prompt, *speech, self.end], span, opening, max_tokens)
        room = self._room(len(prompt) + 1, max_tokens)
        ids = np.array([*prompt, *speech[:room], self.end], dtype=np.int64)
        return _row(ids, opening, span, opening, max(0, len(speech) - room), prompted)

    def _asr_row(self, text: str | Sequence[int], speech: list[int], max_tokens: int) -> Row:
        before, after = self._asr_parts()
        words = self._words(text)
        room = self._room(len(before) + len(after) + len(words) + 1, max_tokens)
        kept = speech[:room]
        start = len(before) + len(kept) + len(after)
        ids = [*before, *kept, *after, *words, self.text_generation_end]
        return _row(
            np.array(ids, dtype=np.int64),
            start - 1,
            (start, start + len(words)),
            len(before) - 1,
            len(speech) - len(kept),
        )

    def _released_row(
        self, ids: list[int], span: tuple[int, int], opening: int, max_tokens: int
    ) -> Row:
        if self.eot is None or self.style != "llama3":
            raise LlasaError("Released rows need a vocabulary of style llama3.")
        length = len(ids) + 1
        padded = np.full(max(length, max_tokens), self.eot, dtype=np.int64)
        padded[: len(ids)] = ids
        padded = padded[:max_tokens]
        attended = padded != self.eot
        labels = np.where(attended & (np.arange(max_tokens) >= opening), padded, IGNORE)
        # END and end-of-turn come last, so they are the first two to be lost.
        cut = max(0, length - 2 - max_tokens)
        return Row(padded, labels, attended.astype(np.int64), span, opening, cut)

    def _room(self, taken: int, max_tokens: int) -> int:
        if taken >= max_tokens:
            raise LlasaError(
                f"The text and the prompt take {taken} tokens and leave no room for speech in a "
                f"row of {max_tokens}: use shorter text."
            )
        return max_tokens - taken


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
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _row(
    ids: Ids,
    learn_from: int,
    span: tuple[int, int],
    opening: int,
    cut: int,
    prompt: tuple[int, int] = (0, 0),
) -> Row:
    labels = np.where(np.arange(len(ids)) >= learn_from, ids, IGNORE)
    return Row(ids, labels, np.ones_like(ids), span, opening, cut, prompt)


def _take_speech_tokens(spec: dict[str, Any], path: Path) -> tuple[int, int] | None:
    """Remove control and speech tokens from a parsed tokenizer.json; its base and codebook size.

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
    spec["added_tokens"] = [t for t in spec["added_tokens"] if t["content"] not in taken]
    return base_size, codes

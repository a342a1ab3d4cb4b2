"""Training rows: a prompt, and what the model is to learn after it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from llasa.base.errors import LlasaError
from llasa.base.names import check_choice
from llasa.vocabulary.ids import CodesLike, Ids, Moments
from llasa.vocabulary.prompts import TASKS, PromptBuilder, PromptTask

MAX_TOKENS = 2048
IGNORE = -100
"""Label of a position that is not learnt."""


@dataclass(frozen=True)
class TrainingRow:
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
    """When each token of the answer is spoken, in codes: the middle of a code, the start of a
    phone, and for END the time after the last code. Of a row that is heard, when each of its codes
    is spoken."""
    timing: Sequence[tuple[float, float]] = ()
    """Of the text and codes after the prompt: a share of the text, the codes that say it."""
    phones: Sequence[tuple[str, float]] = ()
    """Of the codes after the prompt: symbols, each with the codes after which it ends."""
    prompt_timing: Sequence[tuple[float, float]] = ()
    prompt_phones: Sequence[tuple[str, float]] = ()
    """The same of the prompt."""

    @property
    def heard(self) -> bool:
        """Whether the row goes from speech to text (``asr``)."""
        return self.speech_start < self.text_span[0]


class RowBuilder(PromptBuilder):
    """Builds rows to train on, from the same parts as the prompts."""

    def training_row(
        self,
        text: str | Sequence[int],
        codes: CodesLike,
        *,
        prompt_text: str | None = None,
        prompt_codes: CodesLike | None = None,
        speaker: str | None = None,
        task: PromptTask = "tts",
        max_tokens: int = MAX_TOKENS,
        released: bool = False,
        phones: Sequence[tuple[str, float]] = (),
        prompt_phones: Sequence[tuple[str, float]] = (),
    ) -> TrainingRow:
        """Build the row for one utterance: prompt, speech and END (or the text, for `asr`).

        Labels cover the tokens from SPEECH_GENERATION_START to SPEECH_GENERATION_END inclusive
        (for `asr`, TEXT_GENERATION_START to TEXT_GENERATION_END). The codes of a voice prompt lie
        between them and are learnt as well: the loss is on all speech (paper section 3.1), and
        cloning continues the speech of one text. Where a row would be longer than `max_tokens`,
        the last codes are dropped and counted in `TrainingRow.cut`; END always stays.

        `text` may be token ids. `released` repeats the released trainer exactly: the row is closed
        by an end-of-turn, cut on the right whatever is lost, padded to `max_tokens` with
        end-of-turn, and every end-of-turn is masked in the attention and the labels.

        `phones` are symbols, each with the codes after which it ends; where the vocabulary has
        tokens for them, each comes before its codes (not for `asr`, whose input is plain codes).
        `prompt_phones` are those of the prompt.
        """
        speech, moments = self.interleaved(codes, phones if task == "tts" else ())
        if not speech:
            raise LlasaError("The utterance has no codes: there is nothing to learn.")
        check_choice(task, TASKS, "Task")
        prompted = prompt_text is not None or prompt_codes is not None
        if task == "asr" and (released or prompted or speaker):
            raise LlasaError("Task asr takes text and codes only.")
        if released and prompted:
            raise LlasaError("Released rows have no voice prompt.")
        words, heard = self.words_and_codes(text, prompt_text, prompt_codes)
        if prompt_codes is not None:
            heard, begun = self.interleaved(prompt_codes, prompt_phones)
            moments = np.array([*begun, *(len(prompt_codes) + moments)])
        before, after = self.turns(task, speaker)
        taken = len(before) + len(words) + len(after) + len(heard) + 1
        room = len(speech) if released else max_tokens - taken
        if room < 1:
            raise LlasaError(
                f"The text and the prompt take {taken} tokens and leave no room for speech in a "
                f"row of {max_tokens}: use shorter text."
            )
        kept = speech[:room]
        given, answer = words, [*heard, *kept, self.end]
        spoken = moments[: len(answer) - 1]
        moments = np.array([*spoken, math.ceil(spoken[-1]) + 0.5])
        if task == "asr":
            given, answer = kept, [*words, self.text_end]
            moments = moments[: len(kept)]
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
        return TrainingRow(
            ids, labels, np.ones_like(ids), span, opening, cut, voice, moments=moments
        )

    def text_row(
        self, text: str, prompt: str | None = None, max_tokens: int = MAX_TOKENS
    ) -> TrainingRow:
        """A row without speech, so that a text model stays one.

        Without a prompt all of the text is learnt; with one the text answers it as in a chat, and
        the answer alone is learnt. The style `llama3` closes both with an end-of-turn. What is
        longer than `max_tokens` is cut off and counted in `TrainingRow.cut`.
        """
        words = self.encode_text(text)
        if not words:
            raise LlasaError("The text is empty: give at least one word.")
        before = self.text_turns(prompt)
        ids = [*before, *words, *([] if self.eot is None else [self.eot])]
        known = max(1, len(before))
        if known >= min(len(ids), max_tokens):
            raise LlasaError(
                f"The prompt takes {known} tokens and leaves no room for an answer in a row of "
                f"{max_tokens}: use a shorter prompt."
            )
        kept = np.array(ids[:max_tokens], dtype=np.int64)
        labels = np.where(np.arange(len(kept)) >= known, kept, IGNORE)
        return TrainingRow(kept, labels, np.ones_like(kept), (0, 0), 0, len(ids) - len(kept))

    def _released_row(
        self, ids: Ids, span: tuple[int, int], opening: int, max_tokens: int, moments: Moments
    ) -> TrainingRow:
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
        return TrainingRow(padded, labels, mask, span, opening, cut, moments=moments)

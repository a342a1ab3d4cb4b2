"""Prompts for speaking, cloning and recognition, which training rows begin with, too.

There are two styles: `llama3`, the frozen chat text of the released models (its date included), and
`compact`, control tokens only, for small models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from llasa.base.errors import LlasaError
from llasa.vocabulary.ids import CodesLike, TokenIds
from llasa.vocabulary.tokenizer import HEADER_TOKENS

PromptTask = Literal["tts", "asr"]

SYSTEM_TEXT = "\n\nCutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
TASKS: dict[PromptTask, tuple[str, str, str]] = {
    "tts": ("Convert the text to speech:", "TEXT_UNDERSTANDING", "SPEECH_GENERATION"),
    "asr": ("Convert the speech to text:", "SPEECH_UNDERSTANDING", "TEXT_GENERATION"),
}
"""Instruction; names of the control tokens around what the user gives, and around the answer."""


class PromptBuilder(TokenIds):
    """Builds the ids that come before what a model generates."""

    def tts_prompt(
        self,
        text: str,
        prompt_text: str | None = None,
        prompt_codes: CodesLike | None = None,
        speaker: str | None = None,
    ) -> list[int]:
        """Ids after which the model speaks `text`.

        For cloning give the codes of the prompt audio and the words spoken in it: the text becomes
        `prompt_text + ' ' + text` and the codes open the speech. `speaker` names a voice the
        model was fine-tuned on (`Speaker NAME` opens the assistant's turn).
        """
        words, codes = self.words_and_codes(text, prompt_text, prompt_codes)
        before, after = self.turns("tts", speaker)
        return [*before, *words, *after, *codes]

    def asr_prompt(self, codes: CodesLike) -> list[int]:
        """Ids after which the model writes down what the codes say, up to TEXT_GENERATION_END."""
        before, after = self.turns("asr")
        return [*before, *self.codes_to_ids(codes).tolist(), *after]

    def words_and_codes(
        self, text: str | Sequence[int], prompt_text: str | None, prompt_codes: CodesLike | None
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

    def places_of_text(
        self, text: str, prompt_text: str | None = None, speaker: str | None = None
    ) -> list[tuple[int, int, int]]:
        """Where in `tts_prompt` of the same arguments the tokens of `text` stand, in order.

        Each with the characters that it stands for: (place, first, one past the last); none where
        a tokenizer puts a space before all texts. The words of a voice prompt are left out.
        """
        lead = "" if prompt_text is None else f"{prompt_text} "
        first = len(self.turns("tts", speaker)[0])
        found = self.text_tokenizer.encode(lead + text, add_special_tokens=False).offsets
        skipped = len(lead)
        if not lead and text.isascii() and found[:1] == found[1:2]:
            return [(first, 0, 0), *((first + n, *span) for n, span in enumerate(found[1:], 1))]
        return [
            (place, max(0, start - skipped), stop - skipped)
            for place, (start, stop) in enumerate(found, first)
            if stop > skipped
        ]

    def turns(self, task: PromptTask, speaker: str | None = None) -> tuple[list[int], list[int]]:
        """Ids around what the user says: all before it, and up to where the answer begins."""
        if speaker is not None and not speaker.strip():
            raise LlasaError("The speaker's name is empty: give a name or no speaker at all.")
        reply = "" if speaker is None else f"Speaker {speaker}"
        instruction, given, answered = TASKS[task]
        names = (f"{given}_START", f"{given}_END", f"{answered}_START")
        start, end, answer = map(self.control_id, names)
        if self.style == "compact":
            return [start], [end, *self.encode_text(reply), answer]
        begin, eot = (self.added_tokens[name] for name in (HEADER_TOKENS[0], HEADER_TOKENS[3]))
        turn = self._turn
        opening = [begin, *turn("system", SYSTEM_TEXT), eot, *turn("user", "\n\n" + instruction)]
        return [*opening, start], [end, eot, *turn("assistant", "\n\n" + reply), answer]

    def text_turns(self, prompt: str | None) -> list[int]:
        """Ids after which a text is written down: by itself, or as the answer to a prompt."""
        if self.style == "compact":
            return self.encode_text(prompt or "")
        begin, eot = (self.added_tokens[name] for name in (HEADER_TOKENS[0], HEADER_TOKENS[3]))
        if prompt is None:
            return [begin]
        turn = self._turn
        opening = [begin, *turn("system", SYSTEM_TEXT), eot, *turn("user", "\n\n" + prompt), eot]
        return [*opening, *turn("assistant", "\n\n")]

    def _turn(self, role: str, content: str) -> list[int]:
        """Ids of a turn of the chat, without its end."""
        header, body = (self.added_tokens[name] for name in HEADER_TOKENS[1:3])
        return [header, *self.encode_text(role), body, *self.encode_text(content)]

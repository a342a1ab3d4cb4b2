"""Where known words lie in a clip, and how likely a wording is: Whisper, held to the text."""

from __future__ import annotations

from typing import Any

import numpy as np

from llasa.audio.audio import Samples
from llasa.audio.mel import whisper_log_mel
from llasa.base.errors import LlasaError
from llasa.base.packages import require
from llasa.evaluation.prosody import Span
from llasa.verifiers.asr.whisper import LONGEST, CTranslate2Whisper, Whisper
from llasa.verifiers.base import RATE

_FRAME = 0.02
"""Seconds of one position of Whisper's encoder."""
HOP = 160
"""Samples of one column of its log-mel."""
_UNLIKELY = 1e-6
"""Probabilities below count as this."""


class Aligner:
    """Forced alignment by the cross-attention of Whisper-base (or another in CTranslate2's format).

    Word borders are right to about a tenth of a second.
    """

    def __init__(self, whisper: Whisper) -> None:
        self._whisper = whisper

    def words(self, clip: Samples, words: list[str], gap: str = " ") -> list[Span]:
        """Start and end of each of these words in 16 kHz speech; `gap` is written between them."""
        text, places = "", []
        for word in words:
            text += gap
            places.append((len(text), len(text) + len(word)))
            text += word
        found, offsets = self._align(clip, text)
        moments: dict[int, float] = {}
        for token, frame in found.alignments:
            moments.setdefault(token, frame * _FRAME)
        starts = [moments.get(token, 0.0) for token in range(len(offsets))]
        starts.append(moments.get(len(offsets), len(clip) / RATE))
        spans = []
        for start, end in places:
            own = [n for n, (a, b) in enumerate(offsets) if a < end and b > start]
            if not own:
                raise LlasaError(f"{text[start:end]!r} has no token in Whisper's vocabulary.")
            spans.append((starts[own[0]], starts[own[-1] + 1]))
        return spans

    def logprob(self, clip: Samples, text: str) -> float:
        """Natural log-probability of a wording, its sum over tokens, given 16 kHz speech."""
        found, _ = self._align(clip, text)
        return float(np.log(np.maximum(found.text_token_probs, _UNLIKELY)).sum())

    def _align(self, clip: Samples, text: str) -> tuple[Any, list[tuple[int, int]]]:
        """Result of CTranslate2, and the characters that each token stands for."""
        whisper = self._whisper
        if not isinstance(whisper.model, CTranslate2Whisper):
            raise LlasaError(
                f"{whisper.name} cannot say where words are: use Whisper in CTranslate2's format, "
                "or the default."
            )
        if len(clip) > LONGEST * RATE:
            raise LlasaError(f"A clip of {len(clip) / RATE:.0f} s is too long to be aligned.")
        window = whisper.window(clip)
        mel = whisper_log_mel(clip, window, whisper.model.mels)[None]
        coded = whisper.tokenizer.encode(text, add_special_tokens=False)
        sound = require("ctranslate2").StorageView.from_array(mel)
        hops = [len(clip) // HOP]
        (found,) = whisper.model.model.align(sound, whisper.prompt, [coded.ids], hops)
        return found, coded.offsets

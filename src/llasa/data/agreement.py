"""Whether a recogniser hears the texts in their recordings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from llasa.audio.audio import Audio
from llasa.base.names import shorten
from llasa.data.manifest import Utterance
from llasa.text.languages import language_code
from llasa.verifiers.asr.word_errors import errors
from llasa.verifiers.base import Candidate, verify
from llasa.verifiers.content import Content, open_content

DISAGREES = 0.5
"""Error rate above which a text does not belong to its recording."""
_BATCH = 16


class Listener:
    """Transcribes recordings with the verifier `name`, and counts all errors."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._errors = self._units = 0
        open_content(name, "en")

    def hear(self, clips: Sequence[tuple[Utterance, Audio | None]]) -> list[str | None]:
        """What is wrong with each clip; None if nothing is, or its text has no words.

        Raises `LlasaError` where the verifier cannot be used.
        """
        reasons: list[str | None] = [None] * len(clips)
        groups: dict[str, list[tuple[int, Candidate]]] = defaultdict(list)
        for place, (row, audio) in enumerate(clips):
            if row.text and audio is not None:
                given = Candidate(text=row.text, audio=audio)
                groups[language_code(row.language) or "en"].append((place, given))
        for language, group in groups.items():
            content = open_content(self._name, language)
            for start in range(0, len(group), _BATCH):
                batch = group[start : start + _BATCH]
                verdict = verify(content, [given for _, given in batch])
                for (place, given), heard in zip(batch, verdict.heard, strict=True):
                    reasons[place] = self._compare(content, given.text or "", heard)
        return reasons

    def take_rate(self) -> float | None:
        """Errors in all that was heard since the last call, as a share of the words."""
        rate = self._errors / self._units if self._units else None
        self._errors = self._units = 0
        return rate

    def _compare(self, content: Content, text: str, heard: str | None) -> str | None:
        if heard is None:
            return None
        wanted = content.units(text)
        wrong = errors(wanted, content.units(heard))
        self._errors, self._units = self._errors + wrong, self._units + len(wanted)
        if wrong <= DISAGREES * len(wanted):
            return None
        return f"The recogniser heard: {shorten(heard) or 'nothing'}"

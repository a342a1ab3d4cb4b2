"""Names of models and voices on other servers, so that their clients work unchanged."""

from __future__ import annotations

import re
from collections.abc import Sequence

from llasa.base.names import weighted_names

_MODELS = re.compile(r"|(tts-1(-hd)?|gpt-4o(-mini)?-tts|kokoro)(-\d[\d-]{3,9})?", re.ASCII)
_PREFIX = re.compile(r"[a-z][fm]_(?=.)", re.ASCII)
"""Of Kokoro's names."""
_LANGUAGES = {"a": "en", "b": "en", "e": "es", "f": "fr", "z": "zh"}

VOICES = {
    "alloy": "heart",
    "ash": "fenrir",
    "ballad": "george+michael",
    "cedar": "adam+george",
    "coral": "sarah",
    "echo": "michael",
    "fable": "george",
    "marin": "heart+emma",
    "nova": "emma",
    "onyx": "adam",
    "sage": "nicole",
    "shimmer": "sky",
    "verse": "adam+fenrir",
}
"""OpenAI's voices, and those of Kokoro's names that are nearest in gender, pitch and manner."""
DEFAULT = "default"


def means_served(model: str) -> bool:
    """Whether a model's name stands for whatever is served: OpenAI's, also with a date; kokoro."""
    return _MODELS.fullmatch(model) is not None


def is_reserved(voice: str) -> bool:
    """Whether a name is a well-known alias, under which no voice may be added."""
    return voice in VOICES or voice == DEFAULT


def stand_in(voice: str, own: Sequence[str], default: str | None) -> str | None:
    """Which of the model's `own` voices speaks for OpenAI's; None for its default.

    That of `VOICES` where the model has it, else they take turns, the default first.
    """
    if voice == DEFAULT or not own:
        return None
    near = VOICES[voice]
    if all(name in own for name, _ in weighted_names(near, "voice name")):
        return near
    turns = sorted(own, key=lambda name: (name != default, name))
    return turns[list(VOICES).index(voice) % len(turns)]


def without_prefix(voice: str) -> str:
    """A voice's name without Kokoro's letters for language and gender."""
    return _PREFIX.sub("", voice, count=1)


def language_of(lang_code: str) -> str:
    """The language of Kokoro's code of one letter; others are taken as they are."""
    return _LANGUAGES.get(lang_code, lang_code)

"""Whether a model can say a text: its letters, and the language of its words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from llasa.base.errors import LlasaError
from llasa.base.names import shorten
from llasa.base.packages import require
from llasa.text.tables import table

LEAST_LETTERS = 20
"""The language of shorter texts is not judged."""
REFUSED_LETTERS = 60
"""Shorter texts with Latin letters are never refused, as names do not tell the language."""
SURE = 0.9
"""Probability from which on a text is taken for another language."""
FEW_LETTERS = 0.2
"""Up to this share, letters of other scripts (a name, a formula) only cause a warning."""
MOST_CHARS = 2_000
"""Characters at the beginning of a text by which it is judged."""


class UnknownLanguageError(LlasaError):
    """A text is in a language or script that the model does not speak."""

    def __init__(self, problem: str, how: str = "--force, force=True") -> None:
        """problem: what is wrong. how: to have the text spoken all the same."""
        super().__init__(
            f"{problem}: write it in a language that the model speaks, take another model, or "
            f"force it ({how})."
        )
        self.problem = problem


_TABLE = table("languages")
_NAMES, _SCRIPTS, _CODES = _TABLE["names"], _TABLE["scripts"], frozenset(_TABLE["codes"].split())
_TOLD_APART, _ENGLISH = _TABLE["told_apart"].split(), frozenset(_TABLE["english"].split())
_WORD = re.compile(r"[^\W\d_]+")


def language_code(language: str | None) -> str | None:
    """A language without its region, in small letters; None is none.

    Raises `LlasaError` for anything but the two-letter codes of ISO 639-1, and haw and yue, which
    recognisers know.
    """
    if language is None:
        return None
    code = re.split("[-_]", str(language).lower())[0]
    if code not in _CODES:
        raise LlasaError(
            f"{shorten(str(language))!r} is not a language: give a code such as en, de or zh."
        )
    return code


def language_name(code: str) -> str:
    """English name of a language, or the code itself."""
    return _NAMES.get(code, code)


def check_language(text: str, model: str, languages: Sequence[str], force: bool) -> list[str]:
    """Warnings about what a model cannot say in a text, none where its languages are not known.

    Letters of a script that none of the languages has are a refusal where they are many, else a
    warning. So is a text that is clearly in another language: one of `LEAST_LETTERS` letters for
    which the identifier is `SURE`; on 49,600 English sentences and phrases (quotations of WordNet,
    LibriSpeech and our lists) it never was, and it was on 99 of 100 German sentences. Names alone
    may mislead it: a text of fewer than `REFUSED_LETTERS` letters is spoken with a warning, unless
    none of its words is in letters of the languages.

    Args:
        text: a clean text.
        model: its name, for the sentence.
        languages: ISO 639-1 codes, as a model folder declares them.
        force: warn in place of refusing.

    Raises `UnknownLanguageError` where the text is refused.
    """
    if not languages:
        return []
    folded = unicodedata.normalize("NFKC", text[:MOST_CHARS])
    known = {"LATIN", "MODIFIER"}.union(*(_SCRIPTS.get(code, "").split() for code in languages))
    letters = [char for char in folded if char.isalpha()]
    strange = [char for char in letters if _script(char) not in known]
    share = len(strange) / max(1, len(letters))
    *first, last = map(language_name, languages)
    speaks = f"Model {model} speaks {', '.join(first)}{' and ' * bool(first)}{last} only"
    if share > FEW_LETTERS:
        script = _script(strange[0]).capitalize().replace("Cjk", "Chinese")
        much = "most of the text is in" if share > 0.5 else "the text has many"
        problem = f"{much} {script} letters"
    elif strange:
        words = dict.fromkeys(w for w in _WORD.findall(folded) if not set(strange).isdisjoint(w))
        return [f"{speaks} and cannot say: {' '.join(list(words)[:5])}."]
    elif (other := _other_language(text, languages)) is not None:
        problem = f"the text is {language_name(other)}"
    else:
        return []
    short = len(letters) < REFUSED_LETTERS and len(strange) < len(letters)
    if force or short:
        return [f"{speaks}, and {problem}: it was spoken all the same."]
    raise UnknownLanguageError(f"{speaks}, and {problem}")


def _other_language(text: str, languages: Sequence[str]) -> str | None:
    """The language that a text is clearly in, where it is none of these; else None."""
    words = _WORD.findall(text[:MOST_CHARS])
    if sum(map(len, words)) < LEAST_LETTERS or not set(languages) <= set(_TOLD_APART):
        return None
    if "en" in languages and any(word.lower() in _ENGLISH for word in words):
        return None
    language, probability = _identifier().classify(text[:MOST_CHARS])
    return language if language not in languages and probability >= SURE else None


@lru_cache(maxsize=1)
def _identifier() -> Any:
    langid = require("py3langid").langid
    identifier = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)
    identifier.set_languages(_TOLD_APART)
    return identifier


@lru_cache(maxsize=4096)
def _script(char: str) -> str:
    """First word of a letter's name: LATIN, CYRILLIC, CJK."""
    return unicodedata.name(char, "unknown").replace("-", " ").split()[0]

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

LEAST_LETTERS = 20
"""Of shorter texts the language is not judged."""
REFUSED_LETTERS = 60
"""Shorter texts with Latin letters are never refused: names and dishes tell no language."""
SURE = 0.9
"""Probability from which on a text is taken for another language."""
FEW_LETTERS = 0.2
"""Share of letters in other scripts that only warns: a name, a formula."""
MOST_CHARS = 2_000
"""A text is judged by its beginning."""


class UnknownLanguageError(LlasaError):
    """A text is in a language or script that the model does not speak."""

    def __init__(self, problem: str, how: str = "--force, force=True") -> None:
        """problem: what is wrong. how: to have the text spoken all the same."""
        super().__init__(
            f"{problem}: write it in a language that the model speaks, take another model, or "
            f"force it ({how})."
        )
        self.problem = problem


_LANGUAGES = """
ar Arabic; bg Bulgarian; ca Catalan; cs Czech; da Danish; de German; el Greek; en English;
es Spanish; fi Finnish; fr French; he Hebrew; hi Hindi; hr Croatian; hu Hungarian; id Indonesian;
it Italian; ja Japanese; ko Korean; nl Dutch; no Norwegian; pl Polish; pt Portuguese; ro Romanian;
ru Russian; sv Swedish; th Thai; tr Turkish; uk Ukrainian; vi Vietnamese; zh Chinese
"""
_NAMES = dict(pair.split() for pair in _LANGUAGES.split(";"))
_ISO = """
aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da
de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz
ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln
lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi
pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti
tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu haw yue
"""
_CODES = frozenset(_ISO.split())
_SCRIPTS = {
    **{"ar": "ARABIC", "bg": "CYRILLIC", "el": "GREEK", "he": "HEBREW", "hi": "DEVANAGARI"},
    **{"ja": "HIRAGANA KATAKANA CJK", "ko": "HANGUL CJK", "ru": "CYRILLIC", "th": "THAI"},
    **{"uk": "CYRILLIC", "zh": "CJK"},
}
"""First words of the Unicode names of a language's letters, besides LATIN."""
_TOLD_APART = (
    *("ca", "cs", "da", "de", "en", "es", "fi", "fr", "hr", "hu", "id", "it", "nl", "no"),
    *("pl", "pt", "ro", "sv", "tr", "vi"),
)
"""Languages in Latin letters, spoken by many, that a text may be taken for."""
_ENGLISH = {"the", "and", "you", "that", "this", "with", "they", "she", "from", "are"}
"""Words with any of which a text is taken for English at once."""
_WORD = re.compile(r"[^\W\d_]+")


def language_code(language: str | None) -> str | None:
    """A language without its region, in small letters; None is none.

    Raises `LlasaError` for what is no two-letter code of ISO 639-1, nor haw or yue, which
    recognisers know.
    """
    if language is None:
        return None
    code = re.split("[-_]", str(language).lower())[0]
    if code not in _CODES:
        raise LlasaError(
            f"{shorten(str(language))!r} is no language: give a code such as en, de or zh."
        )
    return code


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
    letters, strange = _letters(text, languages)
    share = len(strange) / max(1, len(letters))
    speaks = f"Model {model} speaks {_listed([language_name(code) for code in languages])} only"
    problem = None
    if share > FEW_LETTERS:
        problem = f"most of the text is in {_script(strange[0])} letters"
        problem = problem if share > 0.5 else f"the text has many {_script(strange[0])} letters"
    elif strange:
        return [f"{speaks} and cannot say: {' '.join(_words_with(text, strange)[:5])}"]
    elif (other := _other_language(text, languages)) is not None:
        problem = f"the text is {language_name(other)}"
    if problem is None:
        return []
    short = len(letters) < REFUSED_LETTERS and len(strange) < len(letters)
    if force or short:
        return [f"{speaks}, and {problem}: it was spoken all the same."]
    raise UnknownLanguageError(f"{speaks}, and {problem}")


def language_name(code: str) -> str:
    """English name of a language, or the code itself."""
    return _NAMES.get(code, code)


def _letters(text: str, languages: Sequence[str]) -> tuple[list[str], list[str]]:
    """All letters, and those of scripts that the languages do not have."""
    known = {"LATIN", "MODIFIER"}.union(*(_SCRIPTS.get(code, "").split() for code in languages))
    folded = unicodedata.normalize("NFKC", text[:MOST_CHARS])
    letters = [char for char in folded if char.isalpha()]
    return letters, [char for char in letters if _script_word(char) not in known]


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
def _script_word(char: str) -> str:
    """First word of a letter's name: LATIN, CYRILLIC, CJK."""
    return unicodedata.name(char, "unknown").replace("-", " ").split()[0]


def _script(char: str) -> str:
    word = _script_word(char)
    return "Chinese" if word == "CJK" else word.capitalize()


def _words_with(text: str, letters: Sequence[str]) -> list[str]:
    """The words that hold any of these letters, each once."""
    folded = unicodedata.normalize("NFKC", text[:MOST_CHARS])
    return list(dict.fromkeys(w for w in _WORD.findall(folded) if not set(letters).isdisjoint(w)))


def _listed(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last

"""Numbers, dates, money, units, signs and abbreviations as the words that are said."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from llasa.base.errors import LlasaError
from llasa.base.packages import require
from llasa.text.languages import language_code
from llasa.text.normalize.rules import Rule, apply
from llasa.text.sentences import mostly_wide
from llasa.text.traced import Traced

LANGUAGES = ("en", "de", "fr", "es", "zh")
"""Languages whose numbers are spelled out."""


def normalize_text(text: str, language: str | None = None) -> str:
    """A clean text with numbers, dates, money, units, signs and abbreviations spelled out.

    language: en (American order of dates), de, fr, es (cardinals, dates, money, measures), zh
    (through `wetext`), also with a region as in en-GB; by default zh where most of the text is
    Chinese, else en. Acronyms stay as they are.

    Raises `LlasaError` where there are numbers in another language, or in one whose package is not
    installed.
    """
    return normalized(Traced.of(text), language).text


def normalized(text: Traced, language: str | None = None) -> Traced:
    """The same for a text that remembers where its characters come from."""
    text = text.sub(_COMPATIBLE, lambda match: unicodedata.normalize("NFKC", match[0]))
    code = language_code(language) or ("zh" if mostly_wide(text.text) else "en")
    if (code == "zh" or code not in LANGUAGES) and not _SIGNS.search(text.text):
        return text
    if code not in LANGUAGES:
        known = ", ".join(LANGUAGES)
        raise LlasaError(f"Numbers cannot be spelled out in {code!r}: valid are {known}.")
    if code == "zh":
        normalizer = require("wetext").Normalizer(lang="zh", operator="tn")
        return text.edit([(0, len(text), str(normalizer.normalize(text.text)))])
    if not _TO_DO.search(text.text):
        return text
    return apply(_rules(code), text).strip()


@cache
def _rules(language: str) -> list[Rule]:
    """In the order in which they are tried; made where they are needed, for that takes a while."""
    if language != "en":
        from llasa.text.normalize.european import Language

        return Language(language).rules()
    from llasa.text.normalize import addresses, amounts, dates, names

    # The more particular first: an address may hold a date, a date a number.
    first = [*addresses.RULES, *dates.RULES, *names.RULES, *amounts.RULES]
    return [*first, *dates.YEARS, *amounts.SIGNS, *amounts.NUMBERS]


_TO_DO = re.compile(r"[^A-Za-z ,;:!?'\"’“”-]|\b(?:OK|ok|Ok|vs|etc|[Mm]rs?|[Mm]s|[Dd]r|[IVX]{2,})\b")
"""What a text has that may have to be spelled out; a full stop may be that of an abbreviation."""
_SIGNS = re.compile(r"[\d$€£¥%°℃+=<>/&@#½¼¾]")
"""What a Chinese text has that may have to be spelled out."""
_COMPATIBLE = re.compile(
    r"[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\U0001d400-\U0001d7ff\ufb00-\ufb06]+"
)
"""Fullwidth, mathematical and joined letters and digits."""

"""German, French and Spanish: cardinals, decimals, dates and money in words."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from llasa.text.normalize.rules import TIDY, Rule, either, listed, rule

_AMOUNT = r"(?:\d{1,3}(?:[.\u00a0\u202f ]\d{3})+|\d+\.\d{1,2}(?!\d)|\d+)(?:,\d+)?"
_FREE = r"(?<![\w.,/:])"
_CODES = {"€": "EUR", "$": "USD", "£": "GBP"}


@dataclass(frozen=True)
class Language:
    """What differs between the languages.

    date: how day, month and year follow each other, `{day}`, `{month}` and `{year}` in words.
    """

    code: str
    months: tuple[str, ...]
    date: str
    ordinal_days: bool
    first: str
    """The first of a month, where only that one is an ordinal."""
    minus: str
    percent: str
    and_: str
    units: dict[str, str]


def _say(number: str | int | float, language: Language, **options: str) -> str:
    from num2words import num2words

    return str(num2words(number, lang=language.code, **options))


def _plain(number: str) -> str:
    return re.sub(r"[.\u00a0\u202f ]", "", number).replace(",", ".")


def _number(number: str, language: Language) -> str:
    bare = number.lstrip("-−–")
    minus = f"{language.minus} " if bare != number else ""
    plain = _plain(bare)
    if re.fullmatch(r"\d+\.\d{1,2}", bare):
        plain = bare  # a decimal point
    whole, point, decimals = plain.partition(".")
    if len(whole) > 15 or (len(whole) > 1 and whole[0] == "0"):
        return minus + " ".join(_say(int(digit), language) for digit in whole + decimals)
    said = minus + _say(int(whole), language)
    if not point:
        return said
    comma = _say(0.5, language).split()[1]
    return f"{said} {comma} {' '.join(_say(int(digit), language) for digit in decimals)}"


def _money(match: re.Match[str], language: Language) -> str:
    sign = match["sign"] or match["sign2"]
    amount = _plain(match["amount"] or match["amount2"])
    currency = _CODES[sign]
    whole, _, part = amount.partition(".")
    said = _say(float(f"{whole}.{part or '00'}"), language, to="currency", currency=currency)
    if not int(part or 0):
        said = re.split(rf" (?:{language.and_}) ", said)[0]
    return said


def _date(match: re.Match[str], language: Language) -> str:
    name = match["name"] if "name" in match.groupdict() else None
    month = language.months.index(name.lower()) + 1 if name else int(match["month"])
    day = int(match["day"])
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return match[0]
    said = _say(day, language, to="ordinal") if language.ordinal_days else _say(day, language)
    if day == 1 and language.first:
        said = language.first
    if language.ordinal_days and re.search(
        r"(?i)\b(?:am|vom|zum|dem|den|bis)\s*$", match.string[: match.start()]
    ):
        said += "n"
    year = match["year"]
    date = language.date.partition("{year")[0] if not year else language.date
    years = _say(int(year), language, to="year") if year else ""
    months = language.months[month - 1]
    months = months.capitalize() if language.code == "de" else months
    return (
        re.sub(r"\s*(?:de|,)?\s*$", "", date.format(day=said, month=months))
        if not year
        else (date.format(day=said, month=months, year=years))
    )


def _unit(match: re.Match[str], language: Language) -> str:
    return f"{_number(match['number'], language)} {language.units[match['unit']]}"


def _rules(language: Language) -> list[Rule]:
    def say(how: Callable[[re.Match[str], Language], str]) -> Callable[[re.Match[str]], str]:
        return lambda match: how(match, language)

    signs = re.escape("".join(_CODES))
    names = either(name for name in language.months)
    of = "(?:de )?" if language.code == "es" else ""
    return [
        rule(
            rf"{_FREE}(?P<day>\d{{1,2}})[./](?P<month>\d{{1,2}})[./](?P<year>\d{{4}})(?![\w/-])",
            say(_date),
        ),
        rule(
            rf"(?i){_FREE}(?P<day>\d{{1,2}})(?:\.|er)? {of}(?P<name>{names})\b"
            rf"(?: {of}(?P<year>\d{{4}}))?",
            say(_date),
        ),
        rule(
            rf"(?P<sign>[{signs}]) ?(?P<amount>{_AMOUNT})"
            rf"|{_FREE}(?P<amount2>{_AMOUNT}) ?(?P<sign2>[{signs}])",
            say(_money),
            "".join(_CODES),
        ),
        rule(
            rf"{_FREE}(?P<number>[-−–]?{_AMOUNT}) ?(?P<unit>{either(language.units)})(?!\w)",
            say(_unit),
        ),
        rule(
            rf"{_FREE}(1[1-9]\d\d)(?![\w%]|[.,]\d)", lambda m: _say(int(m[1]), language, to="year")
        ),
        rule(rf"{_FREE}[-−–]?{_AMOUNT}", lambda m: _number(m[0], language)),
        rule(r"\d+", lambda m: f" {_number(m[0], language)} "),
        *TIDY,
    ]


_LANGUAGES = (
    Language(
        "de",
        listed(
            "januar februar märz april mai juni juli august september oktober november dezember"
        ),
        "{day} {month} {year}",
        True,
        "",
        "minus",
        "Prozent",
        "und",
        {
            **{
                "%": "Prozent",
                "km/h": "Kilometer pro Stunde",
                "km": "Kilometer",
                "kg": "Kilogramm",
            },
            **{
                "g": "Gramm",
                "cm": "Zentimeter",
                "mm": "Millimeter",
                "m": "Meter",
                "°C": "Grad Celsius",
            },
            **{"°": "Grad", "l": "Liter", "Uhr": "Uhr"},
        },
    ),
    Language(
        "fr",
        listed(
            "janvier février mars avril mai juin juillet août septembre octobre novembre décembre"
        ),
        "{day} {month} {year}",
        False,
        "premier",
        "moins",
        "pour cent",
        "et",
        {
            **{"%": "pour cent", "km/h": "kilomètres à l'heure", "km": "kilomètres"},
            **{"kg": "kilogrammes", "g": "grammes", "cm": "centimètres", "mm": "millimètres"},
            **{"m": "mètres", "°C": "degrés Celsius", "°": "degrés", "l": "litres"},
        },
    ),
    Language(
        "es",
        listed(
            "enero febrero marzo abril mayo junio "
            "julio agosto septiembre octubre noviembre diciembre"
        ),
        "{day} de {month} de {year}",
        False,
        "primero",
        "menos",
        "por ciento",
        "con",
        {
            **{"%": "por ciento", "km/h": "kilómetros por hora", "km": "kilómetros"},
            **{"kg": "kilogramos", "g": "gramos", "cm": "centímetros", "mm": "milímetros"},
            **{"m": "metros", "°C": "grados Celsius", "°": "grados", "l": "litros"},
        },
    ),
)
RULES: dict[str, list[Rule]] = {language.code: _rules(language) for language in _LANGUAGES}
"""The rules of each language, in the order in which they are tried."""

"""Numbers, dates, money, units and abbreviations as the words that are said; opt-in."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

from llasa.errors import LlasaError
from llasa.text import mostly_wide


def normalize_text(text: str) -> str:
    """A clean text with everything spelled out that is not written as it is said.

    English (American order of dates), through `num2words`; texts that are mostly Chinese, through
    `wetext`. Raises `LlasaError` where the extra that brings the package is not installed.
    """
    if mostly_wide(text):
        normalizer = _package("wetext", "normalize-zh").Normalizer(lang="zh", operator="tn")
        return str(normalizer.normalize(text))
    _package("num2words", "normalize")
    for pattern, say in _RULES:
        text = pattern.sub(say, text)
    return " ".join(text.split())


def _package(name: str, extra: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise LlasaError(
            f"normalize needs the package {name}: pip install 'llasa[{extra}]'."
        ) from error


def _words(number: str, form: str = "cardinal") -> str:
    """Digits with optional sign, commas and decimals, in words."""
    from num2words import num2words

    plain = number.replace(",", "").replace("−", "-")
    whole, point, decimals = plain.partition(".")
    if form != "cardinal":
        return _spoken(num2words(int(whole), to=form))
    sign, whole = ("minus ", whole[1:]) if whole.startswith("-") else ("", whole)
    if len(whole) > _LONGEST or (len(whole) > 1 and whole.startswith("0")):
        return sign + _digits(whole) + (f" point {_digits(decimals)}" if point else "")
    said = sign + _spoken(num2words(int(whole or 0)))
    return f"{said} point {_digits(decimals)}" if point else said


def _spoken(words: str) -> str:
    return words.replace(",", "").replace(" and ", " ")


def _digits(digits: str) -> str:
    return " ".join(_DIGITS[int(digit)] for digit in digits)


def _year(number: str) -> str:
    year = int(number)
    if year % 1000 < 10 and year % 1000 > 0:
        return _words(number)  # 2005: two thousand five
    return _words(number, "year")


def _date(month: int, day: str, year: str | None) -> str:
    said = f"{_MONTHS[month - 1]} {_words(day, 'ordinal')}"
    return f"{said}, {_year(year)}" if year else said


def _numeric_date(match: re.Match[str]) -> str:
    year, month, day = (
        match["y"] or match["y2"],
        match["m"] or match["m2"],
        match["d"] or match["d2"],
    )
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return match[0]
    return _date(int(month), day, year)


def _named_date(match: re.Match[str]) -> str:
    name = match["month"] or match["month2"]
    month = next(n for n, full in enumerate(_MONTHS, 1) if full.startswith(name[:3]))
    return _date(month, match["day"] or match["day2"], match["year"] or match["year2"])


def _money(match: re.Match[str]) -> str:
    one, many, cent, cents = _CURRENCIES[match["sign"]]
    amount, scale = match["amount"].replace(",", ""), match["scale"]
    if scale:
        return f"{_words(amount)} {_SCALES.get(scale, scale)} {many}"
    whole, _, part = amount.partition(".")
    if len(part) not in (0, 2) or (part and not cent):
        return f"{_words(amount)} {many}"
    said = f"{_words(whole)} {one if int(whole) == 1 else many}"
    if not part or int(part) == 0:
        return said
    small = f"{_words(str(int(part)))} {cent if int(part) == 1 else cents}"
    return f"{said} and {small}" if int(whole) else small


def _time(match: re.Match[str]) -> str:
    hour, minute = int(match["hour"]), int(match["minute"])
    if hour > 24 or minute > 59:
        return match[0]
    said = _words(str(hour))
    if minute:
        said += f" {'oh ' if minute < 10 else ''}{_words(str(minute))}"
    elif not match["half"]:
        said += " o'clock" if 0 < hour <= 12 else " hundred"
    return said + (match["half"] or "")


def _unit(match: re.Match[str]) -> str:
    one, many = _UNITS[match["unit"]]
    return f"{_words(match['number'])} {one if match['number'] == '1' else many}"


def _abbreviation(match: re.Match[str]) -> str:
    said = _ABBREVIATIONS[match["short"].lower()]
    said = said.capitalize() if match["short"][0].isupper() else said
    ends = match["short"].lower() in _MAY_END and re.match(
        r"\s+[A-Z]|\s*$", match.string[match.end() :]
    )
    return f"{said}." if ends else said


_LONGEST = 15
"""Longer numbers are read digit by digit."""
_DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "¥": ("yen", "yen", "", ""),
}
_SCALES = {
    "k": "thousand",
    "K": "thousand",
    "M": "million",
    "m": "million",
    "bn": "billion",
    "B": "billion",
}
_UNITS = {
    short: (one, f"{one}s" if many is None else many)
    for short, one, many in (
        ("km/h", "kilometer per hour", "kilometers per hour"),
        ("mph", "mile per hour", "miles per hour"),
        ("m/s", "meter per second", "meters per second"),
        *(("km", "kilometer", None), ("cm", "centimeter", None), ("mm", "millimeter", None)),
        *(("m", "meter", None), ("mi", "mile", None), ("ft", "foot", "feet")),
        *(("kg", "kilogram", None), ("mg", "milligram", None), ("g", "gram", None)),
        *(("lbs", "pound", None), ("lb", "pound", None), ("oz", "ounce", None)),
        *(("ml", "milliliter", None), ("L", "liter", None), ("l", "liter", None)),
        *(("ms", "millisecond", None), ("s", "second", None), ("min", "minute", None)),
        *(("h", "hour", None), ("kHz", "kilohertz", "kilohertz"), ("Hz", "hertz", "hertz")),
        *(("MHz", "megahertz", "megahertz"), ("GHz", "gigahertz", "gigahertz")),
        *(("kW", "kilowatt", None), ("W", "watt", None), ("V", "volt", None)),
        *(("kB", "kilobyte", None), ("MB", "megabyte", None), ("GB", "gigabyte", None)),
        *(("TB", "terabyte", None), ("°C", "degree Celsius", "degrees Celsius")),
        *(("°F", "degree Fahrenheit", "degrees Fahrenheit"), ("°", "degree", None)),
        ("%", "percent", "percent"),
    )
}
_ABBREVIATIONS = {
    **{"dr.": "doctor", "mr.": "mister", "mrs.": "missus", "ms.": "miss", "prof.": "professor"},
    **{"st.": "saint", "mt.": "mount", "ft.": "fort", "gen.": "general", "col.": "colonel"},
    **{"capt.": "captain", "lt.": "lieutenant", "sgt.": "sergeant", "rev.": "reverend"},
    **{"gov.": "governor", "sen.": "senator", "rep.": "representative", "jr.": "junior"},
    **{"sr.": "senior", "vs.": "versus", "etc.": "et cetera", "e.g.": "for example"},
    **{
        "i.e.": "that is",
        "approx.": "approximately",
        "dept.": "department",
        "inc.": "incorporated",
    },
    **{
        "ltd.": "limited",
        "co.": "company",
        "corp.": "corporation",
        "fig.": "figure",
        "vol.": "volume",
    },
}
_MAY_END = {"etc.", "jr.", "sr.", "inc.", "ltd.", "co.", "corp."}

_AMOUNT = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"
_NUMBER = rf"[-−]?{_AMOUNT}"
_FREE = r"(?<![\w.,/:])"
"""Nothing that belongs to the number comes before it."""
_MONTH = "|".join(rf"{name[:3]}(?:{name[3:]}\b|\.)?" for name in _MONTHS) + r"|Sept\."
_ORDINAL = r"(?:st|nd|rd|th)?"


def _either(names: dict[str, Any]) -> str:
    return "|".join(map(re.escape, sorted(names, key=len, reverse=True)))


_RULES: list[tuple[re.Pattern[str], Callable[[re.Match[str]], str]]] = [
    (
        re.compile(
            rf"{_FREE}(?:(?P<y>\d{{4}})-(?P<m>\d\d)-(?P<d>\d\d)"
            r"|(?P<m2>\d\d?)/(?P<d2>\d\d?)/(?P<y2>\d{4}))(?![\w/-])"
        ),
        _numeric_date,
    ),
    (
        re.compile(
            rf"\b(?:(?P<month>{_MONTH}) (?P<day>\d\d?){_ORDINAL}(?:,? (?P<year>\d{{4}}))?"
            rf"|(?P<day2>\d\d?){_ORDINAL} (?P<month2>{_MONTH})(?:,? (?P<year2>\d{{4}}))?)(?![\w%])"
        ),
        _named_date,
    ),
    (
        re.compile(
            rf"(?P<sign>[{''.join(_CURRENCIES)}]) ?(?P<amount>{_AMOUNT})"
            r"(?: ?(?P<scale>hundred|thousand|million|billion|trillion|bn|[kKMmB])\b)?"
        ),
        _money,
    ),
    (
        re.compile(
            rf"{_FREE}(?P<hour>\d\d?):(?P<minute>\d\d)(?![\d:])(?P<half> ?[aApP]\.?[mM]\b\.?)?"
        ),
        _time,
    ),
    (re.compile(r"\b(1[1-9]\d0|20\d0)s\b"), lambda m: re.sub(r"y$", "ie", _year(m[1])) + "s"),
    (
        re.compile(rf"{_FREE}(?P<number>{_NUMBER}) ?(?P<unit>{_either(_UNITS)})(?!\w)"),
        _unit,
    ),
    (re.compile(r"\b(\d+)(?:st|nd|rd|th)\b"), lambda m: _words(m[1], "ordinal")),
    (re.compile(r"\b[Nn]os?\.(?= ?\d)"), lambda m: "number" if m[0][0] == "n" else "Number"),
    (re.compile(r"#(?=\d)"), lambda _: "number "),
    (re.compile(rf"{_FREE}(\d+) ?[-–] ?(?=\d)"), lambda m: f"{m[1]} to "),
    (
        re.compile(rf"{_FREE}(1[1-9]\d\d|20\d\d)(?![\w%]|[.,]\d)"),
        lambda m: _year(m[1]),
    ),
    (re.compile(rf"{_FREE}{_NUMBER}"), lambda m: _words(m[0])),
    (re.compile(r"\d+"), lambda m: f" {_words(m[0])} "),
    (
        re.compile(rf"\b(?P<short>{_either(_ABBREVIATIONS)})(?=\W|$)", re.IGNORECASE),
        _abbreviation,
    ),
    (re.compile(r"\s*&\s*"), lambda _: " and "),
    (re.compile(r"\s*@\s*"), lambda _: " at "),
]
"""What is looked for and how it is said, the more particular first."""

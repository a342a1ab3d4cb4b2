"""Times, dates, years and decades in English words (American order)."""

from __future__ import annotations

import re

from llasa.text.normalize.numbers import cardinal, decade, ordinal, year
from llasa.text.normalize.rules import EN, FREE, Rule, closes, rule

_MONTHS, _DAYS = EN["months"].split(), EN["days"].split()
_MONTH = "|".join(rf"{name[:3]}(?:{name[3:]}\b|\.)?" for name in _MONTHS) + r"|Sept\."
_DAY = "|".join(rf"{name[:3]}(?:{name[3:-3]})?" for name in _DAYS) + "|Tues|Thur|Thurs"
_ORDINAL = r"(?:st|nd|rd|th)?"
_HALF = r"\s?(?:[aA]\.?[mM]\b\.?|[pP]\.?[mM]\b\.?)"
_CLOCK = r"(?:[01]?\d|2[0-4])"


def _day(month: int, day: str, last: str | None = None, years: str | None = None) -> str:
    said = f"{_MONTHS[month - 1]} {ordinal(day)}"
    if last:
        said += f" to {ordinal(last)}"
    return f"{said}, {year(years)}" if years else said


def _numeric_date(match: re.Match[str]) -> str:
    month, day, years = match["m"], match["d"], match.groupdict().get("y")
    real = 1 <= int(month) <= 12 and 1 <= int(day) <= 31
    return _day(int(month), day, None, years) if real else match[0]


def _named_date(match: re.Match[str]) -> str:
    name = match["month"] or match["month2"]
    month = next(n for n, full in enumerate(_MONTHS, 1) if full.startswith(name[:3]))
    parts = match["day"] or match["day2"], match["last"], match["year"] or match["year2"]
    return _day(month, *parts) if 1 <= int(parts[0]) <= 31 else match[0]


def _half(match: re.Match[str]) -> str:
    """AM or PM, where there is one."""
    half = match["half"]
    return (" AM" if "a" in half.lower() else " PM") + closes(match) if half else ""


def _time(match: re.Match[str]) -> str:
    hour, minute = int(match["hour"]), int(match["minute"])
    said = cardinal(str(hour))
    if minute:
        said += f" {'oh ' if minute < 10 else ''}{cardinal(str(minute))}"
    elif not match["half"]:
        said += " o'clock" if 0 < hour <= 12 else " hundred"
    if match["second"]:
        said += f" and {cardinal(str(int(match['second'])))} seconds"
    return said + _half(match)


def _weekday(match: re.Match[str]) -> str:
    return next(day for day in _DAYS if day.startswith(match[1][:3]))


RULES: list[Rule] = [
    rule(rf"\b({_DAY})\b\.?(?=,? (?:at )?(?:\d|(?:{_MONTH}))|\s?[-–]\s?(?:{_DAY})\b)", _weekday),
    rule(rf"(?<=day)\s?[-–]\s?({_DAY})(?:day)?\b\.?", lambda m: " to " + _weekday(m)),
    rule(
        rf"(?i){FREE}({_CLOCK}(?::[0-5]\d)?(?:{_HALF})?)\s?[-–—]\s?(?={_CLOCK}(?::[0-5]\d)?{_HALF})",
        r"\1 to ",
    ),
    rule(rf"{FREE}(\d\d?:\d\d)\s?[-–—]\s?(?=\d\d?:\d\d)", r"\1 to "),
    rule(
        rf"{FREE}(?P<hour>{_CLOCK}):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d))?(?![\d:])"
        rf"(?P<half>{_HALF})?",
        _time,
    ),
    rule(
        rf"{FREE}(?P<hour>0?[1-9]|1[0-2])(?P<half>{_HALF})",
        lambda m: cardinal(m["hour"]) + _half(m),
    ),
    rule(rf"{FREE}(?P<y>\d{{4}})-(?P<m>\d\d)-(?P<d>\d\d)(?![\w/-])", _numeric_date),
    rule(rf"{FREE}(?P<m>\d\d?)/(?P<d>\d\d?)/(?P<y>\d{{4}})(?![\w/-])", _numeric_date),
    rule(rf"{FREE}(?P<d>\d\d?)\.(?P<m>\d\d?)\.(?P<y>[12]\d{{3}})(?![\w/-])", _numeric_date),
    rule(r"(?<=\b(?:[Oo]n|[Bb]y) )(?P<m>\d\d?)/(?P<d>\d\d?)(?![\w/-])", _numeric_date),
    rule(
        rf"{FREE}(0?[1-9]|1[0-2])/((?:19|20)\d\d)(?![\w/-])",
        lambda m: f"{_MONTHS[int(m[1]) - 1]} {year(m[2])}",
    ),
    rule(
        rf"\b(?:(?P<month>{_MONTH}) (?P<day>\d\d?){_ORDINAL}"
        rf"(?:\s?[-–]\s?(?P<last>\d\d?){_ORDINAL})?"
        r"(?:,? (?P<year>\d{4}))?"
        rf"|(?P<day2>\d\d?){_ORDINAL} (?P<month2>{_MONTH})(?:,? (?P<year2>\d{{4}}))?)(?![\w%:])",
        _named_date,
    ),
    rule(r"(?<!\w)['’]?((?:1[1-9]|20)?\d0)['’]?s\b", lambda m: decade(m[1])),
    rule(
        rf"{FREE}(1[1-9]\d\d|20\d\d)\s?[-–]\s?(?=\d\d(?:\d\d)?(?![\w%]))",
        lambda m: f"{year(m[1])} to ",
    ),
]
"""In the order in which they are tried."""
YEARS: list[Rule] = [
    rule(rf"{FREE}(1[1-9]\d\d|20\d\d)(?![\w%]|[.,]\d)", lambda m: year(m[1])),
    rule(r"(?<=\b[Ii]n )(10\d\d|[2-9]\d\d)(?= (?:BCE?|AD|CE)\b)", lambda m: year(m[1])),
]
"""Numbers that may be years, tried when they are nothing else."""

"""Numbers, dates, money, units and abbreviations as the words that are said; opt-in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from llasa.packages import require
from llasa.text import mostly_wide


def normalize_text(text: str) -> str:
    """A clean text with everything spelled out that is not written as it is said.

    English (American order of dates), through `num2words`; texts that are mostly Chinese, through
    `wetext`. Raises `LlasaError` where the extra that brings the package is not installed.
    """
    if mostly_wide(text):
        normalizer = require("wetext").Normalizer(lang="zh", operator="tn")
        return str(normalizer.normalize(text))
    require("num2words")
    for pattern, say in _RULES:
        text = pattern.sub(say, text)
    return " ".join(text.split())


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
    year, month, day = (match[part] or match[f"{part}2"] for part in "ymd")
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
_MONTHS = [
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
]
_CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "¥": ("yen", "yen", "", ""),
}
_SCALES = {"bn": "billion", "B": "billion"} | dict.fromkeys("kK", "thousand")
_SCALES |= dict.fromkeys("mM", "million")


def _pairs(table: str) -> dict[str, str]:
    """What is written and what is said, from `written said; ...`."""
    return dict(pair.strip().split(" ", 1) for pair in table.split(";"))  # type: ignore[misc]


_UNITS = {
    short: (one, many or f"{one}s")
    for short, said in _pairs(
        """
        km/h kilometer per hour,kilometers per hour; mph mile per hour,miles per hour;
        m/s meter per second,meters per second; km kilometer; cm centimeter; mm millimeter;
        m meter; mi mile; ft foot,feet; kg kilogram; mg milligram; g gram; lbs pound; lb pound;
        oz ounce; ml milliliter; L liter; l liter; ms millisecond; s second; min minute; h hour;
        kHz kilohertz,kilohertz; MHz megahertz,megahertz; GHz gigahertz,gigahertz;
        Hz hertz,hertz; kW kilowatt; W watt; V volt; kB kilobyte; MB megabyte; GB gigabyte;
        TB terabyte; °C degree Celsius,degrees Celsius; °F degree Fahrenheit,degrees Fahrenheit;
        ° degree; % percent,percent
        """
    ).items()
    for one, _, many in [said.partition(",")]
}
_ABBREVIATIONS = _pairs(
    """
    dr. doctor; mr. mister; mrs. missus; ms. miss; prof. professor; st. saint; mt. mount; ft. fort;
    gen. general; col. colonel; capt. captain; lt. lieutenant; sgt. sergeant; rev. reverend;
    gov. governor; sen. senator; rep. representative; jr. junior; sr. senior; vs. versus;
    etc. et cetera; e.g. for example; i.e. that is; approx. approximately; dept. department;
    inc. incorporated; ltd. limited; co. company; corp. corporation; fig. figure; vol. volume
    """
)
_MAY_END = {"etc.", "jr.", "sr.", "inc.", "ltd.", "co.", "corp."}

_AMOUNT = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"
_NUMBER = rf"[-−]?{_AMOUNT}"
_FREE = r"(?<![\w.,/:])"
"""Nothing that belongs to the number comes before it."""
_MONTH = "|".join(rf"{name[:3]}(?:{name[3:]}\b|\.)?" for name in _MONTHS) + r"|Sept\."
_ORDINAL = r"(?:st|nd|rd|th)?"


def _either(names: Iterable[str]) -> str:
    return "|".join(map(re.escape, sorted(names, key=len, reverse=True)))


_SAID: dict[str, Callable[[re.Match[str]], str]] = {
    rf"{_FREE}(?:(?P<y>\d{{4}})-(?P<m>\d\d)-(?P<d>\d\d)"
    r"|(?P<m2>\d\d?)/(?P<d2>\d\d?)/(?P<y2>\d{4}))(?![\w/-])": _numeric_date,
    rf"\b(?:(?P<month>{_MONTH}) (?P<day>\d\d?){_ORDINAL}(?:,? (?P<year>\d{{4}}))?"
    rf"|(?P<day2>\d\d?){_ORDINAL} (?P<month2>{_MONTH})(?:,? (?P<year2>\d{{4}}))?)"
    r"(?![\w%])": _named_date,
    rf"(?P<sign>[{''.join(_CURRENCIES)}]) ?(?P<amount>{_AMOUNT})"
    r"(?: ?(?P<scale>hundred|thousand|million|billion|trillion|bn|[kKMmB])\b)?": _money,
    rf"{_FREE}(?P<hour>\d\d?):(?P<minute>\d\d)(?![\d:])(?P<half> ?[aApP]\.?[mM]\b\.?)?": _time,
    r"\b(1[1-9]\d0|20\d0)s\b": lambda m: re.sub(r"y$", "ie", _year(m[1])) + "s",
    rf"{_FREE}(?P<number>{_NUMBER}) ?(?P<unit>{_either(_UNITS)})(?!\w)": _unit,
    r"\b(\d+)(?:st|nd|rd|th)\b": lambda m: _words(m[1], "ordinal"),
    r"\b[Nn]os?\.(?= ?\d)": lambda m: "number" if m[0][0] == "n" else "Number",
    r"#(?=\d)": lambda _: "number ",
    rf"{_FREE}(\d+) ?[-–] ?(?=\d)": lambda m: f"{m[1]} to ",
    rf"{_FREE}(1[1-9]\d\d|20\d\d)(?![\w%]|[.,]\d)": lambda m: _year(m[1]),
    rf"{_FREE}{_NUMBER}": lambda m: _words(m[0]),
    r"\d+": lambda m: f" {_words(m[0])} ",
    rf"(?i:\b(?P<short>{_either(_ABBREVIATIONS)})(?=\W|$))": _abbreviation,
    r"\s*&\s*": lambda _: " and ",
    r"\s*@\s*": lambda _: " at ",
}
"""What is looked for and how it is said, the more particular first."""
_RULES = [(re.compile(pattern), say) for pattern, say in _SAID.items()]

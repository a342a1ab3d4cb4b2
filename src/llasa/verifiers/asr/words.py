"""Normalises English words for comparing texts with transcripts, however they are written.

A recogniser that hears "five five five, zero one seven three" writes "555-0173". Whisper's
normaliser turns number words into digits; the tables here bring signs, units, times and the like to
the words that are said for them. They are separate from the normaliser of texts to speak, so that a
change there does not change the measure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from llasa.base.packages import require

Rewrite = tuple[str, str | Callable[[re.Match[str]], str]]
"""A pattern, and the words for it."""


class EnglishWords:
    """Brings a text, as typed, heard or written out, to words that can be compared.

    Afterwards, "5:30 PM", "5:30pm" and "five thirty p m" differ at most in where words are parted,
    which `errors` does not count. Raises `LlasaError` where Whisper's normaliser is missing.
    """

    def __init__(self) -> None:
        self._normalizer = require("whisper_normalizer.english").EnglishTextNormalizer()

    def __call__(self, text: str) -> str:
        """Lower-case words and digits with single spaces between them."""
        for pattern, said in _BEFORE:
            text = re.sub(pattern, said, text)
        # What a comma parts is not one number: "eight hundred, five five five".
        normal = " ".join(self._normalizer(part) for part in _BREAKS.split(text))
        normal = " ".join(normal.split())
        for pattern, said in _AFTER:
            normal = re.sub(pattern, said, normal)
        return " ".join(normal.split())


def _any(words: Iterable[str]) -> str:
    """A pattern that takes one of the words, the longest first."""
    return f"(?:{'|'.join(sorted(words, key=len, reverse=True))})"


_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_MONTH = _any(_MONTHS).lower()
_HALVES = {"½": "1/2", "¼": "1/4", "¾": "3/4", "⅓": "1/3", "⅔": "2/3", "⅛": "1/8"}
_PARTS = {"3": "third", "4": "quarter", "5": "fifth", "8": "eighth"}
_UNITS = {
    **{"km": "kilometers", "cm": "centimeters", "mm": "millimeters", "mi": "miles", "ft": "feet"},
    **{"kg": "kilograms", "g": "grams", "mg": "milligrams", "lb": "pounds", "lbs": "pounds"},
    **{"oz": "ounces", "ml": "milliliters", "mL": "milliliters", "tbsp": "tablespoons"},
    **{"tsp": "teaspoons", "KB": "kilobytes", "MB": "megabytes", "GB": "gigabytes"},
    **{"TB": "terabytes", "Mbps": "megabits per second", "fps": "frames per second"},
    **{"mph": "miles per hour", "km/h": "kilometers per hour", "bpm": "beats per minute"},
    **{"min": "minutes", "mins": "minutes", "hr": "hours", "hrs": "hours", "sec": "seconds"},
}
_STREETS = {"St": "Street", "Ave": "Avenue", "Blvd": "Boulevard", "Rd": "Road", "Ln": "Lane"}
_DIRECTIONS = {"N": "North", "S": "South", "E": "East", "W": "West"}
_STATES = dict(
    re.findall(
        r"([A-Z]{2}) (\w+(?: \w+)?),",
        "AL Alabama,AK Alaska,AZ Arizona,AR Arkansas,CA California,CO Colorado,CT Connecticut,"
        "DE Delaware,FL Florida,GA Georgia,HI Hawaii,ID Idaho,IL Illinois,IN Indiana,IA Iowa,"
        "KS Kansas,KY Kentucky,LA Louisiana,ME Maine,MD Maryland,MA Massachusetts,MI Michigan,"
        "MN Minnesota,MS Mississippi,MO Missouri,MT Montana,NE Nebraska,NV Nevada,"
        "NH New Hampshire,NJ New Jersey,NM New Mexico,NY New York,NC North Carolina,"
        "ND North Dakota,OH Ohio,OK Oklahoma,OR Oregon,PA Pennsylvania,RI Rhode Island,"
        "SC South Carolina,SD South Dakota,TN Tennessee,TX Texas,UT Utah,VT Vermont,VA Virginia,"
        "WA Washington,WV West Virginia,WI Wisconsin,WY Wyoming,",
    )
)
_ROMAN = (
    *("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X"),
    *("XI", "XII", "XIII", "XIV", "XV", "XVI", "XVII", "XVIII", "XIX", "XX"),
)
_ENDINGS = {1: "st", 2: "nd", 3: "rd"}
_COUNTED = "Chapter|Part|Volume|Act|Scene|Section|War|Level|Phase|Bowl"
_KINGS = "Henry|Louis|Edward|George|Charles|Elizabeth|Richard|William|James|Paul|Leo"


def _fraction(match: re.Match[str]) -> str:
    whole, above, below = match.groups()
    if whole and below == "2":
        return f"{whole}.5"
    said = "1 half" if below == "2" else f"{above} {_PARTS[below]}{'' if above == '1' else 's'}"
    return f"{whole} and {said}" if whole else said


def _unit(match: re.Match[str]) -> str:
    number, unit = match.groups()
    if number not in ("1", "1 half"):
        return f"{number} {_UNITS[unit]}"
    first, *rest = _UNITS[unit].split()
    return " ".join([number, "foot" if first == "feet" else first.removesuffix("s"), *rest])


def _number(match: re.Match[str]) -> str:
    """Chapter IV: chapter 4."""
    return f"{match[1]} {_ROMAN.index(match[2]) if match[2] in _ROMAN else match[2]}"


def _king(match: re.Match[str]) -> str:
    """Henry VIII: Henry the 8th."""
    if match[2] not in _ROMAN:
        return match[0]
    number = _ROMAN.index(match[2])
    return f"{match[1]} the {number}{_ENDINGS.get(number, 'th')}"


def _days(match: re.Match[str]) -> str:
    """May 5th to 7th: May 5 to 7."""
    return re.sub(r"(?<=\d)(?:st|nd|rd|th)\b", "", match[0])


def _apart(match: re.Match[str]) -> str:
    return match[0].replace(".", ", ")


_BEFORE: list[Rewrite] = [
    ("[’‘ʼ`´]", "'"),
    ("[−‐‑]", "-"),
    (r"\((\d+)\)", r"\1, "),
    # Money.
    (r"\bUS\$(\d[\d.,]*)", r"\1 U S dollars"),
    (r"([$€£])(\d+)[-–](?=\d)", r"\1\2 to \1"),
    (r"(\d[\d.,]*) ?([€£])", r"\2\1"),
    (r"(?<=\d) ?¢", " cents"),
    (r"([$€£]\d+)\.00\b", r"\1"),
    (r"([$€£]\d[\d.,]*) ?M\b", r"\1 million"),
    (r"([$€£]\d[\d.,]*) ?B\b", r"\1 billion"),
    # Dates and times.
    (
        rf"\b({_any(month[:3] for month in _MONTHS)})t?\.? (?=\d)",
        lambda m: next(f"{month} " for month in _MONTHS if month.startswith(m[1])),
    ),
    (r"(?i)\bo'? ?clock\b", ""),
    (r"\b(\d{1,2}):00\b", r"\1"),
    (r"(?i)\b(\d{1,2})(?::|\.(?=\d\d ?[ap]\.?m))(?=\d\d)", r"\1, "),
    (r"(?i)((?<=[ap]m)|(?<=[ap]\.m\.)) ?[-–—] ?(?=\d)", " to "),
    # Addresses of houses and of the net, names of files.
    (rf"(?<=, )({_any(_STATES)})\b(?=,? \d{{5}}\b)", lambda m: _STATES[m[1]]),
    (r"(?<=\d )([NSEW])\b\.?(?= [A-Z\d])", lambda m: _DIRECTIONS[m[1]]),
    (rf"(?<=[a-z\d] )({_any(_STREETS)})\b(?!\.? [A-Z])\.?", lambda m: _STREETS[m[1]]),
    (r"(?<=[a-z] )Dr\b\.?(?=,|\n|$)", "Drive"),
    (r"\bApt\b\.?", "apartment"),
    (r"\bHwy\b\.?", "highway"),
    (r"(?i)\bext\b\.?(?= ?\d)", "extension"),
    (r"(?<=[^\W_])\.(?=[A-Za-z]{2})", " dot "),
    (r"@(?=\w)", " at "),
    (r"(?i)\b(?:slash|underscore|hyphen)\b|_", " "),
    # Numbered things.
    (r"(?:#|\bNo\. ?)(?=\d)", "number "),
    (rf"\b({_COUNTED}) ([IVX]+)\b", _number),
    (rf"\b({_KINGS}) ([IVX]{{2,}}|V|X)\b", _king),
    (r"\bv\.? ?(?=\d)", "version "),
    # Fractions and units.
    ("[½¼¾⅓⅔⅛]", lambda m: f" {_HALVES[m[0]]}"),
    (r"(?:(?<![\d/])(\d+) +)?(?<![\d/])(\d)/([23458])(?![\d/])", _fraction),
    (rf"(\b\d[\d.,]*|\b1 half) ?({_any(_UNITS)})\b\.?", _unit),
    (r"° ?C\b", " degrees Celsius"),
    (r"° ?F\b", " degrees Fahrenheit"),
    (r"°", " degrees "),
    # Signs. After "minus, " the normaliser does not draw the word into the number, nor drop it.
    (r"(?<![\w.])[-–](?=[$€£]?\d)|(?i:\bminus )", "minus, "),
    (r"\*(?=\d)", "star "),
    (r"\bCtrl\b", "Control"),
    (r"\b(Control|Alt|Shift|Command) ?[+-] ?(?=\w)", r"\1 "),
    (r"\b([CF])#", r"\1 sharp"),
    (r"#(?=\w)", "hashtag "),
    ("&", " and "),
    (r"\+", " plus "),
    ("=", " equals "),
    ("<", " less than "),
    (">", " greater than "),
    (r"(?<=\d) ?[x×] ?(?=\d)", " by "),
    (r"\bvs\b\.?", "versus"),
    # Digits that the normaliser would lose, or read as one decimal number, and words it lacks.
    (r"\d+(?:\.\d+){2,}|\b\d{3}\.\d{4}\b", _apart),
    (r"(?<=\d)[-–/](?=\d)", ", "),
    (r"(?<![\d.,])0+(?=\d)", lambda m: "oh " * len(m[0])),
    (r"(?i)\ba (?=(?:hundred|thousand|million|billion)\b)", "one "),
    (r"(?i)\btwenty[ -]ninth\b", "29th"),
    (r"(?i)\bninth\b", "9th"),
]
"""What is written and what is said for it, in order; case counts."""
_BREAKS = re.compile(r"(?<=[,;:!?])\s+|(?<=\.)\s+(?=[A-Z])|\n+|\s[-–—]+\s")
_AFTER: list[Rewrite] = [
    (r"\bone\b", "1"),
    (r"\bversion \d+(?:\.\d+)+\b|\d+(?:\.\d+){2,}", lambda m: m[0].replace(".", " ")),
    (r"([£€]\d+) and (\d\d) (?:pence|cents)\b", r"\1.\2"),
    (r"(?<![\d$£€.])(\d+) to ([$£€])(?=\d)", r"\2\1 \2"),
    # What is said for a sign between two numbers: transcripts do not show whether it was.
    (r"(?<=\d)((?:st|nd|rd|th)?)(?: (?:to|through|dash|dot|point|colon))+ (?=[$€£]?\d)", r"\1 "),
    (rf"\b{_MONTH} \d+(?:st|nd|rd|th)?(?: \d{{1,2}}(?:st|nd|rd|th))?\b", _days),
    (r"(?<!\d )\b0\b(?! \d)", "o"),
    (r"\bok\b", "okay"),
    (r"\bmiz\b", "ms"),
    (r"\bjson\b", "jason"),
]
"""The same for what Whisper's normaliser leaves."""

"""Titles, streets, Roman numerals and abbreviations in English words."""

from __future__ import annotations

import re

from llasa.text.normalize.numbers import cardinal, ordinal, pairs, roman
from llasa.text.normalize.rules import EN, Rule, closes, either, listed, rule

_STREETS, _ABBREVIATIONS, _TITLES = EN["streets"], EN["abbreviations"], EN["titles"]
_MAY_END = EN["may_end"].split()
_ROMAN = r"[IVXLC]+"


def _chapter(match: re.Match[str]) -> str:
    value = roman(match[2])
    war = match[1].lower() == "war"
    said = cardinal(str(value))
    return f"{match[1]} {said.capitalize() if war else said}" if value else match[0]


def _ruler(match: re.Match[str]) -> str:
    value = roman(match[2])
    return f"{match[1]} the {ordinal(str(value)).capitalize()}" if value else match[0]


def _house(match: re.Match[str]) -> str:
    letter = f" {match['letter'].upper()}" if match["letter"] else ""
    street, end = _STREETS.get(match["type"], match["type"]), closes(match)
    return f"{pairs(match['number'])}{letter}{match['name']}{street}{end}"


def _street_after_name(match: re.Match[str]) -> str:
    """`Main St.`, but not `a dr.`: a name comes before it."""
    name = match.string[: match.start()].split()[-1:]
    named = name and (name[0][0].isupper() or name[0][0].isdigit())
    return _STREETS[match[1]] + closes(match) if named else match[0]


def _abbreviation(match: re.Match[str]) -> str:
    short = match["short"]
    said = _like(short, _ABBREVIATIONS[short.lower()])
    ends = short.lower() in _MAY_END and re.match(r"\s+[A-Z]|\s*$", match.string[match.end() :])
    return f"{said}." if ends else said


def _like(written: str, said: str) -> str:
    """With a capital where what is written has one."""
    return said.capitalize() if written[0].isupper() else said


def _title(match: re.Match[str]) -> str:
    return _like(match[0], _TITLES[match[0].lower()])


RULES: list[Rule] = [
    rule(
        r"\b(?P<number>\d{1,5})(?P<letter>[A-Za-z])?(?P<name> (?:[NSEW]\.? )?"
        r"(?:(?:[A-Z][\w'’-]+|\d+(?:st|nd|rd|th)) ){1,3})"
        rf"(?P<type>{either(_STREETS)}|(?(letter)(?:{either(_STREETS.values())})|(?!)))\b\.?",
        _house,
    ),
    rule(r"(?<=[a-z\d] )(St|Dr)\b\.?(?=$|[,;:!?)]|\s+(?:[a-z(]|\d)|\s*$)", _street_after_name),
    rule(r"(?<=[a-z\d] )(Ave|Blvd|Rd|Ln|Hwy|Pkwy)\b\.?", _street_after_name),
    rule(rf"(?i)\b({listed('chapters')}) (?-i:({_ROMAN}))\b", _chapter),
    rule(rf"\b({listed('rulers')}) ([IVX]{{2,}}|[VX])\b", _ruler),
    rule(rf"\b((?:King|Queen|Pope|Emperor|Tsar|Sultan) [A-Z]\w+) ({_ROMAN})\b", _ruler),
    rule(r"\b([A-Z][a-z]+) ([IVX]{2,})\b", _chapter),
    rule(r"\b[Nn]os?\.(?= ?\d)", lambda m: "number" if m[0][0] == "n" else "Number"),
    rule(r"№ ?", "number "),
    rule(r"(?<!\d)(?<!\d )\b(F|f)t\.(?= [A-Z])", r"\1ort"),
    rule(rf"(?i:\b(?P<short>{either(_ABBREVIATIONS)})(?=\W|$))", _abbreviation),
    rule(r"\b([Mm]rs?|[Mm]s|[Dd]r|[Pp]rof)(?= [A-Z])", _title),
    rule(r"\bvs\b", "versus"),
    rule(r"\betc\b(?!\.)", "et cetera"),
    rule(r"\b(?:[A-Z]\.){2,}", lambda m: m[0].replace(".", "") + closes(m)),
    rule(r"(?i)\b([ap])\.m\.?(?!\w)", lambda m: f"{m[1].upper()}M{closes(m)}"),
    rule(r"\bPh\.? ?D\b\.?", lambda m: "PhD" + closes(m)),
    rule(r"\b([B-HJ-Z])\.(?= [A-Z])", r"\1"),
    rule(r"\b(?:OK|Ok)\b", "Okay"),
    rule(r"\bok\b", "okay"),
]
"""In the order in which they are tried."""

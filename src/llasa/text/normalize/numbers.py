"""Numbers in English words, each in the way that its kind is read."""

from __future__ import annotations

import re
from functools import lru_cache

_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_LONGEST = 15
"""Longer numbers are read digit by digit."""
_ROMAN_FORM = re.compile("M*(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})")
_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}


@lru_cache(4096)
def _num2words(number: int, form: str) -> str:
    from num2words import num2words

    return str(num2words(number, to=form)).replace(",", "").replace(" and ", " ")


def cardinal(number: str) -> str:
    """Digits with an optional sign, commas and decimals."""
    plain = number.replace(",", "").replace("−", "-").replace("–", "-")
    sign, plain = ("minus ", plain[1:]) if plain.startswith("-") else ("", plain)
    whole, point, decimals = plain.partition(".")
    long = len(whole) > _LONGEST or (len(whole) > 1 and whole.startswith("0"))
    said = sign + (digits(whole) if long else _num2words(int(whole or 0), "cardinal"))
    return f"{said} point {digits(decimals)}" if point else said


def ordinal(number: str) -> str:
    """Third, twenty-first."""
    return cardinal(number) if len(number) > _LONGEST else _num2words(int(number), "ordinal")


def digits(number: str) -> str:
    """One digit after the other; anything else parts groups."""
    groups = "".join(char if char.isdecimal() else " " for char in number).split()
    return ", ".join(" ".join(_DIGITS[int(digit)] for digit in group) for group in groups)


def year(number: str) -> str:
    """Nineteen ninety, two thousand five, twenty twenty-four."""
    if 0 < int(number) % 1000 < 10:
        return cardinal(number)
    return _num2words(int(number), "year")


def pairs(number: str) -> str:
    """As people read rooms, flights and houses: one oh one, four ninety-two, sixteen hundred."""
    if len(number) not in (3, 4) or number.startswith("0"):
        return cardinal(number) if len(number) < 3 else digits(number)
    if number.endswith("000"):
        return cardinal(number)
    first, last = number[:-2], number[-2:]
    if last == "00":
        return f"{cardinal(first)} hundred"
    return f"{cardinal(first)} {'oh ' if last[0] == '0' else ''}{cardinal(str(int(last)))}"


def decade(number: str) -> str:
    """Nineties, nineteen eighties, two thousands."""
    said = year(number) if len(number) == 4 else cardinal(number)
    return said[:-1] + "ies" if said.endswith("y") else said + "s"


def fraction(over: int, under: int) -> str:
    """One half, three quarters, two thirds, five eighths."""
    name = {2: "half", 4: "quarter"}.get(under) or ordinal(str(under))
    if over != 1:
        name = "halves" if under == 2 else f"{name}s"
    return f"{cardinal(str(over))} {name}"


def roman(letters: str) -> int:
    """The value of a Roman numeral, 0 where it is not written as one."""
    if not _ROMAN_FORM.fullmatch(letters):
        return 0
    values = [_ROMAN[letter] for letter in letters]
    followed = zip(values, [*values[1:], 0], strict=True)
    return sum(-value if value < following else value for value, following in followed)

"""Money, measures, fractions, ranges and signs in English words."""

from __future__ import annotations

import re
import unicodedata

from llasa.text.normalize.numbers import cardinal, digits, fraction, ordinal
from llasa.text.normalize.rules import AMOUNT, EN, FREE, TIDY, Rule, either, listed, rule

_CURRENCIES, _CODES, _COUNTRIES = EN["currencies"], EN["currency_codes"], EN["countries"]
_SCALES, _PER, _KNOWN_PAIRS, _MATHS = EN["scales"], EN["per"], EN["known_pairs"], EN["maths"]
_UNITS = {
    short: (one, many or f"{one}s")
    for short, said in EN["units"].items()
    for one, _, many in [said.partition(", ")]
}
_SCALE = rf"(?: ?(?P<scale>hundred|thousand|million|billion|trillion|{either(_SCALES)})\b)?"
_MINUS = r"(?P<minus>(?<![\w)])[-−–])?"
_ROOTS = {"√": "square", "∛": "cube"}
_POWERS = {"²": "square", "³": "cubic"}
_VULGAR = "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"


def _money(match: re.Match[str]) -> str:
    named = match.groupdict()
    sign = named["sign"]
    sign = _CODES.get(sign, sign)
    country = _COUNTRIES.get(named.get("country") or sign[:-1], "") if sign != "CHF" else ""
    one, many, cent, cents = _CURRENCIES[sign if sign == "CHF" else sign[-1]]
    if country:
        one, many = f"{country} {one}", f"{country} {many}"
    minus = "minus " if named.get("minus") else ""
    amount, scale = named["amount"], named["scale"]
    if re.fullmatch(r"\d+,\d\d", amount):
        amount = amount.replace(",", ".")
    if last := named.get("last"):
        return f"{minus}{cardinal(amount)} to {cardinal(last)} {_scaled(scale)}{many}"
    if scale:
        return f"{minus}{cardinal(amount)} {_scaled(scale)}{many}"
    whole, _, part = amount.replace(",", "").partition(".")
    if len(part) not in (0, 2) or (part and not cent):
        return f"{minus}{cardinal(amount)} {many}"
    said = f"{minus}{cardinal(whole)} {one if int(whole) == 1 else many}"
    if not part or int(part) == 0:
        return said
    small = f"{cardinal(str(int(part)))} {cent if int(part) == 1 else cents}"
    return f"{said} and {small}" if int(whole) else minus + small


def _scaled(scale: str | None) -> str:
    return f"{_SCALES.get(scale, scale)} " if scale else ""


def _unit(match: re.Match[str]) -> str:
    one, many = _UNITS[match["unit"]]
    power = f"{_POWERS[match['power']]} " if match["power"] else ""
    return f"{cardinal(match['number'])} {power}{one if match['number'] == '1' else many}"


def _vulgar(match: re.Match[str]) -> str:
    over, under = unicodedata.normalize("NFKC", match[2]).split("⁄")
    said = fraction(int(over), int(under))
    return f"{cardinal(match[1])} and {_a(said)}" if match[1] else said


def _mixed(match: re.Match[str]) -> str:
    over, under = int(match[2]), int(match[3])
    if not 0 < over < under:
        return match[0]
    return f"{cardinal(match[1])} and {_a(fraction(over, under))}"


def _a(said: str) -> str:
    return "a" + said[3:] if said in ("one half", "one quarter", "one third") else said


def _over(match: re.Match[str]) -> str:
    over, under = int(match[1]), int(match[2])
    if match[0] in _KNOWN_PAIRS:
        return _KNOWN_PAIRS[match[0]]
    if under in (10, 20, 50, 100) or match[3]:
        said = f"{cardinal(match[1])} out of {cardinal(match[2])}"
    elif over > 0 and 1 < under < 10:
        said = fraction(over, under)
    else:
        said = f"{cardinal(match[1])} over {cardinal(match[2])}"
    return said + (match[3] or "")


def _long(match: re.Match[str]) -> str:
    return match[0] if match[0].endswith("000") else digits(match[0])


def _superscript(match: re.Match[str]) -> str:
    """Ten to the power of six; squares and cubes have names of their own."""
    power = unicodedata.normalize("NFKC", match[0])
    return match[0] if match[0] in _POWERS else f"^{power}"


RULES: list[Rule] = [
    rule(r"(?<![\w.,/:)])\.(?=\d+(?!\.?\d))", "0."),
    rule(r"(?<=\d)⁻?[⁰¹²³⁴-⁹]+", _superscript),
    rule(r"(?<=[\w)]) ?\^ ?(?=[-−(\w])", " to the power of "),
    rule(
        r"(?P<times>(?<=\w))?(?P<root>[√∛]) ?(?=[\w(])",
        lambda m: f"{'' if m['times'] is None else ' times '}the {_ROOTS[m['root']]} root of ",
    ),
    rule(r"(?<=\d)\s?[-–]\s?(?=[$€£¥]\d)", " to "),
    rule(
        rf"{_MINUS}(?<![A-Za-z])(?P<country>{either(_COUNTRIES)})?"
        rf"(?P<sign>[$€£¥₹₩]) ?(?P<amount>{AMOUNT})(?:\s?[-–]\s?(?P<last>{AMOUNT}))?{_SCALE}",
        _money,
    ),
    rule(rf"{_MINUS}\b(?P<sign>{either(_CODES)}) ?(?P<amount>{AMOUNT}){_SCALE}", _money),
    rule(
        rf"{_MINUS}{FREE}(?P<amount>\d+,\d\d(?!\d)|{AMOUNT}){_SCALE} ?"
        rf"(?P<country>(?:{either(_COUNTRIES)})(?=\$))?(?P<sign>[$€£¥₹₩]|(?:{either(_CODES)})\b)",
        _money,
    ),
    rule(rf"{FREE}({AMOUNT}) ?¢", lambda m: f"{cardinal(m[1])} cents"),
    rule(rf"(?:{FREE}(\d{{1,6}}) ?)?([{_VULGAR}])", _vulgar),
    rule(rf"{FREE}(\d{{1,6}})[ -](\d)/(\d{{1,2}})(?![\w/])", _mixed),
    rule(rf"{FREE}(\d{{1,4}})/(\d{{1,4}})(?![\w/]|[.,:]\d)( (?:stars?|points?)\b)?", _over),
    rule(r"(?<![\d/])(\d{1,2})['′] ?(\d{1,2})(?:[\"″]|'')", r"\1 foot \2"),
    rule(r"(?<=\d)([)²³]?) ?[-−–] ?(?=\d[\d.,]*(?: ?[-+×*/] ?\d+)* ?=)", r" minus "),
    rule(rf"{FREE}({AMOUNT}%?) ?[-–—] ?(?=\d)", r"\1 to "),
    rule(rf"{FREE}(\d+):(?=\d+(?![\d:]))", r"\1 to "),
    rule(rf"{FREE}(\d+) ?[x×] ?(?=\d)", r"\1 by "),
    rule(rf"{FREE}(\d+)[x×](?!\w)", lambda m: f"{cardinal(m[1])} times"),
    rule(
        r"\b(\d+(?:\.\d+)?)[eE]([+-]?\d+)\b",
        lambda m: f"{cardinal(m[1])} times ten to the power of {cardinal(m[2].lstrip('+'))}",
    ),
    rule(rf"{FREE}(\d{{1,2}})(\d\d)p\b", lambda m: f"{cardinal(m[1])} {cardinal(m[2])} P"),
    rule(rf"{FREE}({AMOUNT}) ?sq\.? ?(?=ft|km|m|mi)", r"\1 square "),
    rule(
        rf"{FREE}(?P<number>[-−–]?{AMOUNT}) ?(?P<unit>{either(_UNITS)})(?P<power>[²³])?(?!\w)"
        r"(?:\.(?= [a-z(]))?",
        _unit,
    ),
    rule(
        rf"{FREE}(?![248]K)(?P<number>{AMOUNT})(?P<scale>[kK]|[bm]n|(?:(?<=\.\d)|(?<=\.\d\d))[BMT]"
        rf"|[BMT](?= (?:{listed('in_millions')})\b))(?!\w)",
        lambda m: f"{cardinal(m['number'])} {_SCALES[m['scale']]}",
    ),
    rule(rf"(?<=[a-z])/({either(_PER)})\b", lambda m: f" per {_PER[m[1]]}"),
    rule(r"\b(\d+)(?:st|nd|rd|th)\b", lambda m: ordinal(m[1])),
    rule(r"#(?=\d)", "number "),
    rule(r"\b(\d{7,})\b(?![.,]\d)", _long),
]
"""In the order in which they are tried, before numbers that are left are read as they are."""
SIGNS: list[Rule] = [
    *(rule(*row) for row in EN["signs"]["names"]),
    rule(
        r"(?<=[\w)]) ?([=×÷≤≥≈≠±]) ?(?=[\w(-])| ([<>*+]) (?=[\w(-])|(?<=\w)\+(?=\w)"
        r"|(?<=\d)([<>*])(?=\d)",
        lambda m: f" {_MATHS[m[0].strip()]} ",
    ),
    *(rule(*row) for row in EN["signs"]["others"]),
]
"""Signs between words and numbers."""
NUMBERS: list[Rule] = [
    rule(r"(?<=[^\W\d])-(?=\d)", " "),
    rule(rf"(?<![\w.,/:)])[-−–]?{AMOUNT}(?![^\W_])", lambda m: cardinal(m[0])),
    rule(r"\d+", lambda m: f" {cardinal(m[0])} "),
    *TIDY,
]
"""Whatever digits are left."""

"""URLs, e-mail addresses, names with signs, phone numbers and codes, as people say them."""

from __future__ import annotations

import html
import re

from llasa.text.normalize.numbers import cardinal, digits, pairs
from llasa.text.normalize.rules import EN, FREE, Rule, listed, rule

_LONG_ADDRESS = 60
"""Longer addresses are spoken as their host alone."""
_SIGNS = EN["address_signs"]
_SAID_ENDINGS = EN["said_endings"].split()
_ENDINGS = {*EN["domains"].split(), *EN["files"].split()}
_BEFORE, _AFTER = r"(?<![\w.,/$€£-])", r"(?![\w-]|[.,]\d)"
"""Around numbers that are not parts of others."""
_NO_DATE = r"(?!\d\d?\.\d\d?\.[12]\d{3}\b)"
_LABEL, _PATH = r"[a-z0-9][a-z0-9-]{0,62}", r"[^\s<>\"“”]"
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|_")
_LINKS = r"(?:number|numbers|code|id|no\.?|is|was|are|ending|in|#|:)"


def spell_address(address: str) -> str:
    """An address of the net with its signs said; of a long one the host alone."""
    bare = re.sub(r"^[a-z]+://", "", address, flags=re.I).rstrip("/")
    if len(bare) > _LONG_ADDRESS:
        bare = re.split(r"[/?#]", bare)[0]
    said = [""]
    for piece in re.findall(r"[^\W\d_]+|\d+|[\W_]", bare):
        if piece.isalpha():
            said.append(_ending(piece) if said[-1] == "dot" else piece)
        else:
            said.append(digits(piece) if piece.isdigit() else _SIGNS.get(piece, ""))
    return " ".join(filter(None, said))


def _ending(name: str) -> str:
    short = name.islower() and len(name) <= 4 and name in _ENDINGS
    return name.upper() if short and name not in _SAID_ENDINGS else name


def _address(match: re.Match[str]) -> str:
    whole = match[0]
    bare = whole.rstrip(".,;:!?)'\"”’")
    return spell_address(bare) + whole[len(bare) :]


def _phone(match: re.Match[str]) -> str:
    return ("plus " if match[0].startswith("+") else "") + digits(match[0])


def _short_phone(match: re.Match[str]) -> str:
    """Three digits and four: a phone number unless it looks like a range."""
    first, last = match[1], match[2]
    told = _CALL.search(match.string[max(0, match.start() - 30) : match.start()])
    odd = last.startswith("0") or (first[0] in "23456789" and not last.endswith("0"))
    return digits(match[0]) if told or odd or int(first) >= int(last) else match[0]


_CALL = re.compile(r"(?i)\b(?:call|phone|dial|text|tel|fax|number|reach|contact)\b")


def _counted(match: re.Match[str]) -> str:
    """The digits of a number that counts nothing: an order, an account."""
    plain = not match["link"] and match["what"].lower() not in ("pin", "id", "isbn", "zip", "code")
    if plain and len(match["number"]) < 5:
        return match[0]
    lead = match[0][: match.start("number") - match.start()].replace("#", "")
    return lead + digits(match["number"])


def _in_pairs(match: re.Match[str]) -> str:
    letter = f" {match['letter'].upper()}" if match["letter"] else ""
    return f"{match['what']}{match['carrier'] or ' '}{pairs(match['number'])}{letter}"


def _version(match: re.Match[str]) -> str:
    said = " point ".join(map(cardinal, match[2].split(".")))
    return f"version {said}" if match[1] else said


def _ip(match: re.Match[str]) -> str:
    port = f" colon {digits(match[2])}" if match[2] else ""
    return " dot ".join(map(digits, match[1].split("."))) + port


RULES: list[Rule] = [
    rule(r"&(?:[a-zA-Z]{2,8}|#\d{1,6});", lambda m: html.unescape(m[0])),
    rule(r"\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}\b", _address),
    rule(rf"(?i)\b(?:https?://|ftp://|www\.){_PATH}+", _address),
    rule(rf"\b(?:{_LABEL}\.){{1,4}}(?:{listed('domains')})\b(?:/{_PATH}*)?(?!\.\w)", _address),
    rule(rf"\b\w[\w-]{{0,60}}\.(?:{listed('files')})\b", _address),
    rule(rf"(?<![\w.])\.(?=(?:NET|{listed('said_endings', 'files')})\b)", "dot "),
    rule(r"(?<![\w&])#([^\W\d]\w{0,80})", lambda m: "hashtag " + _CAMEL.sub(" ", m[1])),
    rule(r"(?<!\w)@(\w{1,60})", lambda m: "at " + m[1].replace("_", " ").strip()),
    rule(rf"{FREE}(\d{{1,3}}(?:\.\d{{1,3}}){{3}})(?::(\d{{1,5}}))?(?![\w.]*\d)", _ip),
    rule(r"\b([vV])(\d{1,9}(?:\.\d{1,9}){0,5})\b", _version),
    rule(rf"{FREE}{_NO_DATE}()(\d{{1,9}}(?:\.\d{{1,9}}){{2,5}})(?![\w/])", _version),
    rule(
        rf"{_BEFORE}(?:\+\d{{1,3}}[ .-]?)?(?:1[ .-])?(?:\(\d{{2,4}}\) ?|\d{{3}}[ .-])"
        rf"\d{{3}}[ .-]\d{{4}}{_AFTER}",
        _phone,
    ),
    rule(rf"(?<![\w.,/$-])\+\d[\d ().-]{{6,20}}\d{_AFTER}", _phone),
    rule(rf"{_BEFORE}(\d{{3}})-(\d{{4}})(?![\w%-]|[.,]\d)", _short_phone),
    rule(rf"{_BEFORE}(?:\d{{1,6}}(?:-\d{{1,7}}){{3,4}}|\d{{3}}-\d\d-\d{{4}}){_AFTER}", _phone),
    rule(rf"{_BEFORE}\d{{4}}(?: \d{{4}}){{2,4}}{_AFTER}", _phone),
    rule(rf"{_BEFORE}\d\d(?: \d\d){{3,4}}(?![\w-]|[.,:]\d)", _phone),
    rule(
        rf"(?i)\b(?P<what>{listed('coded')})\b(?P<link>(?:\W{{0,3}}\b{_LINKS}(?=\W)|\W{{0,2}}[#:]){{0,4}})"
        r"\W{0,3}(?P<number>\d{3,20}(?:-\d{1,20}){0,6})(?![\w/%]|[.,:]\d)",
        _counted,
    ),
    rule(r"\b401\(?[kK]\b\)?", "four oh one K"),
    rule(
        rf"(?i)\b(?P<what>{listed('in_pairs')})(?P<carrier> (?-i:[A-Z]{{2}}) ?)?"
        r" ?(?=\d{3}|\d\d?(?-i:[A-Za-f]))(?P<number>\d{1,5})(?P<letter>(?-i:[A-Za-f]))?"
        r"(?![\w/%]|[.,:]\d)",
        _in_pairs,
    ),
]
"""In the order in which they are tried."""

"""Rules of normalisation: what is looked for, and how it is said."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from llasa.text.tables import table
from llasa.text.traced import Say, Traced

EN = table("en")
AMOUNT = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"
"""A number with commas and decimals, without its sign."""
FREE = r"(?<![\w.,/:])"
"""Nothing that belongs to the number comes before it."""


class Rule(NamedTuple):
    """`say` in place of every match of `pattern`."""

    pattern: re.Pattern[str]
    say: Say


def rule(pattern: str, say: Say | str) -> Rule:
    r"""A row of a table; `say` may be the words themselves, in which `\1` is the first group."""
    found = re.compile(pattern)
    if isinstance(say, str):
        words = say
        return Rule(found, lambda match: match.expand(words))
    return Rule(found, say)


TIDY: list[Rule] = [rule(r" {2,}", " "), rule(r" (?=[.,;:!?)]+(?:[^\w.,;:!?)]|$))", "")]
"""Spaces that other rules have left; one before `.NET` or `.5` is the writer's."""


def apply(rules: Iterable[Rule], text: Traced) -> Traced:
    """All rules, one after the other."""
    for pattern, say in rules:
        text = text.sub(pattern, say)
    return text


def either(words: Iterable[str]) -> str:
    """A pattern for any of these, the longest first."""
    return "|".join(map(re.escape, sorted(words, key=len, reverse=True)))


def listed(*names: str) -> str:
    """A pattern for any word of these lists."""
    return either(word for name in names for word in EN[name].split())


def closes(match: re.Match[str]) -> str:
    """A full stop where the one inside a match (p.m., U.S., etc.) also ended the text."""
    return "." if match[0].endswith(".") and not match.string[match.end() :].strip() else ""

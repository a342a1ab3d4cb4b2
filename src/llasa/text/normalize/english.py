"""English: everything spelled out that is not written as it is said."""

from __future__ import annotations

from llasa.text.normalize import addresses, amounts, dates, names
from llasa.text.normalize.rules import Rule

RULES: list[Rule] = [
    *addresses.RULES,
    *dates.RULES,
    *names.RULES,
    *amounts.RULES,
    *dates.YEARS,
    *amounts.SIGNS,
    *amounts.NUMBERS,
]
"""The more particular first: an address may hold a date, a date a number."""

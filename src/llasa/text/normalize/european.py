"""German, French and Spanish: cardinals, decimals, dates and money in words."""

from __future__ import annotations

import re
from typing import Any

from llasa.text.normalize.rules import FREE, TIDY, Rule, either, rule
from llasa.text.tables import table

_AMOUNT = r"(?:\d{1,3}(?:[.\u00a0\u202f ]\d{3})+|\d+\.\d{1,2}(?!\d)|\d+)(?:,\d+)?"
_CURRENCIES = {"€": "EUR", "$": "USD", "£": "GBP"}


class Language:
    """How one language says numbers; its words are in `tables/CODE.toml`."""

    def __init__(self, code: str) -> None:
        words = table(code)
        self._code, self._minus, self._and = code, words["minus"], words["and"]
        self._between, self._first_day = words["between"], words.get("first_day")
        self._months: list[str] = words["months"].split()
        self._units: dict[str, str] = words["units"]

    def rules(self) -> list[Rule]:
        """In the order in which they are tried."""
        signs = "".join(_CURRENCIES)
        of = "(?:de )?" if self._code == "es" else ""
        return [
            rule(
                rf"{FREE}(?P<day>\d{{1,2}})[./](?P<month>\d{{1,2}})[./](?P<year>\d{{4}})(?![\w/-])",
                self._date,
            ),
            rule(
                rf"(?i){FREE}(?P<day>\d{{1,2}})(?:\.|er)? {of}(?P<name>{either(self._months)})\b"
                rf"(?: {of}(?P<year>\d{{4}}))?",
                self._date,
            ),
            rule(
                rf"(?P<sign>[{signs}]) ?(?P<amount>{_AMOUNT})"
                rf"|{FREE}(?P<amount2>{_AMOUNT}) ?(?P<sign2>[{signs}])",
                self._money,
            ),
            rule(
                rf"{FREE}(?P<number>[-−–]?{_AMOUNT}) ?(?P<unit>{either(self._units)})(?!\w)",
                lambda m: f"{self._number(m['number'])} {self._units[m['unit']]}",
            ),
            rule(rf"{FREE}(1[1-9]\d\d)(?![\w%]|[.,]\d)", lambda m: self._say(int(m[1]), to="year")),
            rule(rf"{FREE}[-−–]?{_AMOUNT}", lambda m: self._number(m[0])),
            rule(r"\d+", lambda m: f" {self._number(m[0])} "),
            *TIDY,
        ]

    def _say(self, number: float, **options: str) -> str:
        from num2words import num2words

        return str(num2words(number, lang=self._code, **options))

    def _number(self, number: str) -> str:
        bare = number.lstrip("-−–")
        minus = f"{self._minus} " if bare != number else ""
        decimal_point = re.fullmatch(r"\d+\.\d{1,2}", bare)
        whole, point, decimals = (bare if decimal_point else _plain(bare)).partition(".")
        if len(whole) > 15 or (len(whole) > 1 and whole[0] == "0"):
            return minus + self._digits(whole + decimals)
        said = minus + self._say(int(whole))
        comma = self._say(0.5).split()[1] if point else ""
        return f"{said} {comma} {self._digits(decimals)}" if point else said

    def _digits(self, digits: str) -> str:
        return " ".join(self._say(int(digit)) for digit in digits)

    def _money(self, match: re.Match[str]) -> str:
        currency = _CURRENCIES[match["sign"] or match["sign2"]]
        whole, _, part = _plain(match["amount"] or match["amount2"]).partition(".")
        said = self._say(float(f"{whole}.{part or '00'}"), to="currency", currency=currency)
        return said if int(part or 0) else said.split(f" {self._and} ")[0]

    def _date(self, match: re.Match[str]) -> str:
        named: dict[str, Any] = match.groupdict()
        day, name, year = int(match["day"]), named.get("name"), match["year"]
        names = [month.lower() for month in self._months]
        month = names.index(name.lower()) + 1 if name else int(match["month"])
        if not (1 <= month <= 12 and 1 <= day <= 31):
            return match[0]
        parts = [self._day(day, match.string[: match.start()]), self._months[month - 1]]
        return self._between.join([*parts, self._say(int(year), to="year")] if year else parts)

    def _day(self, day: int, before: str) -> str:
        if self._first_day is not None:  # only the first one is an ordinal
            return str(self._first_day) if day == 1 else self._say(day)
        bent = re.search(r"(?i)\b(?:am|vom|zum|dem|den|bis)\s*$", before)
        return self._say(day, to="ordinal") + ("n" if bent else "")


def _plain(number: str) -> str:
    return re.sub(r"[.\u00a0\u202f ]", "", number).replace(",", ".")

"""Everyday language as people type it: the forms of `everyday.yaml` with random fillings.

    python everyday.py [COUNT]

prints some. `texts.py` writes them out in words and puts them among the training texts.
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

LANGUAGE = Path(__file__).with_suffix(".yaml")


class Filler:
    """Draws what stands for a slot."""

    def __init__(self, rng: random.Random, fillings: dict[str, list[str]]) -> None:
        self.rng, self.fillings = rng, fillings
        self._unit = ""

    def __call__(self, slot: str) -> str:
        """What is typed there."""
        if slot in self.fillings:
            return self.rng.choice(self.fillings[slot])
        made: str = getattr(self, slot)()
        return made

    def _int(self, low: int, high: int) -> int:
        return self.rng.randint(low, high)

    def small(self) -> str:
        return str(self._int(1, 20))

    def number(self) -> str:
        return str(self._int(21, 999))

    def big(self) -> str:
        high = self.rng.choice([9_999, 99_999, 999_999, 9_999_999])
        count = self._int(1_000, high)
        if self.rng.random() < 0.5:
            count = count // 1000 * 1000
        return f"{count:,}"

    def digits(self) -> str:
        return "".join(str(self._int(0, 9)) for _ in range(self._int(4, 8)))

    def three(self) -> str:
        return str(self._int(100, 599))

    def four(self) -> str:
        return f"{self._int(0, 9999):04d}"

    def decimal(self) -> str:
        return f"{self._int(0, 30)}.{self._int(1, 9)}"

    def version(self) -> str:
        return ".".join(str(self._int(0, 20)) for _ in range(self._int(2, 3)))

    def share(self) -> str:
        return f"{self._int(1, 100)}%"

    def price(self) -> str:
        return f"${self._int(0, 200)}.{self._int(1, 99):02d}"

    def dollars(self) -> str:
        return f"${self.rng.choice([5, 10, 15, 20, 25, 35, 50, 75, 99, 100, 150, 250, 500, 1200])}"

    def million(self) -> str:
        return f"${self._int(1, 40)}.{self._int(1, 9)} million"

    def billion(self) -> str:
        return f"${self._int(1, 400)} billion"

    def cents(self) -> str:
        return f"{self._int(2, 30)} cents"

    def phone(self) -> str:
        area, first, last = self._int(201, 989), self._int(200, 999), self._int(0, 9999)
        form = self.rng.choice(["{1}-{2:04d}", "({0}) {1}-{2:04d}", "{0}-{1}-{2:04d}"])
        return form.format(area, first, last)

    def time(self) -> str:
        hour = self._int(1, 12)
        minute = self.rng.choice([0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55])
        half = self.rng.choice(["am", "pm", "am", "pm", " a.m.", " p.m.", " AM", " PM", ""])
        if not minute and half and self.rng.random() < 0.6:
            return f"{hour}{half}"
        return f"{hour}:{minute:02d}{half}"

    def hour(self) -> str:
        return f"{self._int(1, 12)} {self.rng.choice(['am', 'pm'])}"

    def minutes(self) -> str:
        return str(self.rng.choice([2, 3, 5, 8, 10, 12, 15, 20, 25, 30, 40, 45, 50, 90]))

    def yards(self) -> str:
        return str(self.rng.choice([50, 100, 150, 200, 300, 400, 500, 600, 800]))

    def oven(self) -> str:
        return f"{self.rng.choice([300, 325, 350, 375, 400, 425, 450])}°F"

    def temperature(self) -> str:
        return f"{self._int(-10, 100)} degrees"

    def year(self) -> str:
        return str(self.rng.choice([self._int(1700, 1999), self._int(1950, 2030)]))

    def decade(self) -> str:
        return f"{self._int(5, 9)}0s" if self.rng.random() < 0.5 else f"19{self._int(2, 9)}0s"

    def date(self) -> str:
        month, day = self("month"), self._int(1, 31)
        return self.rng.choice(
            [f"{month} {day}", f"{month} {day}", f"the {_ordinal(day)} of {month}"]
        )

    def ordinal(self) -> str:
        return _ordinal(self._int(1, 40))

    def flight(self) -> str:
        return f"{self.rng.choice(['UA', 'AA', 'DL', 'BA', 'LH', 'AF'])} {self._int(10, 2999)}"

    def gate(self) -> str:
        return f"{self.rng.choice('ABCDE')}{self._int(1, 60)}"

    def seat(self) -> str:
        return f"{self._int(1, 40)}{self.rng.choice('ABCDEF')}"

    def road(self) -> str:
        return self.rng.choice(
            [f"Highway {self._int(1, 99)}", f"Route {self._int(1, 250)}", f"I-{self._int(5, 95)}"]
        )

    def street(self) -> str:
        kind = self.rng.choice(
            ["Street", "Avenue", "Road", "Lane", "Drive", "Boulevard", "St.", "Ave."]
        )
        return f"{self('street name')} {kind}"

    def address(self) -> str:
        return f"{self._int(1, 4000)} {self.street().rstrip('.')}"

    def room_number(self) -> str:
        return str(self._int(100, 950))

    def units(self) -> str:
        many, self._unit = self("unit pair").split()
        return many

    def unit(self) -> str:
        return self._unit

    def url(self) -> str:
        domain = self("domain")
        end = self.rng.choice(["com", "org", "net", "co.uk", "edu"])
        return self.rng.choice(["", "", "www."]) + f"{domain}.{end}"

    def email(self) -> str:
        name = self("first").lower()
        if self.rng.random() < 0.4:
            name += "." + self("last").lower().replace("'", "")
        return f"{name}@{self('domain')}.com"


def _ordinal(number: int) -> str:
    ends = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{ends.get(number % 10, 'th') if number // 10 != 1 else 'th'}"


def everyday(count: int, seed: int = 0) -> Iterator[str]:
    """So many lines, every form as often as the others."""
    language = yaml.safe_load(LANGUAGE.read_text())
    forms, rng = language["forms"], random.Random(seed)
    fill = Filler(rng, language["fillings"])
    for number in range(count):
        if number % len(forms) == 0:
            rng.shuffle(forms)
        line = re.sub(r"\{(\w+)\}", lambda slot: fill(slot[1]), forms[number % len(forms)])
        yield line[0].upper() + line[1:]


if __name__ == "__main__":
    print("\n".join(everyday(int(sys.argv[1]) if len(sys.argv) > 1 else 20)))

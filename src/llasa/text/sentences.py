"""Where sentences end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from llasa.text.splitting import CLOSERS, LOOKAHEAD, early_cuts
from llasa.text.tables import table

LONGEST_SILENCE = 10.0
"""Longest pause, in seconds, that a text may ask for."""


class FoundSentence(NamedTuple):
    """A sentence in a text: from `start` to `stop`, the next one from `after` on.

    cut: it goes on in the next one, at a pause that was asked for or because it is too long.
    silence: seconds that the text asks for behind it.
    """

    start: int
    stop: int
    after: int
    cut: bool = False
    silence: float = 0.0


def split_sentences(text: str) -> list[str]:
    """The sentences of a paragraph, in order, outer whitespace removed.

    A sentence ends at . ! ? or … with the quotes and brackets that close on it, before whitespace,
    and at the Chinese marks anywhere. Abbreviations, initials, dates and ellipses inside a sentence
    do not end it; a pause mark does, and so does too great a length.
    """
    found = find_sentences(text, 0, len(text), final=True)
    sentences = (text[sentence.start : sentence.stop].strip() for sentence in found)
    return [sentence for sentence in sentences if sentence]


def find_sentences(text: str, start: int, stop: int, final: bool) -> Iterator[FoundSentence]:
    """The sentences between two places of a text, in linear time.

    Unless `final`, more text may come: sentences whose end is not certain yet are left out.
    """
    for match in _BOUNDARY.finditer(text, start, stop):
        if match["mark"]:
            ends = _ends(text, start, stop, match, final)
        else:  # a pause at the end of a paragraph, or quotes that close, may still come
            ends = True if final or _NEXT_WORD.search(text, match.end(), stop) else None
        if ends is None:
            break
        if not ends:
            continue
        for cut in early_cuts(text, start, match.start()):
            yield FoundSentence(start, cut, cut, cut=True)
            start = cut
        if match["pause"]:
            silence = min(_silence(match), LONGEST_SILENCE)
            yield FoundSentence(start, match.start(), match.end(), True, silence)
        else:
            yield FoundSentence(start, match.end(), match.end())
        start = match.end()
    for cut in early_cuts(text, start, stop):
        yield FoundSentence(start, cut, cut, cut=True)
        start = cut
    if final and start < stop:
        yield FoundSentence(start, stop, stop)


def pause_after(part: str) -> float:
    """Seconds of silence after a part of a text, by the mark that ends it."""
    mark = part.rstrip(CLOSERS)[-1:]
    return next((seconds for marks, seconds in _PAUSES if mark in marks), 0.05)


def mostly_wide(text: str) -> bool:
    """Whether most of a text is Chinese, Japanese or Korean."""
    return not text.isascii() and 2 * sum(ord(char) >= _WIDE_FROM for char in text) > len(text)


_WIDE_FROM = 0x2E80
"""First code point of Chinese, Japanese and Korean writing."""


_ABBREVIATIONS = {kind: frozenset(words.split()) for kind, words in table("sentences").items()}
_GERMAN_MONTHS = tuple(table("de")["months"].split())
_PAUSES = (("…", 0.4), (".!?。！？", 0.3), (";:；：—–", 0.2), (",，、", 0.12))
"""Seconds of silence after each mark; almost none after a cut between words."""
_BOUNDARY = re.compile(
    rf"(?<![.!?…])(?P<mark>[.!?…]++)(?P<closers>[{CLOSERS}]*+)(?=\s|$)"
    rf"|(?P<full>[。！？]++[{CLOSERS}]*+)"
    r"|(?P<pause>\[pause(?:[ :]+(?P<amount>\d{1,6}(?:\.\d{1,6})?) ?(?P<unit>ms|s)?)?\]"
    r"|<break\b(?P<how>[^<>]{0,80})>(?:</break>)?)",
    re.I,
)
_TIME = re.compile(
    r"time\s*=\s*[\"']?(?P<amount>\d{1,6}(?:\.\d{1,6})?|\.\d{1,6}) ?(?P<unit>ms|s)", re.I
)
_STRENGTH = re.compile(r"strength\s*=\s*[\"']?([a-z-]+)", re.I)
_USUAL_SILENCE = 0.5
_STRENGTHS = {"none": 0.0, "x-weak": 0.1, "weak": 0.2, "strong": 0.8, "x-strong": 1.2}
_NEXT_WORD = re.compile(r"\S{1,20}")
_LAST_WORD = re.compile(r"[^\s(\[\"“‘'-]*$")
_LISTED = 12
"""A number this close to the start of a sentence may number a list item."""


def _silence(match: re.Match[str]) -> float:
    """Seconds that a mark for a pause asks for."""
    found: re.Match[str] | None = match
    if match["how"] is not None:
        found = _TIME.search(match["how"])
        if found is None and (strength := _STRENGTH.search(match["how"])):
            return _STRENGTHS.get(strength[1].lower(), _USUAL_SILENCE)
    if found is None or found["amount"] is None:
        return _USUAL_SILENCE
    return float(found["amount"]) / (1000 if (found["unit"] or "s").lower() == "ms" else 1)


def _ends(text: str, start: int, stop: int, match: re.Match[str], final: bool) -> bool | None:
    """Whether the sentence from `start` ends at this mark; None if that is not certain yet."""
    following = _NEXT_WORD.search(text, match.end(), stop)
    if following is None:
        return True if final else None
    after = following[0]
    complete = final or following.end() < stop
    if after[0] in "[<" and not (complete or stop - following.start() > LOOKAHEAD):
        return None  # perhaps the mark for a pause
    if match["mark"] != ".":
        # "Stop!" he said; well... maybe.
        goes_on = after[0].islower() and (bool(match["closers"]) or match["mark"] in ("...", "…"))
        return not goes_on
    before = _LAST_WORD.search(text, max(start, match.start() - 40), match.start())
    word = before[0] if before else ""
    name = word.lower()
    if word.isdigit():
        # Numbered lists (1. First) and German dates (3. Mai).
        if not complete:
            return None
        first = match.start() - len(word)
        listed = first - start < _LISTED and not text[start:first].strip()
        return not (listed or after[0].islower() or after.startswith(_GERMAN_MONTHS))
    if len(word) == 1 and word.isupper() and word not in "IA":
        return False  # initials: J. S. Bach
    if name in _ABBREVIATIONS["before_numbers"]:
        return not (after[0].isdigit() or after[0].islower())
    if name in _ABBREVIATIONS["closing"]:
        return after[0].isupper()
    return not (name in _ABBREVIATIONS["always"] or (bool(match["closers"]) and after[0].islower()))

"""Text before it is spoken: checking, sentences, and the chunks of long texts."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from llasa.errors import LlasaError

MAX_CHARS = 20_000
"""Longest text that is spoken in one request."""
CHUNK_CHARS = 100
"""Characters a chunk holds (paper, table 2: over 100 characters two chunks, over 200 three)."""


class CleanText(NamedTuple):
    """Text that can be spoken, and a sentence for each thing that was dropped from it."""

    text: str
    warnings: list[str]


def clean_text(text: str, limit: int | None = MAX_CHARS) -> CleanText:
    """Check a text and drop what cannot be spoken.

    Runs of whitespace become one space; control characters and invisible formatting go without a
    word, emoji and other pictures with a warning. Words are left as they are (Unicode form NFC).
    `limit` is the longest text in characters (None: any).

    Raises `LlasaError` where the text is no string, too long, or has no letter or digit.
    """
    if not isinstance(text, str):
        raise LlasaError(f"Text must be a string, not {type(text).__name__}.")
    if limit is not None and len(text) > limit:
        raise LlasaError(
            f"The text has {len(text):,} characters and at most {limit:,} are spoken in one "
            "go: split it into parts, or give it as a file ('llasa say -f')."
        )
    kept: list[str] = []
    dropped: dict[str, int] = {}
    for char in unicodedata.normalize("NFC", text):
        if char.isspace():
            kept.append(" ")
        elif _is_picture(char):
            dropped[char] = dropped.get(char, 0) + 1
        elif not _is_invisible(char) or (char in _JOINERS and kept and kept[-1] not in " "):
            kept.append(char)
    clean = " ".join("".join(kept).split())
    if not any(char.isalnum() for char in clean):
        what = "is empty" if not text.strip() else "has no letter or digit"
        raise LlasaError(f"The text {what}: give at least one word.")
    if not dropped:
        return CleanText(clean, [])
    total, shown = sum(dropped.values()), " ".join(list(dropped)[:10])
    noun = "character" if total == 1 else "characters"
    return CleanText(clean, [f"Dropped {total} {noun} that cannot be spoken: {shown}"])


def unquoted(text: str) -> str:
    """The text without quotation marks; apostrophes stay, as far as they can be told from them."""
    bare = _SINGLE_QUOTES.sub(r"\1", text)
    bare = " ".join(_OTHER_QUOTES.sub("", _BETWEEN_WORDS.sub(" ", bare)).split())
    return bare or text


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, in order, outer whitespace removed.

    A sentence ends at . ! ? or … with the quotes and brackets that close on it, before whitespace,
    and at the Chinese marks anywhere. Abbreviations, initials, dates and ellipses inside a sentence
    do not end it.
    """
    sentences: list[str] = []
    start = 0
    for match in _SENTENCE_END.finditer(text):
        if match["full"] or not _goes_on(text, start, match):
            sentences.append(text[start : match.end()].strip())
            start = match.end()
    sentences.append(text[start:].strip())
    return [sentence for sentence in sentences if sentence]


def stream_sentences(fragments: Iterable[str]) -> Iterator[str]:
    """The sentences of a text that arrives in fragments, each as soon as the next one begins.

    An empty line ends a sentence, too, and so does a length that nobody waits for.
    """
    waiting = ""
    for fragment in fragments:
        if not isinstance(fragment, str):
            raise LlasaError(f"Text must come in strings, not {type(fragment).__name__}.")
        *paragraphs, waiting = _EMPTY_LINE.split(waiting + fragment)
        for paragraph in paragraphs:
            yield from split_sentences(paragraph)
        sentences = split_sentences(waiting)
        if len(sentences) == 1 and len(waiting) > _PATIENCE:
            sentences = chunk_text(waiting)
        place = 0
        for sentence in sentences[:-1]:
            place = waiting.index(sentence, place) + len(sentence)
            yield sentence
        waiting = waiting[place:]
    yield from split_sentences(waiting)


def pause_after(part: str) -> float:
    """Seconds of silence after a part of a text, by the mark that ends it."""
    mark = part.rstrip(_CLOSERS)[-1:]
    return next((seconds for marks, seconds in _PAUSES if mark in marks), 0.05)


def spans(text: str, parts: Iterable[str]) -> list[tuple[int, int]]:
    """Where parts that `split_text` made lie in their text: first character, one past the last."""
    solid = [place for place, char in enumerate(text) if not char.isspace()]
    found, done = [], 0
    for part in parts:
        first, done = done, done + sum(not char.isspace() for char in part)
        found.append((solid[first], solid[done - 1] + 1))
    return found


def chunk_text(text: str, max_chars: int = CHUNK_CHARS) -> list[str]:
    """Split a long text into ceil(length / max_chars) parts of about equal length.

    Each cut is at the punctuation nearest to where equal parts would end, else at the nearest
    space, else right there (paper, table 2 and section 4.2: chunked synthesis). Parts may be
    somewhat longer than `max_chars`; joined, they give the text but for spaces at the cuts.
    """
    if max_chars < 1:
        raise LlasaError(f"max_chars must be 1 or more, not {max_chars}.")
    text = text.strip()
    parts = -(-len(text) // max_chars)
    if parts <= 1:
        return [text] if text else []
    size = len(text) / parts
    stops = [match.end() for match in _PAUSE.finditer(text)]
    spaces = [match.start() for match in re.finditer(r"\s+", text)]
    cuts = [0]
    for number in range(1, parts):
        target = round(number * size)
        low, high = max(cuts[-1] + 1, target - size / 2), min(len(text) - 1, target + size / 2)
        cut = _nearest(stops, target, low, high) or _nearest(spaces, target, low, high)
        cuts.append(cut or _between_letters(text, max(target, cuts[-1] + 1)))
    cuts.append(len(text))
    chunks = [text[start:stop].strip() for start, stop in pairwise(cuts)]
    return [chunk for chunk in chunks if chunk]


def split_text(text: str, limit: int, enough: int | None = None) -> list[str]:
    """Parts of about `limit` characters: whole sentences where they fit, several if short.

    Sentences of `enough` characters (None: the limit) stand alone.
    Every part has a letter or digit, unless the text has none. Where most of the text is Chinese,
    Japanese or Korean, the limit is a third.
    """
    wide = mostly_wide(text)
    enough = limit if enough is None else enough
    if wide:
        limit, enough = (max(1, count // _WIDE_LETTERS) for count in (limit, enough))
    groups: list[str] = []
    for sentence in split_sentences(text):
        short = bool(groups) and min(len(groups[-1]), len(sentence)) < enough
        if short and len(groups[-1]) + 1 + len(sentence) <= limit:
            groups[-1] += sentence if wide else f" {sentence}"
        else:
            groups.append(sentence)
    parts: list[str] = []
    waiting = ""  # marks before the first word
    for piece in (piece for group in groups for piece in chunk_text(group, limit)):
        if any(char.isalnum() for char in piece):
            parts.append(f"{waiting} {piece}".lstrip())
            waiting = ""
        elif parts:
            parts[-1] += f" {piece}"
        else:
            waiting = f"{waiting} {piece}".strip()
    return parts or ([waiting] if waiting else [])


def mostly_wide(text: str) -> bool:
    """Whether most of a text is Chinese, Japanese or Korean."""
    return 2 * sum(ord(char) >= _WIDE_FROM for char in text) > len(text)


def _nearest(places: list[int], target: int, low: float, high: float) -> int | None:
    """The place (sorted list) nearest to the target within [low, high]."""
    window = places[bisect_left(places, low) : bisect_right(places, high)]
    return min(window, key=lambda place: abs(place - target), default=None)


def _between_letters(text: str, place: int) -> int:
    """The next place that does not part a letter from its combining marks."""
    while place < len(text) and unicodedata.category(text[place]).startswith("M"):
        place += 1
    return min(place, len(text))


_WIDE_FROM = 0x2E80
"""Chinese, Japanese and Korean writing begins here."""
_WIDE_LETTERS = 3
"""Letters that one of its characters is worth, for the time it takes to say."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_JOINERS = "\u200c\u200d"
"""Zero-width (non-)joiners: part of words in Persian and Indic scripts."""

_ABBREVIATIONS = _words(
    """
    mr mrs ms dr prof rev hon st ste mt ft gen col capt lt sgt maj adm gov sen rep pres supt
    jr sr messrs mme mlle inc ltd co corp bros dept est vs etc al cf viz approx ave blvd rd
    e.g i.e a.m p.m u.s u.k d.c ph.d b.c a.d hr hrn fr bzw usw ca z.b d.h sra srta mons
    """
)
_CLOSING_ABBREVIATIONS = _words(
    "etc jr sr inc ltd co corp bros al usw a.m p.m u.s u.k d.c ph.d b.c a.d"
)
"""Those that may also close a sentence: they do before a capital letter."""
_NUMBER_ABBREVIATIONS = _words(
    """
    no nos nr n° fig figs vol vols sec art ch p pp ed eds
    jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thurs fri
    """
)
"""Abbreviations only before a number; otherwise mostly words or the end of a sentence."""
_GERMAN_MONTHS = (
    *("Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August"),
    *("September", "Oktober", "November", "Dezember"),
)

_EMPTY_LINE = re.compile(r"\n\s*\n")
_PATIENCE = 400
"""Characters after which a sentence that does not end is spoken in parts."""
_PAUSES = (("…", 0.4), (".!?。！？", 0.3), (";:；：—–", 0.2), (",，、", 0.12))
"""Seconds of silence after marks; after a cut between words there is hardly any."""
_CLOSERS = "\"'”’»)\\]」』）】"
_SHORTENED = r"(?!\d|(?:em|tis|twas|til|cause|n|bout)\b)"  # what an apostrophe may begin
_SINGLE_QUOTES = re.compile(rf"(?<!\w)['‘]{_SHORTENED}(?=\S)(.*?)(?<=\S)['’](?!\w)", re.I)
_BETWEEN_WORDS = re.compile('(?<=\\w)["“”„«»](?=\\w)')
_OTHER_QUOTES = re.compile(
    rf"""["“”„«»]|(?<=[.,;:!?])['’](?!\w)|(?<!\w)‘|^'{_SHORTENED}(?=\w)""", re.I
)
_SENTENCE_END = re.compile(
    rf"(?P<mark>[.!?…]+)(?P<closers>[{_CLOSERS}]*)(?=\s|$)|(?P<full>[。！？]+[{_CLOSERS}]*)"
)
_PAUSE = re.compile(rf"[.!?…,;:—–]+[{_CLOSERS}]*(?=\s)|[。！？，、；：]+[{_CLOSERS}]*")
_NEXT_WORD = re.compile(r"\S+")
_LAST_WORD = re.compile(r"[^\s(\[\"“‘'-]*$")


def _goes_on(text: str, start: int, match: re.Match[str]) -> bool:
    """Whether the sentence that began at `start` goes on after this mark."""
    following = _NEXT_WORD.search(text, match.end())
    if following is None:
        return False
    after = following[0]
    if match["mark"] != ".":
        # "Stop!" he said; well... maybe.
        return after[0].islower() and (bool(match["closers"]) or match["mark"] in ("...", "…"))
    before = _LAST_WORD.search(text, max(start, match.start() - 40), match.start())
    word = before[0] if before else ""
    name = word.lower()
    if word.isdigit():
        # Numbered lists (1. First) and German dates (3. Mai).
        listed = not text[start : match.start() - len(word)].strip()
        return listed or after[0].islower() or after.startswith(_GERMAN_MONTHS)
    if len(word) == 1 and word.isupper() and word not in "IA":
        return True  # initials: J. S. Bach
    if name in _NUMBER_ABBREVIATIONS:
        return after[0].isdigit() or after[0].islower()
    if name in _CLOSING_ABBREVIATIONS:
        return not after[0].isupper()
    return name in _ABBREVIATIONS or (bool(match["closers"]) and after[0].islower())


def _is_picture(char: str) -> bool:
    """Emoji, dingbats, arrows and private or unassigned characters; not signs such as ° or ㎏."""
    code, category = ord(char), unicodedata.category(char)
    if category == "So":
        return 0x2190 <= code < 0x3000 or code >= 0x1F000
    return category in ("Co", "Cn", "Cs") or 0x1F3FB <= code <= 0x1F3FF


def _is_invisible(char: str) -> bool:
    """Control and format characters, variation selectors and the keycap mark of emoji."""
    code = ord(char)
    return unicodedata.category(char) in ("Cc", "Cf") or 0xFE00 <= code <= 0xFE0F or code == 0x20E3

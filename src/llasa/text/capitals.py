"""Words in capitals for a model that has not seen any: acronyms, words, or emphasis."""

from __future__ import annotations

import re

from llasa.text.tables import table

_EN = table("en")
_LETTERS, _ACRONYMS = _EN["letters"], _EN["acronyms"]
_SPELLED = frozenset(_EN["spelled"].split())
_SPELLED_OR_WORDS = frozenset(_EN["spelled_or_words"].split())
_SHORT = frozenset(_EN["short_words"].split())
_CLUSTERS = re.compile(
    r"GHT|STR|SCR|SPR|SPL|SHR|THR|TCH|NGS|NGTH|NDS|NTS|CKS|RST|NST|NCH|RTH|NTH|SCH"
)
"""Runs of consonants that occur in words."""
_CROWD = re.compile(r"[BCDFGHJKLMNPQRSTVWXZ]{3,}")
_VOWEL = re.compile(r"[AEIOUY]")
_CAPITALS = re.compile(
    r"(?<![^\W_])(?:(?:PhD|[A-Z]+'[A-Z]{1,2}\b|[A-Z]{2,}(?![a-rt-z]))(?:'?s\b)?|(?<!')[A-Z](?![\w']))"
)
_SINGLE = re.compile(r"(?<![\w'’])[b-hj-z](?![\w'’])")
_NAMED = re.compile(r"(?i)\b(?:plan|grade|vitamin|type|class|group|option|section|level|team)\s$")
"""What is told apart by letters."""


def lowered(text: str) -> str:
    """Words in capitals as small letters, as names of letters where they are spelled.

    In a text that is all loud only known acronyms are spelled; elsewhere also short ones that are
    no word, and those that nobody could pronounce. Single letters get their names.
    """
    loud = _is_loud(text)
    text = _CAPITALS.sub(lambda match: _said(match, loud), text)
    return _SINGLE.sub(lambda match: _LETTERS[match[0].upper()], text)


def _is_loud(text: str) -> bool:
    words = re.findall(r"[A-Za-z]{2,}", text)
    loud = [word for word in words if word.isupper() and word not in _SPELLED]
    return len(loud) > 1 and 2 * len(loud) > len([w for w in words if w not in _SPELLED])


def _said(match: re.Match[str], loud: bool) -> str:
    word = match[0]
    plural = "s" if word.endswith("s") else ""
    core = word.rstrip("s").rstrip("'").upper()
    if len(core) == 1:
        return _letter(match, core)
    if core in _ACRONYMS:
        return _ACRONYMS[core] + ("'s" if plural else "")
    if core in _SPELLED and not (loud and core in _SPELLED_OR_WORDS):
        return _spelled(core, plural)
    if loud or "'" in core or core in _SHORT or not _is_letters(core):
        small = core.lower() + ("'s" if plural else "")
        return small.replace("i'", "I'") if small.startswith("i'") else small
    return _spelled(core, plural)


def _letter(match: re.Match[str], letter: str) -> str:
    """The name of a single letter; not of the words A and I."""
    before, after = match.string[: match.start()], match.string[match.end() :]
    if letter == "I":
        return match[0]
    article = not before.strip() or (re.match(r"\s+\w", after) and not _NAMED.search(before))
    if letter == "A" and article:
        return match[0]
    return _LETTERS[letter]


def _is_letters(word: str) -> bool:
    """Whether a word in capitals that is in no list is spelled out."""
    if len(word) <= 3 or not _VOWEL.search(word):
        return True
    return len(word) <= 5 and _CROWD.search(_CLUSTERS.sub("", word)) is not None


def _spelled(word: str, plural: str) -> str:
    names = " ".join(_LETTERS[letter] for letter in word)
    return names if not plural else names + ("es" if names.endswith("s") else "s")

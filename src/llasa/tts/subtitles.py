"""Subtitles: words in cues that can be read while they are heard, as SRT and WebVTT."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from llasa.base.files import write_atomic, write_json
from llasa.text.sentences import mostly_wide
from llasa.tts.timing import Timings, Word

LINE, LINES = 42, 2
"""Characters of a line and lines of a cue, at most; a word that is longer has a line of its own."""
LONGEST, SHORTEST = 7.0, 1.0
"""Seconds that a cue is shown: at most while it is spoken, and at least if no other follows."""
GAP = 1.5
"""Seconds of silence that end a cue."""
_ENDS, _PAUSES = ".!?…。！？", ",;:—–，、；："
_QUOTES = "\"'”’»›)]}」』）】"
_JOINTS = ("", "—", "–", "--", "/", "…")
"""What is shown between words."""
_OPENING, _CLOSING = "\"'“‘«‹([{「『（【¿¡$€£", "\"'”’»›)]}」』）】%,;:.!?…，、；：。！？"


@dataclass(frozen=True)
class Cue:
    """What is shown from `start` to `end`, in seconds: `text`, in one line or more."""

    start: float
    end: float
    text: str


def cues(text: str, words: Sequence[Word], line: int = LINE) -> list[Cue]:
    """The words of a text as cues, in the spelling and with the marks of the text.

    A sentence has its own cues. One that does not fit into `LINES` lines of `line` characters, or
    into `LONGEST` seconds, is cut at its last mark, else between words, and so is silence.
    """
    shown = _shown(text, words)
    found: list[Cue] = []
    for first, stop in _groups(shown, words, line):
        said = "".join(shown[first:stop]).strip()
        found.append(Cue(words[first].start, words[stop - 1].end, _wrapped(said, line)))
    for number, cue in enumerate(found):
        free = found[number + 1].start if number + 1 < len(found) else float("inf")
        end = max(cue.end, min(cue.start + SHORTEST, free))
        found[number] = Cue(cue.start, end, cue.text)
    return found


def to_srt(found: Sequence[Cue]) -> str:
    """SubRip."""
    blocks = (
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{cue.text}\n"
        for number, cue in enumerate(found, 1)
    )
    return "\n".join(blocks)


def to_vtt(found: Sequence[Cue]) -> str:
    """WebVTT (W3C)."""
    blocks = (
        f"\n{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n"
        f"{html.escape(cue.text, quote=False)}\n"
        for cue in found
    )
    return "WEBVTT\n" + "".join(blocks)


def write_timings(
    text: str,
    timings: Timings,
    srt: str | Path | None = None,
    vtt: str | Path | None = None,
    json: str | Path | None = None,
) -> None:
    """Write the files that are named, each in one step; `LlasaError` where one cannot be."""
    found = cues(text, timings.words) if srt or vtt else []
    if srt:
        write_atomic(Path(srt), to_srt(found).encode())
    if vtt:
        write_atomic(Path(vtt), to_vtt(found).encode())
    if json:
        write_json(Path(json), {"text": text, **timings.to_dict()})


def _shown(text: str, words: Sequence[Word]) -> list[str]:
    """Each word with the marks that touch it, behind what stands between it and the last one."""
    shown = []
    before = 0
    for number, word in enumerate(words):
        start, stop = word.span
        limit = words[number + 1].span[0] if number + 1 < len(words) else len(text)
        while start > before and text[start - 1] in _OPENING:
            start -= 1
        while stop < limit and text[stop] in _CLOSING:
            stop += 1
        shown.append((_between(text[before:start]) if number else "") + text[start:stop])
        before = stop
    return shown


def _between(gap: str) -> str:
    """What is shown of what lies between two words: a space, and a dash where there is one."""
    mark = gap.strip()
    if mark not in _JOINTS:
        return " "
    if not mark:
        return gap[:1] and " "
    return f"{gap[0].isspace() * ' '}{mark}{gap[-1].isspace() * ' '}"


def _groups(shown: Sequence[str], words: Sequence[Word], line: int) -> Iterator[tuple[int, int]]:
    """First word of each cue, and one past its last."""
    first = 0
    for number in range(1, len(words) + 1):
        if number == len(words) or _is_over(shown, words, number):
            yield first, number
            first = number
            continue
        while not _fits(shown, words, first, number + 1, line):
            cut = _cut(shown, first, number)
            yield first, cut
            first = cut


def _is_over(shown: Sequence[str], words: Sequence[Word], number: int) -> bool:
    """Whether a sentence, or silence, ends before a word."""
    ended = shown[number - 1].rstrip(_QUOTES)[-1:]
    apart = words[number].start - words[number - 1].end > GAP
    # "Dr." is a word with its mark; that of a sentence stands behind its last word.
    inside = words[number - 1].text[-1:] in _ENDS
    return apart or (ended in _ENDS and bool(ended) and not inside)


def _fits(shown: Sequence[str], words: Sequence[Word], first: int, stop: int, line: int) -> bool:
    """Whether words are few and short enough for a cue; a single one always is."""
    if stop - first < 2:
        return True
    said = "".join(shown[first:stop]).strip()
    lines = _wrapped(said, line).count("\n") + 1
    return lines <= LINES and words[stop - 1].end - words[first].start <= LONGEST


def _cut(shown: Sequence[str], first: int, stop: int) -> int:
    """Where to cut words that do not fit with the next one: behind the last mark, if there is one
    in their second half."""
    for place in range(stop, (first + stop) // 2, -1):
        if shown[place - 1][-1:] in _PAUSES:
            return place
    return stop


def _wrapped(said: str, line: int) -> str:
    """In lines of about equal length."""
    if len(said) <= line:
        return said
    spaces = [place for place, char in enumerate(said) if char == " "]
    middle = len(said) / 2
    near = min(spaces, key=lambda place: abs(place - middle), default=round(middle))
    if not spaces and not mostly_wide(said):
        return said
    return f"{_wrapped(said[:near], line)}\n{_wrapped(said[near:].lstrip(), line)}"


def _clock(seconds: float, mark: str) -> str:
    """Hours, minutes, seconds and milliseconds."""
    whole = round(seconds * 1000)
    minutes, rest = divmod(whole, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{mark}{rest % 1000:03d}"

"""Texts said several times, with what a verifier made of every take."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from llasa.base.errors import LlasaError
from llasa.base.progress import progress
from llasa.base.rows import Rows
from llasa.models.voices import VoiceLike
from llasa.search.plan import plan
from llasa.tts.llasa import Llasa
from llasa.tts.speech import Speech
from llasa.verifiers import Candidate

WORDS = (3, 25)
"""Words of a text: a single one says little about reading, long ones take long."""


class Winner(NamedTuple):
    """The best take of a text: what the model was given to say, its codes, score and phones."""

    said: str
    codes: list[int]
    score: float
    phones: Sequence[tuple[str, float]] = ()


def choose(lines: Sequence[str], count: int, words: tuple[int, int] = WORDS) -> list[str]:
    """So many different texts in a random order, always the same."""
    least, most = words
    kept = {line.strip(): None for line in lines if least <= len(line.split()) <= most}
    texts = list(kept)
    random.Random(0).shuffle(texts)
    return texts[:count]


def speak_takes(
    tts: Llasa,
    texts: Sequence[str],
    path: Path,
    takes: int,
    verify: str,
    *,
    voice: VoiceLike = None,
    seeds: Sequence[int] | None = None,
    **sampling: Any,
) -> Rows:
    """Say every text so many times; a row a text, by the text, with the takes from best to worst.

    Rows are `{"text", "said", "takes": [{"codes", "score"}]}`, with `phones` where the model names
    them (symbols, each with the codes after which it ends); a take that did not end by itself is
    left out, one that nobody could judge has the score null, and a text that cannot be said has a
    `problem`. Those that are in the file already are not said again.
    """
    rows = Rows(path, lambda row: row["text"])
    search = plan("best-of", takes, verify=verify)
    numbers = range(len(texts)) if seeds is None else seeds
    left = [pair for pair in zip(texts, numbers, strict=True) if pair[0] not in rows]
    done = len(texts) - len(left)
    for text, seed in progress(left, "takes", len(texts), unit="text", initial=done):
        try:
            said = takes_of(tts(text, voice=voice, seed=seed, search=search, **sampling), tts)
        except LlasaError as error:
            said = {"said": "", "takes": [], "problem": str(error)}
        rows.add({"text": text, **said})
    return rows


def takes_of(speech: Speech, tts: Llasa) -> dict[str, Any]:
    """What the model was given to say, and the takes that came to an end, the best first.

    None where the text was said in several parts.
    """
    if len(speech.search) != 1:
        return {"said": "", "takes": []}
    (part,) = speech.search
    (verifier,) = part.families
    named = bool(tts.vocabulary.phones)
    takes = [
        {
            "codes": take.codes.tolist(),
            "score": take.to_dict()["scores"][verifier],
            **({"phones": phones_of(take)} if named else {}),
        }
        for take in part.candidates
        if take.finish == "stop"
    ]
    return {"said": tts.settings.form(part.text), "takes": takes}


def phones_of(take: Candidate) -> list[tuple[str, int]]:
    """The phones of a take, each with the codes after which it ends, as training rows have them."""
    ends = [*(before for _, before in take.phones[1:]), len(take.codes)]
    return [(symbol, end) for (symbol, _), end in zip(take.phones, ends, strict=False)]


def winners(rows: Rows, texts: Sequence[str], good: float) -> Iterator[Winner]:
    """The best take of each text that has one which is good enough."""
    for text in texts:
        row = rows[text]
        scored = [take for take in row["takes"] if take["score"] is not None]
        if scored and (best := max(scored, key=lambda take: take["score"]))["score"] >= good:
            phones = [(symbol, end) for symbol, end in best.get("phones", ())]
            yield Winner(row["said"], best["codes"], best["score"], phones)

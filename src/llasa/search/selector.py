"""The verifiers of one search, how their scores are combined, and when a take is good enough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np

from llasa.audio.audio import Audio, read_audio
from llasa.base.errors import LlasaError
from llasa.search.ensemble import Ensemble, Rule, Table, check_each
from llasa.search.result import Take
from llasa.verifiers.base import Candidate, Verdict, verify
from llasa.verifiers.registry import VerifierSpec, find_verifiers

LAZY_BATCH = 4
"""Candidates that the last verifier looks at together when it is lazy."""
HOPELESS = "it could not win any more"
UNHEARD = "it was not heard: others looked better without sound"
EMPTY = "it says nothing"
SCREEN = "length,repetition,likelihood"
"""Verifiers that need no sound; their sum says which takes are heard."""


class Judging(TypedDict, total=False):
    """Arguments of `Selector`, which every strategy takes."""

    verify: VerifierSpec
    combine: Rule
    weights: Sequence[float] | None
    threshold: float | Sequence[float] | None
    language: str
    reference: Audio | str | Path | None
    lazy: bool
    screen: int | None


class Selector:
    """Judges takes and puts them in order.

    Args:
        verify: verifiers in a list, or names as in `content,speaker`; "" for none.
        combine: `sum`, `rank` or `worst` (see `Ensemble`), with `weights`, one a verifier.
        threshold: scores, one a verifier, that are good enough. A take that reaches all of them
            wins over those that do not, and the search stops there.
        language: of the speech, for verifiers that listen to words.
        reference: a recording in place of the voice's, which verifiers compare with.
        lazy: the last verifier looks only at takes that could still win. It saves time and changes
            no winner, but the others stay unscored. Only with `sum`, without a threshold, and
            where the last verifier's scores have an upper bound (its `best`), such as content.
        screen: of the whole takes only so many are decoded and judged: those of plausible length
            without loops that are likeliest under the model. The others stay unscored and silent.

    Raises `LlasaError` for verifiers that are unknown or numbers that do not fit them.
    """

    def __init__(
        self,
        verify: VerifierSpec = "content",
        combine: Rule = "sum",
        weights: Sequence[float] | None = None,
        threshold: float | Sequence[float] | None = None,
        language: str = "en",
        reference: Audio | str | Path | None = None,
        lazy: bool = False,
        screen: int | None = None,
    ) -> None:
        self.verifiers = find_verifiers(verify, language)
        self.names = [verifier.name for verifier in self.verifiers]
        self.ensemble = Ensemble(combine, weights)
        self.threshold = [threshold] if isinstance(threshold, int | float) else threshold
        check_each(weights, "weights", self.names)
        check_each(self.threshold, "thresholds", self.names)
        if isinstance(reference, str | Path):
            reference = read_audio(reference).mono()
        self.reference = reference
        if screen is not None and (screen < 1 or threshold is not None):
            raise LlasaError(
                f"screen is {screen}: give at least 1 take to be heard, and no threshold beside it."
            )
        self.screen = screen
        self.lazy = lazy
        self.bound = float(getattr(self.verifiers[-1], "best", np.inf)) if self.names else np.inf
        if lazy and (combine != "sum" or threshold is not None or not np.isfinite(self.bound)):
            raise LlasaError(
                "Lazy judging needs the sum of scores, no threshold, and a last verifier with a "
                "best possible score, such as content: change that, or judge all."
            )

    def needs(self, field: str) -> bool:
        """Whether a verifier asks for this field of a candidate."""
        return any(field in verifier.needs for verifier in self.verifiers)

    def check_reference(self, problem: str) -> None:
        """`LlasaError` where a verifier wants a recording and nothing but `reference` gives one."""
        for verifier in self.verifiers if self.reference is None else ():
            if "prompt" in verifier.needs:
                raise LlasaError(
                    f"The verifier {verifier.name} compares with a recording, but {problem}, or "
                    "give a reference (--reference FILE)."
                )

    def load(self) -> list[Verdict]:
        """Open the models; `LlasaError` where one is missing. The verdicts tell the time."""
        return [verify(verifier, []) for verifier in self.verifiers]

    def judge(
        self, takes: Sequence[Take], candidates: Sequence[Candidate], places: int = 1
    ) -> Iterator[Verdict]:
        """Fill in the scores that takes do not have yet; yields what each verifier said.

        places: how many of the best are wanted; a lazy jury may leave the others unscored.
        """
        for take in takes:
            if not len(take.codes):
                _leave(take, self.names, EMPTY)
        for number, verifier in enumerate(self.verifiers):
            new = [i for i, take in enumerate(takes) if verifier.name not in take.scores]
            last = number == len(self.verifiers) - 1
            for some in self._batches(takes, new, places) if self.lazy and last else [new]:
                if some:
                    verdict = verify(verifier, [candidates[i] for i in some])
                    said = (verdict.scores.tolist(), verdict.reasons, verdict.heard)
                    for i, score, reason, words in zip(some, *said, strict=True):
                        _note(takes[i], verifier.name, score, reason)
                        if words is not None:
                            takes[i].heard[verifier.name] = words
                    yield verdict

    def order(self, takes: Sequence[Take]) -> list[int]:
        """Indices from the best take to the worst; notes the totals.

        What says nothing comes last, also where nothing has a score.
        """
        scores = self._table(takes)
        for take, total in zip(takes, self.ensemble.totals(scores).tolist(), strict=True):
            take.total = total
        ranks = [(not len(take.codes), not self.passes(take)) for take in takes]
        return sorted(self.ensemble.order(scores), key=ranks.__getitem__)

    def passes(self, take: Take) -> bool:
        """Whether a take has ended and reaches every threshold; never where there is none."""
        if self.threshold is None or take.finish is None:
            return False
        scores = [take.scores.get(name, np.nan) for name in self.names]
        return all(s >= least for s, least in zip(scores, self.threshold, strict=True))

    def _table(self, takes: Sequence[Take]) -> Table:
        rows = [[take.scores.get(name, np.nan) for name in self.names] for take in takes]
        return np.array(rows, np.float64).reshape(len(takes), len(self.names))

    def _batches(
        self, takes: Sequence[Take], new: Sequence[int], places: int
    ) -> Iterator[list[int]]:
        """The most promising takes first, a few at a time, until no other could win a place."""
        scores = self._table(takes)
        scores[:, -1] = np.where(np.isnan(scores[:, -1]), self.bound, scores[:, -1])
        waiting = [i for i in self.ensemble.order(scores) if i in new]
        most = self.ensemble.totals(scores)
        while waiting:
            yield waiting[:LAZY_BATCH]
            del waiting[:LAZY_BATCH]
            table = self._table(takes)
            done = np.sort(self.ensemble.totals(table)[~np.isnan(table).any(axis=1)])
            if len(done) >= places and all(most[i] < done[-places] for i in waiting):
                break
        for i in waiting:
            _note(takes[i], self.names[-1], np.nan, HOPELESS)


def screen(candidates: Sequence[Candidate], takes: Sequence[Take], jury: Selector) -> None:
    """Note in takes that they shall not be heard: all but the most promising without sound."""
    verifiers = find_verifiers(SCREEN)
    scores = np.stack([verify(verifier, candidates).scores for verifier in verifiers], axis=1)
    for place in Ensemble("sum").order(scores)[jury.screen :]:
        _leave(takes[place], jury.names, UNHEARD)


def _leave(take: Take, names: Sequence[str], reason: str) -> None:
    for name in names:
        _note(take, name, np.nan, reason)


def _note(take: Take, name: str, score: float, reason: str | None) -> None:
    take.scores[name] = score
    if reason is not None:
        take.reasons[name] = reason

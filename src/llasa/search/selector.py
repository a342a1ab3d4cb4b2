"""The verifiers of one search, how their scores are combined, and when one is good enough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np

from llasa.audio.audio import Audio, read_audio
from llasa.base.errors import LlasaError
from llasa.lm.engine import LOOP
from llasa.search.ensemble import CombinationRule, Ensemble, ScoreTable, check_each
from llasa.verifiers.base import Candidate, Verdict, verify
from llasa.verifiers.registry import VerifierSpec, find_verifiers
from llasa.verifiers.tokens import Repetition

LAZY_BATCH = 4
"""Candidates that a lazy last verifier scores at a time."""
HOPELESS = "it could not win any more"
STUCK = "hopeless: it does not end, or only repeats itself"
UNHEARD = "screened out: not decoded"
EMPTY = "it says nothing"
SCREEN = "length,repetition,likelihood"
"""Verifiers that need no sound; with `screen` their sum decides which candidates are heard."""


class SelectorOptions(TypedDict, total=False):
    """Arguments of `Selector`, which every strategy takes."""

    verify: VerifierSpec
    combine: CombinationRule
    weights: Sequence[float] | None
    threshold: float | Sequence[float] | None
    language: str
    reference: Audio | str | Path | None
    lazy: bool
    screen: int | None


class Selector:
    """Judges candidates and puts them in order.

    Args:
        verify: verifiers in a list, or names as in `content,speaker`; "" for none.
        combine: `sum`, `rank` or `worst` (see `Ensemble`), with `weights`, one a verifier.
        threshold: scores, one a verifier, that are good enough. A candidate that reaches all
            of them wins over those that do not, and the search stops there.
        language: of the speech, for verifiers that listen to words.
        reference: a recording in place of the voice's, which verifiers compare with.
        lazy: the last verifier looks only at candidates that could still win. It saves time and
            changes no winner, but the others stay unscored. Only with `sum`, without a threshold,
            and where the last verifier's scores have an upper bound (its `best`), such as content.
        screen: of the whole candidates only so many are decoded and judged: those of plausible
            length without loops that are likeliest under the model. The others stay unscored and
            silent.

    Raises `LlasaError` for verifiers that are unknown or numbers that do not fit them.
    """

    def __init__(
        self,
        verify: VerifierSpec = "content",
        combine: CombinationRule = "sum",
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
                f"screen is {screen}: give at least 1 candidate to be heard, and no threshold."
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
        """Whether a verifier needs this field of a candidate."""
        return any(field in verifier.needs for verifier in self.verifiers)

    def check_reference(self, problem: str) -> None:
        """`LlasaError` if a verifier needs a recording and only `reference` could give one."""
        for verifier in self.verifiers if self.reference is None else ():
            if "prompt" in verifier.needs:
                raise LlasaError(
                    f"The verifier {verifier.name} compares with a recording, but {problem}, or "
                    "give a reference (--reference FILE)."
                )

    def load(self) -> list[Verdict]:
        """Load the models; `LlasaError` if one is missing. The verdicts hold the loading times."""
        return [verify(verifier, []) for verifier in self.verifiers]

    def judge(self, candidates: Sequence[Candidate], wanted: int = 1) -> Iterator[Verdict]:
        """Fill in the scores that candidates do not have yet; yields what each verifier said.

        wanted: how many of the best are of interest; a lazy selector may leave the others unscored.
        """
        for candidate in candidates:
            if not len(candidate.codes):
                self._leave(candidate, EMPTY)
        for name, verifier in zip(self.names, self.verifiers, strict=True):
            new = [i for i, candidate in enumerate(candidates) if name not in candidate.scores]
            last = verifier is self.verifiers[-1]
            batches = self._batches(candidates, new, wanted) if self.lazy and last else [new]
            for batch in filter(None, batches):
                verdict = verify(verifier, [candidates[i] for i in batch])
                said = (verdict.scores.tolist(), verdict.reasons, verdict.heard)
                for i, score, reason, words in zip(batch, *said, strict=True):
                    _note(candidates[i], name, score, reason)
                    if words is not None:
                        candidates[i].heard[name] = words
                yield verdict

    def order(self, candidates: Sequence[Candidate]) -> list[int]:
        """Indices from the best candidate to the worst; also sets their totals. Silent candidates
        come last, even if none has a score.
        """
        scores = self._table(candidates)
        totals = self.ensemble.totals(scores).tolist()
        for candidate, total in zip(candidates, totals, strict=True):
            candidate.total = total
        ranks = [(not len(one.codes), not self.passes(one)) for one in candidates]
        return sorted(self.ensemble.order(scores), key=ranks.__getitem__)

    def passes(self, candidate: Candidate) -> bool:
        """Whether a candidate has ended and reaches every threshold; False without thresholds."""
        if self.threshold is None or candidate.finish is None:
            return False
        scores = [candidate.scores.get(name, np.nan) for name in self.names]
        return all(s >= least for s, least in zip(scores, self.threshold, strict=True))

    def leave_hopeless(self, candidates: Sequence[Candidate], failed: Sequence[bool]) -> None:
        """Mark what can be seen to be hopeless without hearing it, unless all candidates are.

        That is what `failed` to end, or mostly repeats itself.
        """
        loops = verify(Repetition(), candidates).scores < -LOOP
        bad = loops | np.array(failed, bool)
        # Of empty ones `judge` says so.
        bad &= np.array([len(one.codes) > 0 for one in candidates], bool)
        for index in np.flatnonzero(bad).tolist() if not bad.all() else []:
            self._leave(candidates[index], STUCK)

    def leave_out(self, candidates: Sequence[Candidate]) -> None:
        """Mark all but the `screen` most promising candidates as not heard."""
        verifiers = find_verifiers(SCREEN)
        scores = np.stack([verify(verifier, candidates).scores for verifier in verifiers], axis=1)
        for index in Ensemble("sum").order(scores)[self.screen :]:
            self._leave(candidates[index], UNHEARD)

    def _table(self, candidates: Sequence[Candidate]) -> ScoreTable:
        rows = [[one.scores.get(name, np.nan) for name in self.names] for one in candidates]
        return np.array(rows, np.float64).reshape(len(candidates), len(self.names))

    def _batches(
        self, candidates: Sequence[Candidate], new: Sequence[int], wanted: int
    ) -> Iterator[list[int]]:
        """The most promising first, a few at a time, until no other can be among the best."""
        scores = self._table(candidates)
        scores[:, -1] = np.where(np.isnan(scores[:, -1]), self.bound, scores[:, -1])
        waiting = [i for i in self.ensemble.order(scores) if i in new]
        most = self.ensemble.totals(scores)
        while waiting:
            yield waiting[:LAZY_BATCH]
            del waiting[:LAZY_BATCH]
            table = self._table(candidates)
            done = np.sort(self.ensemble.totals(table)[~np.isnan(table).any(axis=1)])
            if len(done) >= wanted and all(most[i] < done[-wanted] for i in waiting):
                break
        for i in waiting:
            _note(candidates[i], self.names[-1], np.nan, HOPELESS)

    def _leave(self, candidate: Candidate, reason: str) -> None:
        for name in self.names:
            _note(candidate, name, np.nan, reason)


def _note(candidate: Candidate, name: str, score: float, reason: str | None) -> None:
    candidate.scores[name] = score
    if reason is not None:
        candidate.reasons[name] = reason

"""Checked speech: a recogniser hears each sentence, and wrong ones are spoken again.

This is best-of-n with an early end, for many sentences side by side: the first take in which a
recogniser hears every word ends the search of its sentence.

    tts(text, check=True)  # the same as search=Checked()
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from llasa.base.errors import LlasaError
from llasa.base.names import check_whole
from llasa.lm.sampling import SamplingParams
from llasa.search.plan import plan
from llasa.search.result import Check, SearchResult
from llasa.search.selector import Selector
from llasa.search.session import Session, Task, one_candidate_each
from llasa.search.strategies import Strategy
from llasa.verifiers.base import Candidate, Verifier
from llasa.verifiers.content import Fault, open_content

TRIES = 8
STUBBORN = 2
"""After so many takes with the same wrong word in the same place, more are useless: the model
always says it so, or the recogniser spells it so, as it may with names."""
PATIENCE = 2
"""After so many tries in a row without improvement, more are hardly worth their time."""
_STEP = 1 << 20
"""Step between the seeds of two tries, more than a text has parts."""


class Checked:
    """A strategy: speaks until every word is heard, at most `tries` times, and keeps the best.

    It also stops if all errors of the best take were heard in `STUBBORN` takes, if the last
    `PATIENCE` tries brought no improvement, or if a take reaches the longest length wanted; then
    only its words up to there count. Unlike other strategies it takes many tasks at once (`many`),
    so that they run as fast as without a search.

    Args:
        tries: at most.
        verify: a verifier that listens to words, such as content, whisper, or one of Content's.
        language: of the speech, as for other strategies.

    Raises `LlasaError` for a verifier that does not listen to words.
    """

    def __init__(
        self, tries: int = TRIES, verify: str | Verifier = "content", language: str = "en"
    ) -> None:
        check_whole(tries=tries)
        self.tries = tries
        self._content = open_content(verify, language)
        self._selector = Selector(
            [self._content, "length"]
        )  # the latter prefers what ends by itself

    @property
    def identity(self) -> str:
        """Settings that decide which take is kept."""
        return f"{self.tries} tries by {self._content.name}"

    def load(self) -> None:
        """Open the recogniser; `LlasaError` where it is not installed."""
        self._selector.load()

    def __call__(self, task: Task) -> SearchResult:
        """Check one sentence."""
        return self.many([task])[0]

    def many(self, tasks: Sequence[Task]) -> list[SearchResult]:
        """Check sentences side by side; one result each, with its `check`."""
        with ExitStack() as stack:
            runs = [stack.enter_context(Session(task, self._selector)) for task in tasks]
            takes: list[list[Candidate]] = [[] for _ in tasks]
            open_ = list(range(len(tasks)))
            for number in range(self.tries):
                rules = [another_try(tasks[i].params, number) for i in open_]
                new = one_candidate_each([runs[i] for i in open_], rules, self._selector)
                for i, take in zip(open_, new, strict=True):
                    takes[i].append(take)
                open_ = [i for i in open_ if self._hopeful(tasks[i], takes[i])]
                if not open_:
                    break
            return [self._result(*found) for found in zip(runs, takes, strict=True)]

    def _result(self, session: Session, takes: Sequence[Candidate]) -> SearchResult:
        result = session.result(takes, self._selector)
        best, name = result.best, self._content.name
        faults = self._faults(session.task, best)
        check = Check(
            text=session.task.written,
            ok=faults == [] and not session.task.failed(len(best.codes), best.finish),
            tries=len(takes),
            heard=best.heard.get(name, ""),
            missing=tuple(fault.wanted for fault in faults or () if fault.wanted),
            reason=best.reasons.get(name),
        )
        return replace(result, check=check)

    def _hopeful(self, task: Task, takes: Sequence[Candidate]) -> bool:
        """Whether another try may beat the best of these takes."""
        if task.cut(len(takes[-1].codes), takes[-1].finish):
            return False
        found = [self._faults(task, take) for take in takes]
        if found[-1] is None or task.failed(len(takes[-1].codes), takes[-1].finish):
            return True
        seen = Counter(fault for faults in found for fault in set(faults or ()))
        best = self._selector.order(takes)[0]
        improving = len(takes) - 1 - best < PATIENCE
        return improving and any(seen[fault] < STUBBORN for fault in found[best] or ())

    def _faults(self, task: Task, take: Candidate) -> list[Fault] | None:
        """What is wrong with a take, None where it was not heard."""
        if not self._content.units(task.text):
            return []  # there is nothing to listen for
        heard, cut = take.heard.get(self._content.name), task.cut(len(take.codes), take.finish)
        return None if heard is None else self._content.faults(task.text, heard, cut)


def chosen_strategy(
    language: str,
    search: Strategy | None = None,
    best_of: int | None = None,
    check: bool = False,
    tries: int | None = None,
) -> Strategy | None:
    """The strategy that was asked for: a search, the best of several, or with `check` a `Checked`.

    `LlasaError` for settings that do not go together, or where no recogniser is installed.
    """
    if tries is not None and not check:
        raise LlasaError("tries belongs to check=True; a search has an n of its own.")
    if (search is not None) + (best_of is not None) + bool(check) > 1:
        raise LlasaError("Give one of search, best_of and check=True.")
    if best_of is not None:
        Selector(language=language).load()
        return plan("best-of", best_of, language=language)
    if not check:
        return search
    checked = Checked(TRIES if tries is None else tries, language=language)
    checked.load()
    return checked


def another_try(rule: SamplingParams, number: int) -> SamplingParams:
    """The rule of a try of the same part, counted from 0; each has its own seed."""
    return replace(rule, seed=rule.seed + number * _STEP)

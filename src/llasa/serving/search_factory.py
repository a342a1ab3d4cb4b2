"""From a request to a search: how many candidates, how they are searched, and who judges them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from llasa.base.errors import LlasaError
from llasa.base.names import shorten
from llasa.search.plan import plan
from llasa.search.result import SearchResult
from llasa.search.selector import Selector
from llasa.search.session import Task
from llasa.search.strategies import Strategy, sample
from llasa.serving.metrics import Metrics
from llasa.serving.schemas import SpeechSettings
from llasa.text.languages import language_code
from llasa.tts.check import TRIES, Checked
from llasa.verifiers.registry import (
    ALIASES,
    find_verifier,
    missing_packages,
    verifier_names,
)


def available_verifiers() -> dict[str, str]:
    """The verifiers that are installed and need no argument, each with what it is.

    Requests may name only these, because an argument could be a file or an address. Of two names
    for one verifier only the short one is listed, so that its model is opened once.
    """
    found, names = {}, verifier_names()
    for name in sorted(set(names) - set(ALIASES.values())):
        if not missing_packages(name):
            with suppress(LlasaError):
                find_verifier(name)
                found[name] = names[ALIASES.get(name, name)]
    return found


class SearchFactory:
    """Turns what requests ask for into strategies.

    Args:
        most: candidates of a request.
        verifiers: those that may be named, see `available_verifiers`.
        language: that is listened for where a request names none.
    """

    def __init__(
        self, most: int, verifiers: Mapping[str, str], metrics: Metrics, language: str = "en"
    ) -> None:
        self._most = most
        self._verifiers = verifiers
        self._metrics = metrics
        self._language = language

    def strategy(self, wanted: SpeechSettings, shown: bool) -> Strategy | None:
        """How to search; None for speech without candidates, unless they are to be `shown`."""
        n, names = wanted.best_of, wanted.verifiers
        if wanted.check or wanted.tries is not None:
            return self._check(wanted)
        if n == 1 and names is None and wanted.strategy is None:
            return sample if shown else None
        if n > self._most:
            raise LlasaError(f"best_of is {n}: at most {self._most} candidates are spoken.")
        for name in names or ():
            if name not in self._verifiers:
                known = ", ".join(sorted(self._verifiers))
                raise LlasaError(f"Verifier {shorten(name)!r} is not served: valid are {known}.")
        judging = ["content"] if names is None else names
        language = self._spoken(wanted)
        Selector(judging, language=language)
        search = plan(wanted.strategy or "best-of", n, verify=judging, language=language)

        def counted(task: Task) -> SearchResult:
            result = search(task)
            self._count(result)
            return result

        return counted

    def _check(self, wanted: SpeechSettings) -> Strategy:
        if not wanted.check:
            raise LlasaError("tries belongs to check: give it, too, or best_of in its place.")
        if wanted.best_of > 1 or wanted.verifiers is not None or wanted.strategy is not None:
            raise LlasaError("Give either check, or best_of, verifiers and strategy, not both.")
        tries = min(TRIES, self._most) if wanted.tries is None else wanted.tries
        if tries > self._most:
            raise LlasaError(f"tries is {tries}: a sentence is spoken at most {self._most} times.")
        checked = _CountedCheck(self._count, tries, self._spoken(wanted))
        checked.load()
        return checked

    def _spoken(self, wanted: SpeechSettings) -> str:
        return language_code(wanted.language) or self._language

    def _count(self, result: SearchResult) -> None:
        for name, cost in result.compute.verifiers.items():
            self._metrics.verifier_seconds.labels(name).inc(cost.seconds)


class _CountedCheck(Checked):
    def __init__(self, count: Callable[[SearchResult], None], tries: int, language: str) -> None:
        super().__init__(tries, language=language)
        self._count = count

    def many(self, tasks: Sequence[Task]) -> list[SearchResult]:
        results = super().many(tasks)
        for result in results:
            self._count(result)
        return results

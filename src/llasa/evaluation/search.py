"""Quality against compute: every utterance searched with several strategies and budgets."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import combinations
from pathlib import Path
from typing import Any

from llasa.audio.audio import Audio
from llasa.base.errors import LlasaError
from llasa.base.names import check_choice
from llasa.codec.protocol import CodecLike
from llasa.evaluation.experiment import Experiment, Row
from llasa.evaluation.items import Item
from llasa.evaluation.judges import Judges
from llasa.evaluation.tts import Sounds, Speak, attempt, judged
from llasa.lm.engine import generate
from llasa.models.voice import Voice
from llasa.search.plan import plan
from llasa.search.result import Compute, SearchResult
from llasa.search.selector import Selector, SelectorOptions
from llasa.search.session import Session, Task
from llasa.search.strategies import STRIDE, Strategy, sample
from llasa.verifiers.base import Candidate, Clock, Cost, Spent

STRATEGIES = ("sample", "best-of", "screened", "beam", "partial")
BUDGETS = (1, 2, 4, 8, 16, 32, 64)
CANDIDATES, *SPENT = ("candidates", "audio seconds", "wall seconds", "CPU seconds")
AXES = (CANDIDATES, *SPENT)
"""Costs that quality is plotted against. Audio counts all that was generated, kept or not."""
_POOLS = 8


@dataclass(frozen=True)
class Sweep:
    """Strategies, budgets and selectors.

    A budget is the number of sequences that run at the same time: candidates of best-of, and in
    beam and partial search beams times their ways on (4 times 4 for 16); as many candidates go on
    from the beams of partial search. `sample` is one candidate that nobody chooses, `screened` a
    best-of that decodes and judges a quarter of its candidates (see `Selector`). `selectors` are
    the options of those that choose, each for itself; they have a name where there are several.
    Utterances whose voice has no recording need a `reference` for verifiers that compare with one.
    These otherwise compare with the prompt as the codec gives it back (SIM-r, as in the paper), or
    with `original` with the recording itself (SIM-o).
    """

    strategies: Sequence[str] = STRATEGIES
    budgets: Sequence[int] = BUDGETS
    stride: int = STRIDE
    search_seconds: float = 2.0
    process: str | None = None
    original: bool = False
    selectors: Mapping[str, SelectorOptions] = field(
        default_factory=lambda: {"": SelectorOptions()}
    )

    def __post_init__(self) -> None:
        for name in self.strategies:
            check_choice(name, STRATEGIES, "The strategy")
        if not (self.strategies and self.selectors and self.budgets) or min(self.budgets) < 1:
            raise LlasaError("A sweep needs a strategy, verifiers, and budgets of at least 1.")

    @property
    def systems(self) -> list[str]:
        """Names of all systems, such as `best-of 16`."""
        return list(self._parts())

    @property
    def ends(self) -> list[str]:
        """The system with the largest budget of each line."""
        return list({split(system)[0]: system for system in self.systems}.values())

    def load(self) -> None:
        """Open the models; `LlasaError` where one is missing or something does not fit."""
        for selector in self._all():
            selector.load()

    def check(self, items: Sequence[Item], voice: Voice | None) -> None:
        """`LlasaError` for the first item without the recording that a verifier compares with."""
        lone = [item.id for item in items if item.prompt is None and not item.opening]
        for selector in self._all() if lone and (voice is None or not len(voice.codes)) else ():
            selector.check_reference(f"the item {lone[0]} has no prompt: give one")

    def open(self, reference: Audio | Path | None = None) -> dict[str, Strategy]:
        """The strategies by system; `reference` stands in where the options name none."""
        selectors: dict[str, SelectorOptions] = {
            name: {"reference": reference, **options} for name, options in self.selectors.items()
        }
        pool = Pool(self.budgets, selectors)
        return {
            system: self._strategy(name, number, pool, chooser, selectors[chooser])
            for system, (name, chooser, number) in self._parts().items()
        }

    def _parts(self) -> dict[str, tuple[str, str, int]]:
        """Strategy, selector and budget of every system."""
        found = {}
        for name in self.strategies:
            if name == "sample":
                found[name] = (name, next(iter(self.selectors)), 1)
                continue
            for chooser in self.selectors:
                for n in sorted(set(self.budgets)):
                    found[" ".join(filter(None, (name, chooser, str(n))))] = (name, chooser, n)
        return found

    def _all(self) -> Iterator[Selector]:
        for options in self.selectors.values():
            yield Selector(**options)
            if self.process is not None:
                language, reference = options.get("language", "en"), options.get("reference")
                yield Selector(self.process, language=language, reference=reference)

    def _strategy(
        self, name: str, number: int, pool: Pool, chooser: str, options: SelectorOptions
    ) -> Strategy:
        if name == "sample":
            return sample
        if name == "best-of":
            return partial(pool.best, chooser, number)
        if name == "screened":
            heard: SelectorOptions = {**options, "screen": math.ceil(number / 4)}
            return plan("best-of", number, **heard)
        steps: dict[str, Any] = {"seconds": self.search_seconds, "process": self.process}
        return plan(name, number, stride=self.stride, **steps, **options)


class Pool:
    """Best-of-n for several n and selectors: the candidates of the largest n are judged once.

    Every smaller budget chooses among the first of them, which are those that it would have made
    (the seeds are the same). What it would have cost is measured, too: they are decoded and judged
    in groups, from budget to budget, and the language model runs again with as many sequences as
    the budget has, for its time alone. A selector is charged with its own verifiers.
    """

    def __init__(self, budgets: Sequence[int], selectors: Mapping[str, SelectorOptions]) -> None:
        self._budgets = sorted(set(budgets))
        self._selectors = {name: Selector(**options) for name, options in selectors.items()}
        self._results: dict[object, dict[tuple[str, int], SearchResult]] = {}

    def best(self, chooser: str, n: int, task: Task) -> SearchResult:
        """A selector's choice among the first n candidates."""
        key = tuple(task.prompt), task.params
        if key not in self._results:
            while len(self._results) >= _POOLS:
                del self._results[next(iter(self._results))]
            self._results[key] = self._search(task)
        return self._results[key][chooser, n]

    def _search(self, task: Task) -> dict[tuple[str, int], SearchResult]:
        *smaller, largest = self._budgets
        found: dict[tuple[str, int], SearchResult] = {}
        lm: dict[int, Spent] = {}
        for n in smaller:
            clock = Clock()
            generate(task.engine, [task.prompt] * n, task.params)
            lm[n] = clock.spent()
        with Session(task, *self._selectors.values()) as session:
            clock = Clock()
            going = session.start(largest)
            session.advance(going, task.engine.context)
            lm[largest], clock, done = clock.spent(), Clock(), 0
            for n in self._budgets:
                for selector in self._selectors.values():
                    session.judge(going[done:n], selector)
                done, judged = n, clock.spent()
                for name, selector in self._selectors.items():
                    candidates = session.judge(going[:n], selector)  # all known by now
                    result = session.result(candidates, selector)
                    found[name, n] = _charged(result, selector, lm[n], judged)
        return found


def _charged(result: SearchResult, selector: Selector, lm: Spent, judging: Spent) -> SearchResult:
    """A result with the cost of its own candidates and verifiers only."""
    costs = result.compute.verifiers
    own = {name: cost for name, cost in costs.items() if name in selector.names}
    others = sum((cost for name, cost in costs.items() if name not in own), Cost())
    compute = replace(
        result.compute,
        tokens=sum(len(candidate.codes) for candidate in result.candidates),
        lm_seconds=lm["seconds"],
        verifiers=own,
        seconds=lm["seconds"] + judging["seconds"] - others.seconds,
        cpu_seconds=lm["cpu_seconds"] + judging["cpu_seconds"] - others.cpu_seconds,
    )
    families = {name: family for name, family in result.families.items() if name in own}
    return replace(result, families=families, compute=compute)


def split(system: str) -> tuple[str, int]:
    """A system's line in a plot, and its budget."""
    name, _, number = system.rpartition(" ")
    return (name, int(number)) if name else (system, 1)


def diversity(candidates: Sequence[Candidate]) -> float:
    """Share of the frames in which two candidates differ, mean over all pairs; NaN for one
    candidate. Beams share their beginnings, so a low value shows that a search has collapsed.
    """
    shares = []
    for one, other in combinations([c.codes for c in candidates if len(c.codes)], 2):
        length = min(len(one), len(other))
        shares.append(float((one[:length] != other[:length]).mean()))
    return sum(shares) / len(shares) if shares else math.nan


def evaluate_search(
    items: Sequence[Item],
    speak: Speak,
    sweep: Sweep,
    codec: CodecLike,
    judges: Judges,
    experiment: Experiment,
) -> list[Row]:
    """Search and judge every item with every strategy and budget; rows in the order of the items.

    The chosen one is judged as in `evaluate_tts`; beside the scores, a row has what was spent.
    """
    judges.load()
    by_id = {item.id: item for item in items}
    known: dict[tuple[str, bytes, str | None], Row] = {}

    @lru_cache(maxsize=1)
    def warm_up() -> None:
        """The first words take longer."""
        attempt(partial(speak, items[0], sample))

    @lru_cache(maxsize=1)
    def prepare(id: str) -> tuple[Sounds, dict[str, Strategy]]:
        item = by_id[id]
        sounds, cloned = Sounds.of(item, codec), item.prompt_text is not None
        if sweep.original:
            return sounds, sweep.open(sounds.like)
        return sounds, sweep.open(None if cloned else item.prompt)

    def judge(id: str, system: str) -> tuple[Row, Audio | None]:
        warm_up()
        sounds, strategies = prepare(id)
        speech, row = attempt(partial(speak, by_id[id], strategies[system]))
        codes = b"" if speech is None else speech.codes.tobytes()
        key = id, codes, None if speech is None else speech.finish_reason
        audio = None if speech is None else speech.audio
        if key not in known:  # many budgets choose the same
            known[key] = judged(by_id[id], audio, sounds, judges, speech)
        row = {**known[key], **row}
        if speech is not None:
            compute = sum((part.compute for part in speech.search), Compute())
            generated = compute.tokens / codec.frame_rate
            spent = zip(SPENT, (generated, compute.seconds, compute.cpu_seconds), strict=True)
            row["measures"] = {**row["measures"], **{name: (x, 1.0) for name, x in spent}}
            if not math.isnan(spread := diversity(speech.search[0].candidates)):
                row["measures"]["diversity"] = (spread, 1.0)
            row["compute"] = compute.to_dict()
            # Without the total: candidates of a pool have one for each selector and budget.
            chosen = [part.best.to_dict() for part in speech.search]
            row["chosen"] = [{k: v for k, v in one.items() if k != "total"} for one in chosen]
        return row, audio

    tasks = [(item.id, system) for item in items for system in sweep.systems]
    return experiment.work(tasks, judge, "eval search")

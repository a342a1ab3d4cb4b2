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
from llasa.lm.engine import generate
from llasa.models.voice import Voice
from llasa.search.plan import plan
from llasa.search.result import Compute, SearchResult, Take
from llasa.search.selector import Judging, Selector
from llasa.search.session import Run as Search
from llasa.search.session import Task
from llasa.search.strategies import STRIDE, Strategy, sample
from llasa.verifiers.base import Clock, Cost, Spent

from .items import Item
from .judges import Judges
from .run import Row, Run
from .tts import Sounds, Speak, attempt, judged

STRATEGIES = ("sample", "best-of", "screened", "beam", "partial")
BUDGETS = (1, 2, 4, 8, 16, 32, 64)
CANDIDATES, *SPENT = ("candidates", "audio seconds", "wall seconds", "CPU seconds")
AXES = (CANDIDATES, *SPENT)
"""What quality is drawn against. Audio is all that was generated, thrown away or not."""
_POOLS = 8


@dataclass(frozen=True)
class Sweep:
    """Strategies, budgets and juries.

    A budget is the number of sequences that run at the same time: takes of best-of, and in beam and
    partial search beams times their ways on (4 times 4 for 16); as many takes go on from the beams
    of partial search. `sample` is one take that nobody chooses, `screened` a best-of that decodes
    and judges a quarter of its takes (see `Selector`). `juries` choose, each for itself,
    and have a name where there are several. Utterances whose voice has no recording need a
    `reference` for verifiers that compare with one.
    """

    strategies: Sequence[str] = STRATEGIES
    budgets: Sequence[int] = BUDGETS
    stride: int = STRIDE
    search_seconds: float = 2.0
    process: str | None = None
    juries: Mapping[str, Judging] = field(default_factory=lambda: {"": Judging()})

    def __post_init__(self) -> None:
        for name in self.strategies:
            check_choice(name, STRATEGIES, "The strategy")
        if not (self.strategies and self.juries and self.budgets) or min(self.budgets) < 1:
            raise LlasaError("A sweep needs a strategy, verifiers, and budgets of at least 1.")

    @property
    def systems(self) -> list[str]:
        """Names of all that is compared, such as `best-of 16`."""
        return list(self._parts())

    @property
    def ends(self) -> list[str]:
        """The system with the largest budget of each line."""
        return list({split(system)[0]: system for system in self.systems}.values())

    def load(self) -> None:
        """Open the models; `LlasaError` where one is missing or something does not fit."""
        for jury in self._all():
            jury.load()

    def check(self, items: Sequence[Item], voice: Voice | None) -> None:
        """`LlasaError` for the first item without the recording that a verifier compares with."""
        lone = [item.id for item in items if item.prompt is None and not item.opening]
        for jury in self._all() if lone and (voice is None or not len(voice.codes)) else ():
            jury.check_reference(f"the item {lone[0]} has no prompt: give one")

    def open(self, reference: Path | None = None) -> dict[str, Strategy]:
        """The strategies by system; `reference` stands in where the judging names none."""
        juries: dict[str, Judging] = {
            name: {"reference": reference, **judging} for name, judging in self.juries.items()
        }
        pool = Pool(self.budgets, juries)
        return {
            system: self._strategy(name, number, pool, jury, juries[jury])
            for system, (name, jury, number) in self._parts().items()
        }

    def _parts(self) -> dict[str, tuple[str, str, int]]:
        """Strategy, jury and budget of every system."""
        found = {}
        for name in self.strategies:
            if name == "sample":
                found[name] = (name, next(iter(self.juries)), 1)
                continue
            for jury in self.juries:
                for n in sorted(set(self.budgets)):
                    found[" ".join(filter(None, (name, jury, str(n))))] = (name, jury, n)
        return found

    def _all(self) -> Iterator[Selector]:
        for judging in self.juries.values():
            yield Selector(**judging)
            if self.process is not None:
                language, reference = judging.get("language", "en"), judging.get("reference")
                yield Selector(self.process, language=language, reference=reference)

    def _strategy(
        self, name: str, number: int, pool: Pool, jury: str, judging: Judging
    ) -> Strategy:
        if name == "sample":
            return sample
        if name == "best-of":
            return partial(pool.best, jury, number)
        if name == "screened":
            heard: Judging = {**judging, "screen": math.ceil(number / 4)}
            return plan("best-of", number, **heard)
        steps: dict[str, Any] = {"seconds": self.search_seconds, "process": self.process}
        return plan(name, number, stride=self.stride, **steps, **judging)


class Pool:
    """Best-of-n for several n and juries: the takes of the largest n are made and judged once.

    Every smaller budget chooses among the first of them, which are those that it would have made
    (the seeds are the same). What it would have cost is measured, too: takes are decoded and judged
    in groups, from budget to budget, and the language model runs again with as many sequences as
    the budget has, for its time alone. A jury is charged with its own verifiers.
    """

    def __init__(self, budgets: Sequence[int], juries: Mapping[str, Judging]) -> None:
        self._budgets = sorted(set(budgets))
        self._juries = {name: Selector(**judging) for name, judging in juries.items()}
        self._results: dict[object, dict[tuple[str, int], SearchResult]] = {}

    def best(self, jury: str, n: int, task: Task) -> SearchResult:
        """What a jury chooses among the first n takes."""
        key = tuple(task.prompt), task.params
        if key not in self._results:
            while len(self._results) >= _POOLS:
                del self._results[next(iter(self._results))]
            self._results[key] = self._search(task)
        return self._results[key][jury, n]

    def _search(self, task: Task) -> dict[tuple[str, int], SearchResult]:
        *smaller, largest = self._budgets
        found: dict[tuple[str, int], SearchResult] = {}
        lm: dict[int, Spent] = {}
        for n in smaller:
            clock = Clock()
            generate(task.engine, [task.prompt] * n, task.params)
            lm[n] = clock.spent()
        with Search(task, *self._juries.values()) as search:
            clock = Clock()
            going = search.start(largest)
            search.advance(going, task.engine.context)
            lm[largest], clock, done = clock.spent(), Clock(), 0
            for n in self._budgets:
                for jury in self._juries.values():
                    search.judge(going[done:n], jury)
                done, judged = n, clock.spent()
                for name, jury in self._juries.items():
                    takes = search.judge(going[:n], jury)  # all known by now
                    result = search.result(takes, jury)
                    found[name, n] = _charged(result, jury, lm[n], judged)
        return found


def _charged(result: SearchResult, jury: Selector, lm: Spent, judging: Spent) -> SearchResult:
    """A result with the cost of its own takes and verifiers, the others' taken off."""
    costs = result.compute.verifiers
    own = {name: cost for name, cost in costs.items() if name in jury.names}
    others = sum((cost for name, cost in costs.items() if name not in own), Cost())
    compute = replace(
        result.compute,
        tokens=sum(len(take.codes) for take in result.takes),
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


def diversity(takes: Sequence[Take]) -> float:
    """Share of the frames in which two takes differ, mean over all pairs; NaN for a single take.

    Beams share their beginnings: how much of that is left says whether a search has collapsed.
    """
    shares = []
    for one, other in combinations([take.codes for take in takes if len(take.codes)], 2):
        length = min(len(one), len(other))
        shares.append(float((one[:length] != other[:length]).mean()))
    return sum(shares) / len(shares) if shares else math.nan


def evaluate_search(
    items: Sequence[Item], speak: Speak, sweep: Sweep, codec: CodecLike, judges: Judges, run: Run
) -> list[Row]:
    """Search and judge every item with every strategy and budget; rows in the order of the items.

    The chosen take is judged as in `evaluate_tts`; beside the scores, a row has what was spent.
    """
    judges.load()
    by_id = {item.id: item for item in items}
    known: dict[tuple[str, bytes], Row] = {}

    @lru_cache(maxsize=1)
    def warm_up() -> None:
        """The first words take longer."""
        attempt(partial(speak, items[0], sample))

    @lru_cache(maxsize=1)
    def prepare(id: str) -> tuple[Sounds, dict[str, Strategy]]:
        item = by_id[id]
        cloned = item.prompt_text is not None
        return Sounds.of(item, codec), sweep.open(None if cloned else item.prompt)

    def judge(id: str, system: str) -> tuple[Row, Audio | None]:
        warm_up()
        sounds, strategies = prepare(id)
        speech, row = attempt(partial(speak, by_id[id], strategies[system]))
        codes = b"" if speech is None else speech.codes.tobytes()
        audio = None if speech is None else speech.audio
        if (id, codes) not in known:  # many budgets choose the same take
            known[id, codes] = judged(by_id[id], audio, sounds, judges, speech)
        row = {**known[id, codes], **row}
        if speech is not None:
            compute = sum((part.compute for part in speech.search), Compute())
            generated = compute.tokens / codec.frame_rate
            spent = zip(SPENT, (generated, compute.seconds, compute.cpu_seconds), strict=True)
            row["measures"] = {**row["measures"], **{name: (x, 1.0) for name, x in spent}}
            if not math.isnan(spread := diversity(speech.search[0].takes)):
                row["measures"]["diversity"] = (spread, 1.0)
            row["compute"] = compute.to_dict()
            # Without the total: takes of a pool have one for each jury and budget.
            chosen = [part.best.to_dict() for part in speech.search]
            row["chosen"] = [{k: v for k, v in take.items() if k != "total"} for take in chosen]
        return row, audio

    tasks = [(item.id, system) for item in items for system in sweep.systems]
    return run.work(tasks, judge, "eval search")

"""Quality against compute: every utterance searched with several strategies and budgets."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from llasa.audio import Audio
from llasa.codec import Codec
from llasa.engine.base import generate
from llasa.errors import LlasaError
from llasa.search.jury import Judging, Jury
from llasa.search.result import Compute, SearchResult, Take
from llasa.search.run import Run as Search
from llasa.search.run import Task
from llasa.search.strategies import STRIDE, Strategy, beam, partial_search, sample
from llasa.voice import Voice

from .items import Item
from .judges import Judges
from .run import Row, Run
from .tts import Sounds, Speak, attempt, judged

STRATEGIES = ("sample", "best-of", "beam", "partial")
BUDGETS = (1, 2, 4, 8, 16, 32, 64)
CANDIDATES, *SPENT = ("candidates", "audio seconds", "wall seconds", "CPU seconds")
AXES = (CANDIDATES, *SPENT)
"""What quality is drawn against. Audio is all that was generated, thrown away or not."""
_POOLS = 8


@dataclass(frozen=True)
class Sweep:
    """Strategies and budgets.

    A budget is the number of sequences that run at the same time: takes of best-of, and in beam and
    partial search beams times their ways on (4 times 4 for 16); as many takes go on from the beams
    of partial search. `sample` is one take that nobody chooses. Utterances whose voice has no
    recording need `judging["reference"]` for verifiers that compare with one.
    """

    strategies: Sequence[str] = STRATEGIES
    budgets: Sequence[int] = BUDGETS
    stride: int = STRIDE
    search_seconds: float = 2.0
    process: str | None = None
    judging: Judging = field(default_factory=Judging)

    def __post_init__(self) -> None:
        for name in self.strategies:
            if name not in STRATEGIES:
                raise LlasaError(
                    f"The strategy {name!r} is unknown: valid are {', '.join(STRATEGIES)}."
                )
        if not self.strategies or not self.budgets or min(self.budgets) < 1:
            raise LlasaError("A sweep needs a strategy, and budgets of at least 1.")

    @property
    def systems(self) -> list[str]:
        """Names of all that is compared, such as `best-of 16`."""
        budgets = sorted(set(self.budgets))
        return [
            system
            for name in dict.fromkeys(self.strategies)
            for system in (["sample"] if name == "sample" else [f"{name} {n}" for n in budgets])
        ]

    @property
    def ends(self) -> list[str]:
        """The system with the largest budget of each strategy."""
        return list({split(system)[0]: system for system in self.systems}.values())

    def load(self) -> None:
        """Open the models; `LlasaError` where one is missing or something does not fit."""
        for jury in self._juries():
            jury.load()

    def check(self, items: Sequence[Item], voice: Voice | None) -> None:
        """`LlasaError` for the first item without the recording that a verifier compares with."""
        lone = [item.id for item in items if item.prompt is None and not item.opening]
        silent = voice is None or not len(voice.codes)
        if lone and silent and self.judging.get("reference") is None:
            for jury in self._juries():
                if jury.needs("prompt"):
                    raise LlasaError(
                        f"{' and '.join(jury.names)} compare with a recording, but the item "
                        f"{lone[0]} has no prompt: give one, or --reference FILE."
                    )

    def _juries(self) -> list[Jury]:
        language = self.judging.get("language", "en")
        early = [] if self.process is None else [Jury(self.process, language=language)]
        return [Jury(**self.judging), *early]

    def open(self, reference: Path | None = None) -> dict[str, Strategy]:
        """The strategies by system; `reference` stands in where the judging names none."""
        judging: Judging = {"reference": reference, **self.judging}
        pool = Pool(self.budgets, judging)
        return {system: self._strategy(system, judging, pool) for system in self.systems}

    def _strategy(self, system: str, judging: Judging, pool: Pool) -> Strategy:
        name, number = split(system)
        beams = max(n for n in range(1, math.isqrt(number) + 1) if number % n == 0)
        steps: dict[str, Any] = {"beams": beams, "expand": number // beams, "stride": self.stride}
        if name == "sample":
            return sample
        if name == "best-of":
            return partial(pool.best, number)
        if name == "beam":
            return partial(beam, **steps, **judging)
        steps |= {"seconds": self.search_seconds, "n": number, "process": self.process}
        return partial(partial_search, **steps, **judging)


class Pool:
    """Best-of-n for several n: the takes of the largest are made and judged once.

    Every smaller budget chooses among the first of them, which are those that it would have made
    (the seeds are the same). What it would have cost is measured, too: takes are decoded and judged
    in groups, from budget to budget, and the language model runs again with as many sequences as
    the budget has, for its time alone.
    """

    def __init__(self, budgets: Sequence[int], judging: Judging) -> None:
        self._budgets = sorted(set(budgets))
        self._jury = Jury(**judging)
        self._results: dict[object, dict[int, SearchResult]] = {}

    def best(self, n: int, task: Task) -> SearchResult:
        """The best of the first n takes."""
        key = tuple(task.prompt), task.params
        if key not in self._results:
            while len(self._results) >= _POOLS:
                del self._results[next(iter(self._results))]
            self._results[key] = self._search(task)
        return self._results[key][n]

    def _search(self, task: Task) -> dict[int, SearchResult]:
        *smaller, largest = self._budgets
        found: dict[int, SearchResult] = {}
        lm: dict[int, Compute] = {}
        for n in smaller:
            clock = _Clock()
            generate(task.engine, [task.prompt] * n, task.params)
            lm[n] = clock.read()
        with Search(task, self._jury) as search:
            clock = _Clock()
            going = search.start(largest)
            search.advance(going, task.engine.context)
            lm[largest] = clock.read()
            clock = _Clock()
            takes: list[Take] = []
            for n in self._budgets:
                takes += search.judge(going[len(takes) : n], self._jury)
                judging = clock.read()
                result = search.result(takes, self._jury)
                own = replace(
                    result.compute,
                    tokens=sum(len(take.codes) for take in takes),
                    lm_seconds=lm[n].seconds,
                    seconds=lm[n].seconds + judging.seconds,
                    cpu_seconds=lm[n].cpu_seconds + judging.cpu_seconds,
                )
                found[n] = replace(result, compute=own)
        return found


class _Clock:
    """Wall and CPU time since it was made."""

    def __init__(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def read(self) -> Compute:
        wall, cpu = self._began
        return Compute(seconds=time.perf_counter() - wall, cpu_seconds=time.process_time() - cpu)


def split(system: str) -> tuple[str, int]:
    """A system's strategy and budget."""
    name, _, number = system.partition(" ")
    return name, int(number or 1)


def evaluate_search(
    items: Sequence[Item], speak: Speak, sweep: Sweep, codec: Codec, judges: Judges, run: Run
) -> list[Row]:
    """Search and judge every item with every strategy and budget; rows in the order of the items.

    The chosen take is judged as in `evaluate_tts`; beside the scores, a row has what was spent.
    """
    judges.load()
    by_id = {item.id: item for item in items}
    known: dict[tuple[str, bytes], Row] = {}

    @lru_cache(maxsize=1)
    def prepare(id: str) -> tuple[Sounds, dict[str, Strategy]]:
        item = by_id[id]
        cloned = item.prompt_text is not None
        return Sounds.of(item, codec), sweep.open(None if cloned else item.prompt)

    def judge(id: str, system: str) -> tuple[Row, Audio | None]:
        sounds, strategies = prepare(id)
        speech, row = attempt(by_id[id], speak, strategies[system])
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
            row["compute"] = compute.to_dict()
            row["chosen"] = [part.best.to_dict() for part in speech.search]
        return row, audio

    tasks = [(item.id, system) for item in items for system in sweep.systems]
    return run.work(tasks, judge, "eval search")

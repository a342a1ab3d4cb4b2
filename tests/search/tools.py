"""Verifiers that need no model, and a task of the tiny model."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from llasa.lm.engine import Engine, Generation
from llasa.search.session import Task
from llasa.tts.llasa import Llasa
from llasa.verifiers import Candidate

TEXT = "The lazy dog speaks."


@dataclass
class Judge:
    """Scores a candidate by a function; remembers what it saw."""

    rule: Callable[[Candidate], float]
    name: str = "judge"
    family: str = "tests"
    needs: Collection[str] = frozenset({"codes"})
    seen: list[Candidate] = field(default_factory=list)
    batches: int = 0

    def score(self, batch: Sequence[Candidate], /) -> list[float]:
        self.seen += batch
        self.batches += 1
        return [self.rule(candidate) for candidate in batch]


def mean_code(candidate: Candidate) -> float:
    """High codes are better, whatever the length."""
    return float(candidate.codes.mean())


def loudness(candidate: Candidate) -> float:
    """Of the audio."""
    assert len(candidate.audio.samples)
    return float(np.sqrt((candidate.audio.samples**2).mean()))


class Watched:
    """An engine that counts what is asked of it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.prompts = 0
        self.forks: list[list[int]] = []
        self.started: list[Generation] = []

    def start(self, prompts: Sequence[Sequence[int]], params: Any) -> list[Generation]:
        self.prompts += len(prompts)
        new = self.engine.start(prompts, params)
        self.started += new
        return new

    def fork(
        self,
        generations: Sequence[Generation],
        parents: Sequence[int],
        seeds: Sequence[int] | None = None,
    ) -> list[Generation]:
        self.forks.append(list(parents))
        children = self.engine.fork(generations, parents, seeds)
        self.started += children
        return children

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)


def task(tts: Llasa, seed: int = 3, text: str = TEXT, voice: str | None = "ann") -> Task:
    """What `tts(text, voice=voice, seed=seed)` asks the engine for."""
    return tts.task(tts.request(text, voice=voice, seed=seed), 0)

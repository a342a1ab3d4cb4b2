"""Result of a search: all candidates with their scores, and the cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llasa.base.names import shorten
from llasa.verifiers.base import Candidate, Cost


@dataclass(frozen=True)
class Compute:
    """The cost of a search; costs can be added.

    tokens: sampled by the language model; audio_seconds: decoded by the codec. Seconds are wall
    clock; `verifiers` has the `Cost` of each by name. `seconds` and `cpu_seconds` (see `Spent`) are
    those of all of it, opening the verifiers' models included.
    """

    tokens: int = 0
    audio_seconds: float = 0.0
    lm_seconds: float = 0.0
    codec_seconds: float = 0.0
    verifiers: Mapping[str, Cost] = field(default_factory=dict)
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def __add__(self, other: Compute) -> Compute:
        costs = dict(self.verifiers)
        for name, cost in other.verifiers.items():
            costs[name] = costs.get(name, Cost()) + cost
        sums = {n: v + getattr(other, n) for n, v in vars(self).items() if n != "verifiers"}
        return Compute(verifiers=costs, **sums)

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        own = {n: round(v, 3) for n, v in vars(self).items() if n != "verifiers"}
        costs = {
            name: {part: round(value, 3) for part, value in vars(cost).items()}
            for name, cost in self.verifiers.items()
        }
        return {**own, "verifiers": costs}


@dataclass(frozen=True)
class Check:
    """Whether a sentence was heard as it is written.

    text: the sentence, as it was given. tries: how often it was spoken. heard: the words of the
    candidate that was kept. missing: words of the sentence that were not heard in it. ok: nothing
    is missing, added or cut off; so is a sentence without words, such as "Hmm." `reason`: why it
    could not be heard at all.
    """

    text: str
    ok: bool
    tries: int
    heard: str
    missing: tuple[str, ...]
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {**vars(self), "missing": list(self.missing)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Check:
        """What `to_dict` gave."""
        return cls(**{**values, "missing": tuple(values["missing"])})

    def warning(self) -> str:
        """A sentence on what is wrong, for the listener."""
        shown, tries = shorten(self.text), "1 try" if self.tries == 1 else f"{self.tries} tries"
        if self.reason is not None:
            return f"{shown!r} could not be checked: {self.reason.rstrip('.')}."
        words = f"not heard: {', '.join(self.missing)}" if self.missing else "more was heard"
        return f"{shown!r} is not right after {tries}; {words} (heard: {self.heard!r})."


@dataclass(frozen=True, eq=False)
class SearchResult:
    """A searched text (or a part of a long one).

    text: as it was given. candidates: those that were compared in the end, best first. `steps`: the
    partial candidates of each process step, best first, without their sound. `families`: of each
    verifier that took part in choosing. `check`: what was heard, where the speech was checked.
    """

    text: str
    candidates: Sequence[Candidate]
    steps: Sequence[Sequence[Candidate]]
    families: Mapping[str, str]
    compute: Compute
    check: Check | None = None

    @property
    def best(self) -> Candidate:
        """The chosen one."""
        return self.candidates[0]

    def to_dict(self) -> dict[str, Any]:
        """Scores and compute, ready for JSON; of the steps their number."""
        return {
            "text": self.text,
            "verifiers": dict(self.families),
            "candidates": [candidate.to_dict() for candidate in self.candidates],
            "steps": len(self.steps),
            "compute": self.compute.to_dict(),
            **({"check": self.check.to_dict()} if self.check else {}),
        }

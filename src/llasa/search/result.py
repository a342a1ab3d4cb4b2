"""What a search gives back: every candidate with its scores, and what it cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llasa.audio.audio import Audio, Samples
from llasa.base.names import shorten
from llasa.verifiers.base import Cost, FinishReason

if TYPE_CHECKING:
    from llasa.codec.heads.harmonic import PhaseState


@dataclass(eq=False)
class Take:
    """One way in which the text was spoken, as far as it got.

    codes: int64 (n,). `logprob`: the sum of their log-probabilities under the model, in nats.
    finish: "stop", "length" where it was cut off, None for a partial one of a process step.
    scores: by the verifier's name, NaN where it is unscored, with the reason in `reasons`.
    heard: words, by the verifier's name, of those that listen to words.
    total: the combined score, as it was when this take was last compared with others.
    """

    codes: NDArray[np.int64]
    pieces: tuple[Samples, ...]
    """The audio, in pieces that takes of the same origin share."""
    rate: int
    logprob: float
    finish: FinishReason | None
    seed: int
    scores: dict[str, float] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    heard: dict[str, str] = field(default_factory=dict)
    total: float = math.nan
    anchor: PhaseState | None = None
    """Where the sound stands at the place from which it is decoded again as the take goes on."""

    @property
    def audio(self) -> Audio:
        """The sound; empty where nothing was decoded."""
        empty = np.zeros(0, np.float32)
        return Audio(np.concatenate([empty, *self.pieces]), self.rate)

    def to_dict(self) -> dict[str, Any]:
        """Everything but sound and codes, ready for JSON; a score that is missing is null."""
        return {
            "seed": self.seed,
            "tokens": len(self.codes),
            "finish_reason": self.finish,
            "logprob": round(self.logprob, 3),
            "total": _number(self.total),
            "scores": {name: _number(score) for name, score in self.scores.items()},
            "unscored": dict(self.reasons),
            "heard": dict(self.heard),
        }


@dataclass(frozen=True)
class Compute:
    """What a search took; compute adds up.

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
    take that was kept. missing: words of the sentence that were not heard in it. ok: nothing is
    missing, added or cut off; so is a sentence without words, such as "Hmm." `reason`: why it could
    not be heard at all.
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
        """A sentence on what is not right, for who listens."""
        shown, tries = shorten(self.text), "1 try" if self.tries == 1 else f"{self.tries} tries"
        if self.reason is not None:
            return f"{shown!r} could not be checked: {self.reason.rstrip('.')}."
        words = f"not heard: {', '.join(self.missing)}" if self.missing else "more was heard"
        return f"{shown!r} is not right after {tries}; {words} (heard: {self.heard!r})."


@dataclass(frozen=True, eq=False)
class SearchResult:
    """A searched text (or a part of a long one).

    text: as it was given. takes: those that were compared in the end, best first. `steps`: the
    partial takes of each process step, best first. `families`: of each verifier that took part in
    choosing. `check`: what was heard, where the speech was checked.
    """

    text: str
    takes: Sequence[Take]
    steps: Sequence[Sequence[Take]]
    families: Mapping[str, str]
    compute: Compute
    check: Check | None = None

    @property
    def best(self) -> Take:
        return self.takes[0]

    def to_dict(self) -> dict[str, Any]:
        """Scores and compute, ready for JSON; of the steps their number."""
        return {
            "text": self.text,
            "verifiers": dict(self.families),
            "candidates": [take.to_dict() for take in self.takes],
            "steps": len(self.steps),
            "compute": self.compute.to_dict(),
            **({"check": self.check.to_dict()} if self.check else {}),
        }


def _number(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None

"""What a verifier is, what it may look at, and the one way to call it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from llasa.audio.audio import SPEECH_RATE, Audio, Samples
from llasa.base.errors import LlasaError

RATE = SPEECH_RATE
"""Samples a second that all models here listen to."""
NEEDS = ("text", "audio", "codes", "frame_rate", "logprob", "prompt")
"""Fields of a candidate that a verifier can ask for."""
FinishReason = Literal["stop", "length"]
"""How speech ended: by itself, or because it was cut off."""

ONE_AT_A_TIME = threading.Lock()
"""Batches of all searches: few cores are free. Within one, a model may run clips side by side."""

Scores = NDArray[np.float64]


@dataclass(eq=False)
class Candidate:
    """One way of saying a text, as far as it has been generated: what verifiers judge.

    text: what is to be said, all of it even while the audio is partial.
    audio: what was generated, the prompt not included; empty where nothing was decoded.
    codes: its speech codes, int64 (n,).
    logprob: sum of the log-probabilities of the `sampled` tokens, in nats.
    prompt: a recording of the voice (or style) to be met.
    finish: "stop" where the model ended it, "length" where it was cut off, None while it goes on.
    frame_rate: how many of its codes make a second, which depends on the codec.
    sampled: tokens that `logprob` sums over: the codes, the phones of a model that names them, and
        the end token. None: the codes and the end token.
    seed: that of its sampling.
    phones: those that a model named as it spoke, each with the codes before it.

    A search notes in it, by the verifier's name, `scores` (NaN where it is unscored, with the
    reason in `reasons`) and the words `heard`. `total` is the combined score, as it was when the
    candidate was last compared with others.
    """

    text: str | None = None
    audio: Audio = field(default_factory=lambda: Audio(np.zeros(0, np.float32), RATE))
    codes: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    logprob: float | None = None
    prompt: Audio | None = None
    finish: FinishReason | None = "stop"
    frame_rate: float | None = None
    sampled: int | None = None
    seed: int = 0
    phones: Sequence[tuple[str, int]] = ()
    scores: dict[str, float] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    heard: dict[str, str] = field(default_factory=dict)
    total: float = math.nan

    @property
    def partial(self) -> bool:
        """Whether it has not ended yet."""
        return self.finish is None

    def to_dict(self) -> dict[str, Any]:
        """Everything but sound and codes, ready for JSON; a score that is missing is null."""
        return {
            "seed": self.seed,
            "tokens": len(self.codes),
            "finish_reason": self.finish,
            "logprob": None if self.logprob is None else round(self.logprob, 3),
            "total": _number(self.total),
            "scores": {name: _number(score) for name, score in self.scores.items()},
            "unscored": dict(self.reasons),
            "heard": dict(self.heard),
        }


class Named(Protocol):
    """What has a name, and the name of the model family behind it."""

    @property
    def name(self) -> str: ...

    @property
    def family(self) -> str: ...


class Verifier(Named, Protocol):
    """Judges candidates. Any object with these four attributes is one.

    name: what tables and flags call it.
    family: the model behind it. A report warns where one family both selects and judges.
    needs: fields of `Candidate` (see `NEEDS`) without which it cannot judge.

    It must repeat: the same batch gives the same scores (one that draws numbers takes a seed when
    it is made). Optional: `load()`, called before the first batch, opens models; `shortest`,
    seconds of audio below which a clip cannot be judged; `best`, the highest possible score, with
    which a lazy selector sees which candidates cannot win any more; `listen(batch)`, in place of
    `score`, which gives the words heard in each candidate, too.
    """

    @property
    def needs(self) -> Collection[str]: ...

    def score(self, batch: Sequence[Candidate], /) -> ArrayLike:
        """One number a candidate, higher is better; NaN where there is none.

        Every candidate has what `needs` names, and its audio is finite and not silent. An error
        marks candidates as unscored; it never stops a search.
        """


class Spent(TypedDict):
    """Wall clock, and CPU time of the whole process, all threads."""

    seconds: float
    cpu_seconds: float


class Clock:
    """The time since it was made."""

    def __init__(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def spent(self) -> Spent:
        wall, cpu = self._began
        return {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}


@dataclass(frozen=True)
class Cost:
    """What judging took; costs add up.

    calls: batches; candidates: how many were looked at; audio_seconds: length of their audio; for
    the others see `Spent`. The loading of models is `load_seconds` (wall clock) alone.
    """

    calls: float = 0
    candidates: float = 0
    audio_seconds: float = 0.0
    cpu_seconds: float = 0.0
    seconds: float = 0.0
    load_seconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(**{name: mine + getattr(other, name) for name, mine in vars(self).items()})

    def share(self, count: int) -> Cost:
        """That of one of `count` searches that judged together."""
        return Cost(**{name: value / count for name, value in vars(self).items()})


@dataclass(frozen=True, eq=False)
class Verdict:
    """Scores of one verifier for a batch.

    scores: float64 (n,), higher is better, NaN for a candidate that is unscored.
    reasons: why it is unscored, else None, one a candidate.
    heard: the words in it, None where the verifier does not listen to words, one a candidate.
    """

    name: str
    family: str
    scores: Scores
    reasons: tuple[str | None, ...]
    heard: tuple[str | None, ...]
    cost: Cost


def verify(verifier: Verifier, batch: Sequence[Candidate]) -> Verdict:
    """Let a verifier judge a batch; whatever it cannot judge is unscored, with the reason.

    A candidate is unscored where it lacks what the verifier needs, where its audio is empty,
    silent, too short or not finite, where the verifier fails on it, or where the score is no
    finite number. A batch that fails is judged again one by one, so that one bad candidate spoils
    no other.

    Raises `LlasaError` where the verifier cannot be used at all: it cannot load, asks for an
    unknown need, or returns the wrong number of scores.
    """
    needs = set(verifier.needs)
    if unknown := needs - set(NEEDS):
        raise LlasaError(
            f"The verifier {verifier.name} needs {', '.join(sorted(unknown))}; valid are "
            f"{', '.join(NEEDS)}."
        )
    with ONE_AT_A_TIME:
        clock = Clock()
        if (load := getattr(verifier, "load", None)) is not None:
            load()
        loading, clock = clock.spent()["seconds"], Clock()
        reasons = [_missing(verifier, needs, candidate) for candidate in batch]
        fit = [index for index, reason in enumerate(reasons) if reason is None]
        scores, calls = np.full(len(batch), np.nan), 0
        heard: list[str | None] = [None] * len(batch)
        if fit:
            found = _score(verifier, [batch[index] for index in fit])
            scores[fit], calls = found.scores, found.calls
            for index, problem, words in zip(fit, found.reasons, found.heard, strict=True):
                reasons[index], heard[index] = problem, words
        seconds = sum(batch[index].audio.duration for index in fit)
        cost = Cost(calls, len(fit), seconds, load_seconds=loading, **clock.spent())
    name, family = verifier.name, verifier.family
    return Verdict(name, family, scores, tuple(reasons), tuple(heard), cost)


def speech(audio: Audio) -> Samples:
    """Mono samples at `RATE`, float32 (n,): what the models listen to."""
    return audio.mono().resample(RATE).samples


class _Found(NamedTuple):
    """Scores, reasons of the unscored, words heard, and the number of calls."""

    scores: Scores
    reasons: list[str | None]
    heard: list[str | None]
    calls: int


def _score(verifier: Verifier, batch: Sequence[Candidate]) -> _Found:
    heard: list[str | None] = [None] * len(batch)
    try:
        if (listen := getattr(verifier, "listen", None)) is not None:
            given, heard = listen(batch)
        else:
            given = verifier.score(batch)
        scores = np.array(given, np.float64)
    except Exception as error:
        if len(batch) == 1:
            return _Found(np.array([np.nan]), [str(error) or type(error).__name__], [None], 1)
        single = [_score(verifier, [candidate]) for candidate in batch]
        return _Found(
            np.concatenate([one.scores for one in single]),
            [reason for one in single for reason in one.reasons],
            [words for one in single for words in one.heard],
            1 + sum(one.calls for one in single),
        )
    if scores.shape != (len(batch),):
        raise LlasaError(
            f"The verifier {verifier.name} gave scores of shape {scores.shape} for "
            f"{len(batch)} candidates: give one number for each."
        )
    reasons = [None if np.isfinite(s) else f"its score is {s}, not a number" for s in scores]
    scores[~np.isfinite(scores)] = np.nan
    return _Found(scores, reasons, list(heard), 1)


def _missing(verifier: Verifier, needs: Collection[str], candidate: Candidate) -> str | None:
    """Why a candidate cannot be judged, found without asking the verifier."""
    for need in filter(needs.__contains__, NEEDS):
        value = getattr(candidate, need)
        samples = value.samples if isinstance(value, Audio) else value
        if value is None or (isinstance(samples, np.ndarray) and not samples.size):
            return f"it has no {need}"
        if isinstance(value, Audio):
            shortest = float(getattr(verifier, "shortest", 0.0))
            if (flaw := _flaw(value, shortest)) is not None:
                return f"its {need} {flaw}"
        elif isinstance(value, str) and not value.strip():
            return f"its {need} is empty"
    return None


def _flaw(audio: Audio, shortest: float) -> str | None:
    if not np.isfinite(audio.samples).all():
        return "holds values that are not numbers"
    if not audio.samples.any():
        return "is silent"
    if audio.duration < shortest:
        return f"lasts {audio.duration:.2f} s, less than {shortest:g} s"
    return None


def _number(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None

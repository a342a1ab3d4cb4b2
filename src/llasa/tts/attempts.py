"""Attempts at speaking a part: if one is silent or does not end, it gets a second chance.

Codes are decoded as they come, or once a part is complete; a search or a check makes its own
attempts.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from llasa.audio.audio import Samples
from llasa.base.errors import LlasaError
from llasa.base.names import shorten
from llasa.codec.streaming import StreamingDecoder, StreamSettings
from llasa.lm.engine import Generation
from llasa.search.session import Task
from llasa.search.strategies import Strategy
from llasa.tts.check import Checked, another_try

if TYPE_CHECKING:
    from llasa.search.result import Check, SearchResult

CHANCES = 2
"""Attempts at a part that fails."""
_NO_SAMPLES = np.zeros(0, np.float32)


@dataclass(frozen=True, eq=False)
class Sound:
    """The result of a task, or a piece of it: codes int64 (n,), samples float32 (m,).

    ends: nothing follows. cut: it did not end by itself. error: why there is nothing at all.
    phones: all that the model has named in the task, each with the codes before it.
    """

    codes: NDArray[np.int64]
    samples: Samples
    ends: bool = True
    cut: bool = False
    warnings: tuple[str, ...] = ()
    search: SearchResult | None = None
    check: Check | None = None
    error: LlasaError | None = None
    phones: Sequence[tuple[str, int]] = ()


def attempts(
    tasks: Sequence[Task], decoding: StreamSettings | None
) -> Generator[tuple[int, Sound]]:
    """Speak tasks side by side; the sound of each by its place, in order.

    With `decoding` there is one task, and its sound comes in pieces as it is spoken. What has been
    heard cannot be taken back, so only what fails before that gets a second chance.
    """
    best: dict[int, _Attempt] = {}
    failed = list(range(len(tasks)))
    for number in range(CHANCES):
        new = [_Attempt(tasks[place], decoding) for place in failed]
        rules = [another_try(tasks[place].params, number) for place in failed]
        engine = tasks[0].engine
        generations = engine.start([one.task.prompt for one in new], rules)
        try:
            for one, generation in zip(new, generations, strict=True):
                one.generation = generation
            while going := [one for one in new if one.generation.finish is None]:
                steps = max(one.missing for one in going)
                engine.advance([one.generation for one in going], steps)
                for place, one in zip(failed, new, strict=True):
                    if (sound := one.listen()) is not None:
                        yield place, sound
        finally:
            engine.release(generations)
        for place, one in zip(failed, new, strict=True):
            if place not in best or one.better_than(best[place]):
                best[place] = one
        failed = [place for place in failed if best[place].failed]
        if not failed:
            break
    for place in range(len(tasks)):
        yield place, best[place].rest()


def searched(tasks: Sequence[Task], search: Strategy) -> Generator[tuple[int, Sound]]:
    """The best of several attempts at each task, as a search or a check finds it."""
    results: Iterable[SearchResult]
    results = search.many(tasks) if isinstance(search, Checked) else map(search, tasks)
    for place, (task, result) in enumerate(zip(tasks, results, strict=True)):
        best, check = result.best, result.check
        warnings = cut_off(task, best.codes, best.finish)
        if not warnings and check is not None and not check.ok:
            warnings = (check.warning(),)
        yield (
            place,
            Sound(
                best.codes,
                best.audio.samples,
                cut=best.finish != "stop",
                warnings=warnings,
                search=result,
                check=check,
                error=None if len(best.codes) else nothing_said(task, "in any take"),
                phones=best.phones,
            ),
        )


def decoded(task: Task, codes: NDArray[np.int64]) -> Samples:
    """Sound of codes (n,), after what the task goes on from."""
    if not len(codes):
        return _NO_SAMPLES
    whole, start = np.concatenate([task.before, codes]), len(task.before)
    return task.codec.decode_part(whole, start, speaker_embedding=task.speaker_embedding)[0]


def nothing_said(task: Task, how: str = "twice") -> LlasaError:
    """The error for a model that says nothing in every attempt."""
    return LlasaError(
        f"The model said nothing for {shorten(task.written)!r}, {how}: try another seed, another "
        "voice or more words."
    )


def cut_off(task: Task, codes: NDArray[np.int64], finish: str | None) -> tuple[str, ...]:
    """A warning if a part did not end by itself and was not cut on request."""
    if not task.failed(len(codes), finish):
        return ()
    seconds = len(codes) / task.codec.frame_rate
    return (
        f"{shorten(task.written)!r} did not end by itself and was cut off after {seconds:.1f} s: "
        "try another seed or other words, or have the speech checked.",
    )


class _Decoder(Protocol):
    """See `StreamingDecoder`."""

    @property
    def missing(self) -> int: ...
    def push(self, codes: NDArray[np.int64]) -> Samples: ...
    def finish(self) -> Samples: ...


class _WholeDecoder:
    """Gives all of the sound at the end."""

    def __init__(self, task: Task) -> None:
        self._task, self.missing = task, task.engine.context
        self._codes = np.zeros(0, np.int64)

    def push(self, codes: NDArray[np.int64]) -> Samples:
        self._codes = np.concatenate([self._codes, codes])
        return _NO_SAMPLES

    def finish(self) -> Samples:
        return decoded(self._task, self._codes)


class _Attempt:
    """A task that is being spoken."""

    generation: Generation

    def __init__(self, task: Task, decoding: StreamSettings | None) -> None:
        self.task = task
        self._decoder: _Decoder = _WholeDecoder(task)
        if decoding is not None:
            self._decoder = StreamingDecoder(
                task.codec, decoding, task.before, task.speaker_embedding
            )
        self._codes = np.zeros(0, np.int64)
        self._taken = self._heard = 0  # tokens, codes
        self._last = _NO_SAMPLES

    @property
    def missing(self) -> int:
        """Number of tokens until the next piece of sound may be ready."""
        return self._decoder.missing

    @property
    def failed(self) -> bool:
        """Whether another attempt is due: this one has failed, and nothing of it was heard."""
        return not self._heard and self.task.failed(len(self._codes), self.generation.finish)

    def better_than(self, earlier: _Attempt) -> bool:
        """Whether to keep this attempt in place of a failed one."""
        ended = self.generation.finish == "stop" or not len(earlier._codes)
        return self._heard > 0 or (len(self._codes) > 0 and ended)

    def listen(self) -> Sound | None:
        """The new sound, if any; the end is kept for `rest`."""
        new = self.task.vocabulary.ids_to_codes(self.generation.tokens[self._taken :])
        self._taken = len(self.generation.tokens)
        self._codes = np.concatenate([self._codes, new])
        samples = self._decoder.push(new)
        if self.generation.finish is not None:
            self._last = np.concatenate([self._last, samples])
            return None
        return self._piece(samples) if len(samples) else None

    def rest(self) -> Sound:
        """All that is left."""
        if not len(self._codes):
            return Sound(self._codes, _NO_SAMPLES, cut=True, error=nothing_said(self.task))
        piece = self._piece(np.concatenate([self._last, self._decoder.finish()]))
        finish = self.generation.finish
        warnings = cut_off(self.task, self._codes, finish)
        return replace(piece, ends=True, cut=finish != "stop", warnings=warnings)

    def _piece(self, samples: Samples) -> Sound:
        start = self._heard
        self._heard += len(samples) // self.task.codec.hop
        phones = self.task.vocabulary.ids_to_phones(self.generation.tokens)
        return Sound(self._codes[start : self._heard], samples, ends=False, phones=phones)

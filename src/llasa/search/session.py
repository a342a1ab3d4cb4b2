"""A running search: advances, decodes and judges candidates, and counts the cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llasa.audio.audio import Audio, Samples
from llasa.codec.inputs import CONTEXT_SECONDS
from llasa.codec.protocol import CodecLike
from llasa.codec.speaker import SpeakerEmbedding
from llasa.lm.engine import Engine, Generation, generate
from llasa.lm.sampling import SamplingParams
from llasa.models.voice import Voice
from llasa.search.result import Compute, SearchResult
from llasa.search.selector import Selector
from llasa.verifiers.base import Candidate, Clock, FinishReason, Verdict
from llasa.vocabulary.vocabulary import Vocabulary

if TYPE_CHECKING:
    from llasa.codec.protocol import PhaseState

PARTIAL_CONTEXT = 1.0
"""Seconds decoded again before what is new in a partial candidate. The final sound has
`CONTEXT_SECONDS` of the voice before it and is decoded in one go."""
OVERLAP = 5
"""Frames at the end of a partial candidate that will sound better once their successors exist."""


@dataclass(frozen=True)
class Task:
    """A text to speak, with prompt, sampling rule and the parts that speak it.

    text: in words. `written`: the same as the user wrote it, in a line, for all that is shown.
    params: rule of the language model; its seed is that of the first candidate.
    voice: the one that is spoken with, None for the model's own.
    before: codes that the language model goes on from, int64 (n,): those of the voice, or none.
    longest: most codes that the caller wants; to be cut off there is not a failure.
    """

    text: str
    written: str
    prompt: Sequence[int]
    params: SamplingParams
    voice: Voice | None
    before: NDArray[np.int64]
    engine: Engine
    vocabulary: Vocabulary
    codec: CodecLike
    longest: float = math.inf

    def failed(self, codes: int, finish: str | None) -> bool:
        """Whether another try is due: no codes at all, or speech that does not end."""
        return not codes or (finish != "stop" and not self.cut(codes, finish))

    def cut(self, codes: int, finish: str | None) -> bool:
        """Whether the speech was cut off at the length that the caller asked for."""
        return finish != "stop" and codes >= self.longest - 0.5

    @property
    def token_rate(self) -> float:
        """Most tokens a second of speech takes."""
        return self.vocabulary.token_rate(self.codec.frame_rate)

    @property
    def speaker_embedding(self) -> SpeakerEmbedding | None:
        """The voice's speaker embedding."""
        return None if self.voice is None else self.voice.speaker_embedding


class _Sound(NamedTuple):
    """The audio decoded so far for a generation.

    pieces: their audio, which candidates of the same origin share.
    phase: where the sound stands at the point from which it is decoded again as it goes on.
    """

    pieces: tuple[Samples, ...]
    phase: PhaseState | None


class Session:
    """The moves of a strategy; as a context manager it releases what is still running."""

    def __init__(self, task: Task, *selectors: Selector) -> None:
        """Open the verifiers' models.

        Raises `LlasaError` where a verifier lacks its model or a recording.
        """
        self.task = task
        self._steps: list[list[Candidate]] = []
        self._clock = Clock()
        self._compute = Compute()
        self._families: dict[str, str] = {}
        self._generations: list[Generation] = []
        self._known: dict[Generation, tuple[Candidate, _Sound | None]] = {}
        self._voice_sample: Audio | None = None
        for selector in selectors:
            if task.voice is None or not len(task.voice.codes):
                selector.check_reference(_NO_RECORDING)
            for verdict in selector.load():
                self.count(verdict)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *error: object) -> None:
        self.task.engine.release(self._generations)

    def start(self, count: int) -> list[Generation]:
        """Begin with the seeds seed, seed + 1, and so on; the prompt is computed once."""
        with self._lm():
            new = self.task.engine.start([self.task.prompt] * count, self.task.params)
            self._generations += new
        return new

    def advance(self, generations: Sequence[Generation], steps: int) -> None:
        """Up to `steps` more tokens for each that has not ended."""
        before = self._codes(generations)
        with self._lm():
            self.task.engine.advance(generations, steps)
        self._compute += Compute(tokens=self._codes(generations) - before)

    def fork(self, generations: Sequence[Generation], parents: Sequence[int]) -> list[Generation]:
        """Replace generations by children, which inherit what was decoded."""
        with self._lm():
            children = self.task.engine.fork(generations, parents)
        known = [self._known.get(generation) for generation in generations]
        for generation in generations:
            self._known.pop(generation, None)
        gone = set(generations)
        self._generations = [g for g in self._generations if g not in gone] + children
        for child, parent in zip(children, parents, strict=True):
            if (inherited := known[parent]) is not None:
                self._known[child] = inherited
        return children

    def keep(self, generations: Sequence[Generation], chosen: Sequence[int]) -> list[Generation]:
        """The chosen ones by index, in this order; the others are released."""
        kept = [generations[index] for index in chosen]
        self.task.engine.release([g for g in generations if g not in kept])
        for generation in generations:
            if generation.finish == "released":
                self._known.pop(generation, None)
        return kept

    def judge(
        self, generations: Sequence[Generation], selector: Selector, wanted: int = 1
    ) -> list[Candidate]:
        """Decode and score what is new; one candidate for each generation.

        wanted: how many of the best are of interest, see `Selector.judge`.
        """
        candidates = self.candidates(generations, selector)
        for verdict in selector.judge(candidates, wanted):
            self.count(verdict)
        return candidates

    def judge_ended(self, generations: Sequence[Generation], selector: Selector) -> list[Candidate]:
        """The same for finished ones. Only some are heard, which come first.

        The others are hopeless by their tokens, or not among the `screen` most promising.
        """
        silent = [self._silent(generation) for generation in generations]
        failed = [self.task.failed(len(one.codes), one.finish) for one in silent]
        selector.leave_hopeless(silent, failed)
        hopeful = [one for one in silent if not one.reasons]
        if selector.screen is not None and len(hopeful) > selector.screen:
            selector.leave_out(hopeful)
        heard = [g for g, looked in zip(generations, silent, strict=True) if not looked.reasons]
        return [*self.judge(heard, selector), *(c for c in silent if c.reasons)]

    def step(self, candidates: Sequence[Candidate], order: Sequence[int]) -> None:
        """Record the candidates of a process step, without their sound to save memory."""
        silent = self._empty()
        self._steps.append([replace(candidates[index], audio=silent) for index in order])

    def result(self, candidates: Sequence[Candidate], selector: Selector) -> SearchResult:
        """The candidates from the best to the worst, and what it took."""
        best_first = [candidates[index] for index in selector.order(candidates)]
        compute = self._compute + Compute(**self._clock.spent())
        return SearchResult(self.task.written, best_first, self._steps, self._families, compute)

    def candidates(self, generations: Sequence[Generation], selector: Selector) -> list[Candidate]:
        """Candidates with the audio so far; decodes what is new."""
        found = [self._candidate(generation, selector) for generation in generations]
        if selector.needs("prompt"):
            prompt = self._prompt(selector)
            for candidate in found:
                candidate.prompt = prompt
        return found

    def spoke(self, generation: Generation, seconds: float) -> None:
        """Count a generation that was spoken elsewhere in so many seconds."""
        self._compute += Compute(tokens=self._codes([generation]), lm_seconds=seconds)

    def count(self, verdict: Verdict, searches: int = 1) -> None:
        """Record a verifier's cost, shared by so many searches."""
        cost = verdict.cost if searches == 1 else verdict.cost.share(searches)
        self._families[verdict.name] = verdict.family
        self._compute += Compute(verifiers={verdict.name: cost})

    def _codes(self, generations: Sequence[Generation]) -> int:
        """Number of codes among the tokens; phone tokens do not count."""
        vocabulary = self.task.vocabulary
        return sum(len(vocabulary.ids_to_codes(g.tokens)) for g in generations)

    def _candidate(self, generation: Generation, selector: Selector) -> Candidate:
        new, known = self._silent(generation), self._known.get(generation)
        ended, length = new.finish is not None, len(new.codes)
        if known and (known[0].finish, len(known[0].codes)) == (new.finish, length):
            return known[0]
        sound = None
        if length and (ended or selector.needs("audio")):
            sound = self._decode(new.codes, None if ended else known)
            new.audio = Audio(np.concatenate(sound.pieces), self.task.codec.sample_rate)
        self._known[generation] = new, sound
        return new

    def _silent(self, generation: Generation) -> Candidate:
        """A candidate of which nothing is decoded."""
        finish = _ENDS.get(generation.finish)
        return Candidate(
            self.task.text,
            self._empty(),
            self.task.vocabulary.ids_to_codes(generation.tokens),
            generation.logprob,
            finish=finish,
            frame_rate=self.task.codec.frame_rate,
            sampled=len(generation.tokens) + (finish == "stop"),
            seed=generation.params.seed,
            phones=self.task.vocabulary.ids_to_phones(generation.tokens),
        )

    def _empty(self) -> Audio:
        return Audio(np.zeros(0, np.float32), self.task.codec.sample_rate)

    def _decode(
        self, codes: NDArray[np.int64], known: tuple[Candidate, _Sound | None] | None
    ) -> _Sound:
        """All audio, or only what has been added since `known`."""
        task, hop = self.task, self.task.codec.hop
        done = 0
        kept: tuple[Samples, ...] = ()
        phase = None
        if known is not None and known[1] is not None and len(known[0].codes) > OVERLAP:
            (*pieces, last), phase = known[1]
            done = len(known[0].codes) - OVERLAP
            kept = (*pieces, last[: -OVERLAP * hop])
        before = PARTIAL_CONTEXT if done else CONTEXT_SECONDS
        whole = np.concatenate([task.before, codes])
        start = len(task.before) + done
        stop = max(start, len(whole) - OVERLAP)
        clock = Clock()
        sound, phase = task.codec.decode_part(
            whole, start, stop, phase, before, task.speaker_embedding
        )
        self._decoded(sound, clock)
        return _Sound((*kept, sound.clip(-1, 1)), phase)

    def _decoded(self, sound: Samples, clock: Clock) -> None:
        seconds, took = len(sound) / self.task.codec.sample_rate, clock.spent()["seconds"]
        self._compute += Compute(audio_seconds=seconds, codec_seconds=took)

    def _prompt(self, selector: Selector) -> Audio | None:
        """The recording to compare with: given, or the voice's, which is decoded once."""
        voice = self.task.voice
        if selector.reference is not None or voice is None:
            return selector.reference
        if self._voice_sample is None and len(voice.codes):
            clock = Clock()
            (samples,) = self.task.codec.decode([voice.codes], voice.speaker_embedding)
            self._decoded(samples, clock)
            self._voice_sample = Audio(samples.clip(-1, 1), self.task.codec.sample_rate)
        return self._voice_sample

    @contextmanager
    def _lm(self) -> Iterator[None]:
        clock = Clock()
        yield
        self._compute += Compute(lm_seconds=clock.spent()["seconds"])


def one_candidate_each(
    sessions: Sequence[Session], rules: Sequence[SamplingParams], selector: Selector
) -> list[Candidate]:
    """Speak and judge the texts of several sessions side by side; they share the cost."""
    clock, engine = Clock(), sessions[0].task.engine
    spoken = generate(engine, [session.task.prompt for session in sessions], rules)
    seconds = clock.spent()["seconds"] / len(sessions)
    candidates = []
    for session, generation in zip(sessions, spoken, strict=True):
        session.spoke(generation, seconds)
        candidates += session.candidates([generation], selector)
    for verdict in selector.judge(candidates):
        for session in sessions:
            session.count(verdict, len(sessions))
    return candidates


_NO_RECORDING = "this voice has none: choose a voice made from a recording"
_ENDS: Mapping[str | None, FinishReason] = {"stop": "stop", "length": "length"}

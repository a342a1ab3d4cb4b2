"""One search at work: takes go on, are decoded and judged, and everything is counted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llasa.audio.audio import Audio, Samples
from llasa.codec.codec import CONTEXT_SECONDS
from llasa.codec.embedding import SpeakerEmbedding
from llasa.codec.protocol import CodecLike
from llasa.lm.engine import Engine, Generation, generate
from llasa.lm.sampling import SamplingParams
from llasa.models.voice import Voice
from llasa.search.result import Compute, SearchResult, Take
from llasa.search.selector import Selector, screen
from llasa.verifiers.base import Candidate, Clock, FinishReason, Verdict
from llasa.vocabulary.vocabulary import Vocabulary

PARTIAL_CONTEXT = 1.0
"""Seconds decoded again before what is new in a partial take; the final sound has
`CONTEXT_SECONDS` of the voice before it and is decoded in one go."""
OVERLAP = 5
"""Frames at the end of a partial take that sound better once the decoder knows what follows."""


@dataclass(frozen=True)
class Task:
    """What is to be said, and what it is said with.

    text: in words. `written`: the same as the user wrote it, in a line, for all that is shown.
    params: rule of the language model; its seed is that of the first take.
    voice: the one that is spoken with, None for the model's own.
    before: codes that the language model goes on from, int64 (n,): those of the voice, or none.
    longest: codes that the caller wants at most, so that to be cut off there is no failure.
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
        """Whether so many codes that ended so are worth another try: nothing, or babble."""
        return not codes or (finish != "stop" and not self.cut(codes, finish))

    def cut(self, codes: int, finish: str | None) -> bool:
        """Whether so many codes that ended so are cut off where the caller wants it."""
        return finish != "stop" and codes >= self.longest - 0.5

    @property
    def token_rate(self) -> float:
        """Most tokens a second of speech takes."""
        return self.vocabulary.token_rate(self.codec.frame_rate)

    @property
    def timbre(self) -> SpeakerEmbedding | None:
        """That of the voice."""
        return None if self.voice is None else self.voice.timbre


class Run:
    """The moves of a strategy; as a context manager it releases what is still running."""

    def __init__(self, task: Task, *juries: Selector) -> None:
        """Open the juries' models; `LlasaError` where a verifier lacks its model or a recording."""
        self.task = task
        self.steps: list[list[Take]] = []
        self._clock = Clock()
        self._compute = Compute()
        self._families: dict[str, str] = {}
        self._generations: list[Generation] = []
        self._takes: dict[Generation, Take] = {}
        self._reference: Audio | None = None
        for jury in juries:
            if task.voice is None or not len(task.voice.codes):
                jury.check_reference("this voice has none: choose a voice made from a recording")
            for verdict in jury.load():
                self.count(verdict)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *error: object) -> None:
        self.task.engine.release(self._generations)

    def spoke(self, generation: Generation, seconds: float) -> None:
        """Count a generation that was spoken elsewhere in so many seconds."""
        self._compute += Compute(tokens=self._codes([generation]), lm_seconds=seconds)

    def start(self, count: int) -> list[Generation]:
        """Begin takes with the seeds seed, seed + 1, and so on; the prompt is computed once."""
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

    def _codes(self, generations: Sequence[Generation]) -> int:
        """What is heard of them; phones that a model names are not counted."""
        vocabulary = self.task.vocabulary
        return sum(len(vocabulary.ids_to_codes(g.tokens)) for g in generations)

    def fork(self, generations: Sequence[Generation], parents: Sequence[int]) -> list[Generation]:
        """Replace generations by children, which inherit what was decoded."""
        with self._lm():
            children = self.task.engine.fork(generations, parents)
        gone = set(generations)
        self._generations = [g for g in self._generations if g not in gone] + children
        for child, parent in zip(children, parents, strict=True):
            if (take := self._takes.get(generations[parent])) is not None:
                self._takes[child] = take
        return children

    def keep(self, generations: Sequence[Generation], places: Sequence[int]) -> list[Generation]:
        """Those at these places, in this order; the others are released."""
        kept = [generations[place] for place in places]
        self.task.engine.release([g for g in generations if g not in kept])
        return kept

    def judge(
        self, generations: Sequence[Generation], jury: Selector, places: int = 1
    ) -> list[Take]:
        """Decode what is new and let the jury score it; one take a generation.

        places: how many of the best are wanted.
        """
        takes, candidates = self.candidates(generations, jury)
        for verdict in jury.judge(takes, candidates, places):
            self.count(verdict)
        return takes

    def candidates(
        self, generations: Sequence[Generation], jury: Selector
    ) -> tuple[list[Take], list[Candidate]]:
        """Decode what is new, for the jury."""
        takes = [self._take(generation, jury) for generation in generations]
        prompt = self._prompt(jury)
        return takes, [self._candidate(take, prompt) for take in takes]

    def judge_ended(self, generations: Sequence[Generation], jury: Selector) -> list[Take]:
        """The same for whole takes, of which the jury may hear only some; these come first."""
        if jury.screen is None or len(generations) <= jury.screen:
            return self.judge(generations, jury)
        silent = [self._silent(generation) for generation in generations]
        screen([self._candidate(take) for take in silent], silent, jury)
        heard = [g for g, take in zip(generations, silent, strict=True) if not take.reasons]
        return [*self.judge(heard, jury), *(take for take in silent if take.reasons)]

    def result(self, takes: Sequence[Take], jury: Selector) -> SearchResult:
        """The takes from the best to the worst, and what it took."""
        best_first = [takes[place] for place in jury.order(takes)]
        compute = self._compute + Compute(**self._clock.spent())
        return SearchResult(self.task.written, best_first, self.steps, self._families, compute)

    def _take(self, generation: Generation, jury: Selector) -> Take:
        """What a generation has said so far."""
        earlier, take = self._takes.get(generation), self._silent(generation)
        ended, length = take.finish is not None, len(take.codes)
        if earlier is not None and (earlier.finish, len(earlier.codes)) == (take.finish, length):
            return earlier
        if length and (ended or jury.needs("audio")):
            self._decode(take, None if ended else earlier)
        self._takes[generation] = take
        return take

    def _silent(self, generation: Generation) -> Take:
        codes = self.task.vocabulary.ids_to_codes(generation.tokens)
        rate, end = self.task.codec.sample_rate, _ENDS.get(generation.finish)
        return Take(codes, (), rate, generation.logprob, end, generation.params.seed)

    def _candidate(self, take: Take, prompt: Audio | None = None) -> Candidate:
        audio = take.audio if take.pieces else None
        rate = self.task.codec.frame_rate
        return Candidate(self.task.text, audio, take.codes, take.logprob, prompt, take.finish, rate)

    def _decode(self, take: Take, earlier: Take | None) -> None:
        """All of it, or only what has come since an earlier take."""
        task, hop = self.task, self.task.codec.hop
        done = 0
        kept: tuple[Samples, ...] = ()
        anchor = None
        if earlier is not None and earlier.pieces and len(earlier.codes) > OVERLAP:
            done = len(earlier.codes) - OVERLAP
            kept = (*earlier.pieces[:-1], earlier.pieces[-1][: -OVERLAP * hop])
            anchor = earlier.anchor
        before = PARTIAL_CONTEXT if done else CONTEXT_SECONDS
        whole = np.concatenate([task.before, take.codes])
        start = len(task.before) + done
        stop = max(start, len(whole) - OVERLAP)
        clock = Clock()
        parts = (whole, start, stop, anchor, before, task.timbre)
        sound, take.anchor = task.codec.decode_part(*parts)
        self._decoded(sound, clock)
        take.pieces = (*kept, sound.clip(-1, 1))

    def _decoded(self, sound: Samples, clock: Clock) -> None:
        seconds, took = len(sound) / self.task.codec.sample_rate, clock.spent()["seconds"]
        self._compute += Compute(audio_seconds=seconds, codec_seconds=took)

    def _prompt(self, jury: Selector) -> Audio | None:
        """The recording to compare with: given, or the voice's, which is decoded once."""
        voice = self.task.voice
        if jury.reference is not None or voice is None or not jury.needs("prompt"):
            return jury.reference
        if self._reference is None and len(voice.codes):
            clock = Clock()
            samples = self.task.codec.decode_from(voice.codes, 0, timbre=voice.timbre)
            self._decoded(samples, clock)
            self._reference = Audio(samples.clip(-1, 1), self.task.codec.sample_rate)
        return self._reference

    @contextmanager
    def _lm(self) -> Iterator[None]:
        clock = Clock()
        yield
        self._compute += Compute(lm_seconds=clock.spent()["seconds"])

    def count(self, verdict: Verdict, searches: int = 1) -> None:
        """Note what a verifier took for so many searches at once."""
        cost = verdict.cost if searches == 1 else verdict.cost.share(searches)
        self._families[verdict.name] = verdict.family
        self._compute += Compute(verifiers={verdict.name: cost})


def one_take_each(
    runs: Sequence[Run], rules: Sequence[SamplingParams], jury: Selector
) -> list[Take]:
    """A whole take of each run's text, spoken and judged side by side; they share the cost."""
    clock, engine = Clock(), runs[0].task.engine
    spoken = generate(engine, [run.task.prompt for run in runs], rules)
    seconds = clock.spent()["seconds"] / len(runs)
    takes, candidates = [], []
    for run, generation in zip(runs, spoken, strict=True):
        run.spoke(generation, seconds)
        (take,), (candidate,) = run.candidates([generation], jury)
        takes.append(take)
        candidates.append(candidate)
    for verdict in jury.judge(takes, candidates):
        for run in runs:
            run.count(verdict, len(runs))
    return takes


_ENDS: Mapping[str | None, FinishReason] = {"stop": "stop", "length": "length"}

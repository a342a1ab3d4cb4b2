"""What search, synthesis and serving ask of an engine that continues token sequences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from llasa.base.errors import LlasaError
from llasa.lm.sampling import SamplingParams, mix

RUN = 4
"""Tokens that repeat together where a sequence is stuck."""
LOOP = 0.75
"""Share of repeated runs above which a sequence loops. In normal output of `nano` it stays below
0.5, and in sequences that do not end it reaches 0.9."""
LOOP_STRIDE = 8


@dataclass(eq=False)
class Generation:
    """A sequence on its way; the engine fills it in, everybody else reads it.

    ``tokens``: sampled so far, the end token not among them. ``logprob``: sum of their natural
    log-probabilities, the end token's included, under the model before temperature and
    truncation, normalised over the ids the engine may emit. ``finish``: None while it can go on,
    then ``stop`` (end token), ``length`` (``max_tokens``, a loop, or the context is full) or
    ``released``.
    """

    prompt: Sequence[int]
    params: SamplingParams
    tokens: list[int] = field(default_factory=list)
    logprob: float = 0.0
    finish: str | None = None

    @property
    def length(self) -> int:
        """Prompt and output tokens together."""
        return len(self.prompt) + len(self.tokens)

    @property
    def last(self) -> int:
        """The newest token."""
        return self.tokens[-1] if self.tokens else self.prompt[-1]

    def put(self, token: int, logprob: float, end: Sequence[int], context: int) -> None:
        """Take the next token and see whether it is the last; for engines."""
        self.logprob += logprob
        if token in end:
            self.finish = "stop"
            return
        self.tokens.append(token)
        full = len(self.tokens) >= self.params.max_tokens or self.length >= context
        if full or self.loops:
            self.finish = "length"

    @property
    def loops(self) -> bool:
        """Whether the newest tokens only repeat each other; seen every `LOOP_STRIDE` tokens."""
        window, length = self.params.loop_window, len(self.tokens)
        if not window or length < window or length % LOOP_STRIDE:
            return False
        return repeated(self.tokens[-window:]) > LOOP


def repeated(tokens: Sequence[int]) -> float:
    """Share of runs of `RUN` tokens that have occurred before among these: near 1 in a loop."""
    runs = [tuple(tokens[place : place + RUN]) for place in range(len(tokens) - RUN + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


class Engine(Protocol):
    """Continues many token sequences at once. Not thread-safe: one caller at a time."""

    @property
    def context(self) -> int:
        """Most tokens a sequence may have, prompt included."""

    def start(
        self,
        prompts: Sequence[Sequence[int]],
        params: SamplingParams | Sequence[SamplingParams],
    ) -> list[Generation]:
        """Begin one sequence a prompt; prefixes that prompts share are computed once.

        One rule for all gives them the seeds seed, seed + 1, and so on. Sequences that already
        run are not disturbed. Raises LlasaError for a prompt that is empty, holds ids outside the
        vocabulary, or fills the context.
        """

    def advance(self, generations: Sequence[Generation], steps: int = 1) -> None:
        """Append up to ``steps`` tokens to each; those that have finished are passed over.

        Finished sequences give their memory back at once. The loop of this package's own engines is
        ``SlotEngine.advance``.
        """

    def fork(
        self,
        generations: Sequence[Generation],
        parents: Sequence[int],
        seeds: Sequence[int] | None = None,
    ) -> list[Generation]:
        """Replace ``generations`` by one child for each index in ``parents``; siblings may occur.

        The given generations are released. Without ``seeds`` the first child keeps its parent's
        seed and its siblings get seeds derived from it.
        """

    def release(self, generations: Sequence[Generation]) -> None:
        """Stop these sequences and give their memory back; finished ones are left as they are."""

    def attention(
        self,
        tokens: Sequence[int],
        layer: int,
        heads: int,
        queries: Sequence[int],
        keys: Sequence[int],
    ) -> NDArray[np.float32] | None:
        """Where the first ``heads`` heads of a layer look in a sequence, known as a whole.

        (heads, queries, keys), which sums to 1 over the given keys; ``queries`` and ``keys`` are
        places in ``tokens``, and no key comes after a query. Sequences that run are not disturbed.
        None where the engine cannot see it.
        """

    def close(self) -> None:
        """End what the engine runs beside the caller's thread; no other call may follow."""


def generate(
    engine: Engine,
    prompts: Sequence[Sequence[int]],
    params: SamplingParams | Sequence[SamplingParams],
) -> list[Generation]:
    """Start and run sequences to their ends; if interrupted, they are released."""
    generations = engine.start(prompts, params)
    try:
        engine.advance(generations, engine.context)
    finally:
        engine.release(generations)
    return generations


def unfinished(generations: Sequence[Generation], own: Container[Generation]) -> list[Generation]:
    """Those that can go on, each once; LlasaError where an engine does not have them as its own."""
    active = [g for g in dict.fromkeys(generations) if g.finish is None]
    if any(g not in own for g in active):
        raise LlasaError("A sequence was started by another engine; use the one it is from.")
    return active


def offspring(
    generations: Sequence[Generation], parents: Sequence[int], seeds: Sequence[int] | None
) -> list[Generation]:
    """The children of a fork (see ``Engine.fork``), for engines; nothing is released.

    Raises LlasaError for arguments that no engine can follow.
    """
    if seeds is not None and len(seeds) != len(parents):
        raise LlasaError(f"{len(seeds)} seeds for {len(parents)} children; give one for each.")
    if any(not 0 <= parent < len(generations) for parent in parents):
        raise LlasaError(f"Parents {list(parents)} are not all 0 to {len(generations) - 1}.")
    if any(g.finish == "released" for g in generations):
        raise LlasaError("A released sequence cannot be forked; fork before releasing.")
    children: list[Generation] = []
    families: Counter[Generation] = Counter()
    for number, index in enumerate(parents):
        parent = generations[index]
        seed, siblings = parent.params.seed, families[parent]
        if seeds is not None:
            seed = seeds[number]
        elif siblings:
            seed = mix(seed, len(parent.tokens), siblings)
        params = replace(parent.params, seed=seed)
        children.append(replace(parent, params=params, tokens=list(parent.tokens)))
        families[parent] += 1
    return children


def check_prompts(prompts: Sequence[Sequence[int]], vocabulary: int, context: int) -> None:
    """Raise LlasaError for prompts that no engine can continue."""
    for prompt in prompts:
        if not 0 < len(prompt) < context:
            raise LlasaError(
                f"The prompt has {len(prompt)} tokens; this model takes 1 to {context - 1}. "
                "Shorten the text or the voice sample."
            )
        if min(prompt) < 0 or max(prompt) >= vocabulary:
            wrong = min(prompt) if min(prompt) < 0 else max(prompt)
            raise LlasaError(f"Token id {wrong} is outside this model's 0 to {vocabulary - 1}.")

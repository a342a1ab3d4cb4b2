"""What engines share that keep their sequences in the slots of one cache.

The slots in use are the first ones, and those of the sequences that advance come before the others,
so that a step works on one block of memory.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llasa.base.errors import LlasaError
from llasa.lm.drafting import Drafter, stands
from llasa.lm.engine import Generation, check_prompts, offspring, unfinished
from llasa.lm.sampling import SamplingParams, spread

_WORTH_COPYING = 16  # shorter shared prefixes are computed again


class SlotEngine(ABC):
    """Implements ``llasa.lm.engine.Engine`` on a cache, which subclasses have.

    ``allowed``: the contiguous ids that may be emitted (None: all of the vocabulary); ``end``: the
    ids that stop a sequence.
    """

    def __init__(
        self, vocabulary: int, context: int, allowed: range | None, end: Sequence[int]
    ) -> None:
        self._vocabulary, self._context = vocabulary, context
        self._allowed = range(vocabulary) if allowed is None else allowed
        self._end = tuple(end)
        inside = self._allowed.start >= 0 and self._allowed.stop <= vocabulary
        if not inside or len(self._allowed) == 0 or self._allowed.step != 1:
            raise LlasaError(f"Allowed ids {allowed} are not a range within 0 to {vocabulary - 1}.")
        if any(not 0 <= token < vocabulary for token in self._end):
            raise LlasaError(f"End ids {self._end} are not all within 0 to {vocabulary - 1}.")
        self.columns = [*self._allowed, *(t for t in self._end if t not in self._allowed)]
        """Ids that are chosen from: the allowed ones, then end ids that are not among them."""
        self.drafter: Drafter | None = None
        """Guesses several tokens ahead for a sequence that advances alone; None: nobody does."""
        self.passes = 0
        """Times that the model ran to choose tokens."""
        self.running: list[Generation] = []
        """Sequences that have not finished; the place of each is its slot in the cache."""
        self._slot: dict[Generation, int] = {}

    @property
    def context(self) -> int:
        """Most tokens a sequence may have, prompt included."""
        return self._context

    @abstractmethod
    def _reserve(self, slots: int, positions: int) -> None:
        """Make room for so many sequences of so many tokens; what is stored stays."""

    @abstractmethod
    def _copy(self, source: int, target: int, positions: int) -> None:
        """Copy the first positions of one slot to another."""

    @abstractmethod
    def _swap(self, one: int, other: int) -> None:
        """Exchange two slots."""

    @abstractmethod
    def _fill(self, tokens: Sequence[int], slot: int, known: int) -> None:
        """Store keys and values of ``tokens[known:]`` in a slot that has the ones before."""

    @abstractmethod
    def _next(
        self, active: Sequence[Generation], recent: Sequence[Sequence[int]]
    ) -> tuple[Sequence[int], Sequence[float]]:
        """Columns and log-probabilities of the next token of the sequences in the first slots.

        ``recent``: columns that the repetition penalty of each looks at.
        """

    def _state(self, g: Generation) -> Any:
        """What the model made of a sequence before its newest token, for the drafter; or None."""
        return None

    def _choices(
        self, g: Generation, draft: Sequence[int], recent: Sequence[Sequence[int]]
    ) -> tuple[Sequence[int], Sequence[float]]:
        """As `_next`, of each place of a draft and the one after it; the first slot has ``g``."""
        raise NotImplementedError

    def start(
        self,
        prompts: Sequence[Sequence[int]],
        params: SamplingParams | Sequence[SamplingParams],
    ) -> list[Generation]:
        """Begin one sequence a prompt (see ``Engine.start``)."""
        check_prompts(prompts, self._vocabulary, self.context)
        rules = spread(params, len(prompts))
        new = [Generation(tuple(p), rule) for p, rule in zip(prompts, rules, strict=True)]
        longest = max((g.length for g in new), default=0)
        self._reserve(len(self.running) + len(new), longest)
        try:
            for generation in new:
                self._prefill(generation, slot=len(self.running))
                self._take(generation)
        except BaseException:
            self.release([g for g in new if g in self._slot])
            raise
        return new

    def advance(self, generations: Sequence[Generation], steps: int = 1) -> None:
        """Append up to ``steps`` tokens to each (see ``Engine.advance``)."""
        left = dict.fromkeys(unfinished(generations, self._slot), steps)
        while active := [g for g, more in left.items() if more > 0 and g.finish is None]:
            before = {g: len(g.tokens) for g in active}
            self._step(self._to_front(active), min(left[g] for g in active))
            for g, length in before.items():
                left[g] -= len(g.tokens) - length

    def fork(
        self,
        generations: Sequence[Generation],
        parents: Sequence[int],
        seeds: Sequence[int] | None = None,
    ) -> list[Generation]:
        """Replace sequences by children (see ``Engine.fork``)."""
        children = offspring(generations, parents, seeds)
        running = set(unfinished(generations, self._slot))
        kept = {generations[parent] for parent in parents}
        self.release([g for g in generations if g not in kept])
        self._reserve(len(self.running) + len(parents) - len(kept), 1)
        eldest: dict[Generation, Generation] = {}
        for child, index in zip(children, parents, strict=True):
            parent = generations[index]
            if parent in running and parent in eldest:
                source = self._slot[eldest[parent]]
                self._copy(source, len(self.running), parent.length)
                self._take(child)
            elif parent in running:  # the first child inherits the slot
                slot = self._slot[child] = self._slot.pop(parent)
                self.running[slot] = child
            eldest.setdefault(parent, child)
        for parent in running & kept:
            parent.finish = "released"
        return children

    def release(self, generations: Sequence[Generation]) -> None:
        """Stop sequences and give their memory back (see ``Engine.release``)."""
        for generation in unfinished(generations, self._slot):
            generation.finish = "released"
            self._free(generation)

    def attention(
        self,
        tokens: Sequence[int],
        layer: int,
        heads: int,
        queries: Sequence[int],
        keys: Sequence[int],
    ) -> NDArray[np.float32] | None:
        """Where heads look (see ``Engine.attention``); unless a subclass knows, nobody does."""
        return None

    def close(self) -> None:  # noqa: B027
        """Nothing runs beside the caller."""

    def _take(self, generation: Generation) -> None:
        """Give the first free slot, already filled, to a sequence."""
        self._slot[generation] = len(self.running)
        self.running.append(generation)

    def _free(self, generation: Generation) -> None:
        """Give a slot back; the last one moves into its place, so that used slots stay dense."""
        slot = self._slot.pop(generation)
        last = self.running.pop()
        if last is not generation:
            self._copy(len(self.running), slot, last.length)
            self.running[slot] = last
            self._slot[last] = slot

    def _to_front(self, active: list[Generation]) -> list[Generation]:
        """Move sequences to the first slots; returns them in slot order."""
        count = len(active)
        if count < len(self.running):
            wanted = set(active)
            places = [i for i in range(count) if self.running[i] not in wanted]
            for generation in active:
                slot = self._slot[generation]
                if slot >= count:
                    place = places.pop()
                    self._swap(slot, place)
                    other = self.running[place]
                    self.running[place], self.running[slot] = generation, other
                    self._slot[generation], self._slot[other] = place, slot
        return self.running[:count]

    def _prefill(self, generation: Generation, slot: int) -> None:
        """Fill a slot with the prompt but its last token, which the first step takes."""
        tokens = generation.prompt[:-1]
        donor, shared = self._donor(tokens)
        if donor is not None:
            self._copy(self._slot[donor], slot, shared)
        if shared < len(tokens):
            self._fill(tokens, slot, shared)

    def _donor(self, tokens: Sequence[int]) -> tuple[Generation | None, int]:
        """The live sequence that shares the longest prefix, and how long that is."""
        best: Generation | None = None
        longest = _WORTH_COPYING - 1
        for other in self.running:
            cached = (*other.prompt, *other.tokens)[:-1]
            shared = _shared(cached, tokens)
            if shared > longest:
                best, longest = other, shared
        return best, longest if best else 0

    def _step(self, active: list[Generation], most: int) -> None:
        """One token for the sequences in the first slots; for a single one up to ``most``."""
        self.passes += 1
        if len(active) == 1 and (draft := self._draft(active[0], most - 1)):
            self._check(active[0], draft)
            return
        self._reserve(len(self.running), max(g.length for g in active))
        choice, logprob = self._next(active, [self._recent(g) for g in active])
        for g, column, value in zip(active, choice, logprob, strict=True):
            self._put(g, column, value)

    def _draft(self, g: Generation, most: int) -> Sequence[int]:
        """Tokens that may come next in a sequence, up to ``most`` and to its end."""
        most = min(most, g.params.max_tokens - len(g.tokens) - 1, self.context - g.length - 1)
        if self.drafter is None or most < 1:
            return ()
        return self.drafter.draft(g, self._state(g), most)

    def _check(self, g: Generation, draft: Sequence[int]) -> None:
        """Take the tokens that the model chooses along a draft, as far as they stand."""
        self._reserve(len(self.running), g.length + len(draft))
        recent = [self._recent(g, draft[:place]) for place in range(len(draft) + 1)]
        choice, logprob = self._choices(g, draft, recent)
        count = stands(draft, [self.columns[column] for column in choice])
        for column, value in zip(choice[:count], logprob[:count], strict=True):
            self._put(g, column, value)
            if g.finish is not None:
                return

    def _put(self, g: Generation, column: int, logprob: float) -> None:
        """Append a token to a sequence, and free its slot if it was the last."""
        g.put(self.columns[column], logprob, self._end, self.context)
        if g.finish is not None:
            self._free(g)

    def _recent(self, g: Generation, draft: Sequence[int] = ()) -> list[int]:
        """Columns of the tokens that the repetition penalty looks at after a draft."""
        if g.params.repetition_penalty == 1.0:
            return []
        window = g.params.repetition_window or g.length + len(draft)
        tail = (*g.prompt, *g.tokens, *draft)[-window:]
        return [token - self._allowed.start for token in tail if token in self._allowed]


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Length of the common prefix."""
    for place, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return place
    return min(len(one), len(other))

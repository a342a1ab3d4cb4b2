"""The default engine: any Llama checkpoint on CPU, CUDA or MPS, in plain PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llasa.lm.decoder import Decoder, Mode
from llasa.lm.engine import Generation
from llasa.lm.llama import Llama
from llasa.lm.slot_engine import SlotEngine
from llasa.lm.torch_sampling import sample


class TorchEngine(SlotEngine):
    """A ``SlotEngine`` on a `Decoder`.

    Logits are computed for ``allowed`` and ``end`` only. ``mode``: see `Decoder`.
    """

    def __init__(
        self,
        model: Llama,
        allowed: range | None = None,
        end: Sequence[int] = (),
        mode: Mode = "float32",
    ) -> None:
        config = model.config
        super().__init__(config.vocab_size, config.max_position_embeddings, allowed, end)
        whole = len(self._allowed) == config.vocab_size
        rows = None if whole else torch.tensor(self.columns)
        with torch.inference_mode():
            self.decoder = Decoder(model, rows, mode)
        self._kept: tuple[Generation, int, Tensor] | None = None
        """A sequence, how many tokens it had, and the states of the places after them."""

    @torch.inference_mode()
    def _reserve(self, slots: int, positions: int) -> None:
        self.decoder.reserve(slots, positions)

    @torch.inference_mode()
    def _copy(self, source: int, target: int, positions: int) -> None:
        self.decoder.cache.copy(source, target, positions)

    @torch.inference_mode()
    def _swap(self, one: int, other: int) -> None:
        self.decoder.cache.swap(one, other)

    @torch.inference_mode()
    def _fill(self, tokens: Sequence[int], slot: int, known: int) -> None:
        self._run(tokens[known:], slot, known)

    def _run(self, tokens: Sequence[int], slot: int, known: int) -> Tensor:
        """Hidden states (T, D) of tokens (T,) that follow the known ones of a slot."""
        decoder, last = self.decoder, known + len(tokens)
        ids = torch.tensor([tokens], device=decoder.device)
        positions = torch.arange(known, last, device=decoder.device)
        mask = None
        if known:
            keys = torch.arange(last, device=decoder.device)
            mask = self._mask(keys > positions[:, None])
        views = decoder.cache.views(slot, slot + 1, last)
        slots = torch.full_like(ids, slot)
        return decoder.hidden(ids, slots, positions[None], views, mask, causal=mask is None)

    @torch.inference_mode()
    def _next(
        self, active: Sequence[Generation], recent: Sequence[Sequence[int]]
    ) -> tuple[Sequence[int], Sequence[float]]:
        decoder = self.decoder
        lengths = [g.length for g in active]
        longest = max(lengths)
        ids = torch.tensor([[g.last] for g in active], device=decoder.device)
        slots = torch.arange(len(active), device=decoder.device)
        ends = torch.tensor(lengths, device=decoder.device)[:, None]
        mask = None
        if min(lengths) < longest:
            keys = torch.arange(longest, device=decoder.device)
            mask = self._mask(keys >= ends)[:, None, None]
        views = decoder.cache.views(0, len(active), longest)
        hidden = decoder.hidden(ids, slots, ends - 1, views, mask)
        self._keep(active, hidden)
        rules, steps = [g.params for g in active], [len(g.tokens) for g in active]
        choice, logprob = sample(decoder.logits(hidden), rules, steps, recent)
        return choice.tolist(), logprob.tolist()

    @torch.inference_mode()
    def _choices(
        self, g: Generation, draft: Sequence[int], recent: Sequence[Sequence[int]]
    ) -> tuple[Sequence[int], Sequence[float]]:
        hidden = self._run((g.last, *draft), 0, g.length - 1)
        self._keep([g], hidden)
        steps = range(len(g.tokens), len(g.tokens) + len(hidden))
        rules = [g.params] * len(hidden)
        choice, logprob = sample(self.decoder.logits(hidden), rules, steps, recent)
        return choice.tolist(), logprob.tolist()

    def _keep(self, active: Sequence[Generation], hidden: Tensor) -> None:
        """Remember the states of a sequence that advances alone, for its drafter."""
        alone = self.drafter is not None and len(active) == 1
        self._kept = (active[0], len(active[0].tokens), hidden) if alone else None

    def _state(self, g: Generation) -> Tensor | None:
        """The state (1, D) from which the newest token was chosen; None if it is not known."""
        if self._kept is None or self._kept[0] is not g:
            return None
        place = len(g.tokens) - 1 - self._kept[1]
        return self._kept[2][place : place + 1] if place >= 0 else None

    @torch.inference_mode()
    def attention(
        self,
        tokens: Sequence[int],
        layer: int,
        heads: int,
        queries: Sequence[int],
        keys: Sequence[int],
    ) -> NDArray[np.float32] | None:
        """Where heads look (see ``Engine.attention``): the layers up to this one run once more."""
        device = self.decoder.device
        ids = torch.tensor(tokens, device=device)
        asking, asked = (torch.tensor(places, device=device) for places in (queries, keys))
        seen = self.decoder.attention(ids, layer, heads, asking, asked)
        return np.asarray(seen.cpu().numpy())

    def _mask(self, hidden: Tensor) -> Tensor:
        """Scores to add: minus infinity where True."""
        return torch.zeros(
            hidden.shape, dtype=self.decoder.dtype, device=hidden.device
        ).masked_fill_(hidden, float("-inf"))

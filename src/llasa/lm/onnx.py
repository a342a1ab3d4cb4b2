"""The engine without PyTorch: a language model that ``llasa export onnx`` wrote, in onnxruntime."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llasa.base.packages import onnx
from llasa.lm.config import read_config
from llasa.lm.engine import Generation
from llasa.lm.numpy_sampling import sample_row
from llasa.lm.slot_engine import SlotEngine

MODEL = "model.onnx"
QUERIES = "queries"
"""Output with the queries of a layer; its number follows."""
_BLOCK = 256  # the cache grows by so many positions


class OnnxEngine(SlotEngine):
    """A ``SlotEngine`` on ``lm/model.onnx``; see ``LlamaGraph`` for what goes in and out.

    Greedy sequences are those of ``TorchEngine``; others have the same random numbers, and differ
    only where rounding decides.
    """

    def __init__(
        self,
        folder: Path,
        allowed: range | None = None,
        end: Sequence[int] = (),
        threads: int = 1,
    ) -> None:
        config = read_config(folder)
        super().__init__(config.vocab_size, config.max_position_embeddings, allowed, end)
        self._picked = np.array(self.columns)
        self._session = onnx(folder / MODEL, threads)
        layers = range(config.num_hidden_layers)
        self._names = [f"past.{layer}.{kind}" for layer in layers for kind in ("key", "value")]
        shape = (0, config.num_key_value_heads, 0, config.head_dim)
        self._cache = [np.zeros(shape, np.float32) for _ in self._names]
        self._logits, *made = (output.name for output in self._session.get_outputs())
        self._made = made[: len(self._names)]  # keys and values, as in `_names`
        self._asked = made[len(self._names) :]

    def _reserve(self, slots: int, positions: int) -> None:
        old = self._cache[0].shape
        if slots <= old[0] and positions <= old[2]:
            return
        slots = max(old[0], 1 << (slots - 1).bit_length())
        positions = max(old[2], math.ceil(positions / _BLOCK) * _BLOCK)
        for number, before in enumerate(self._cache):
            # Zeros, not garbage: masked positions are multiplied by 0 and must not be NaN.
            grown = np.zeros((slots, old[1], positions, old[3]), np.float32)
            grown[: old[0], :, : old[2]] = before
            self._cache[number] = grown

    def _copy(self, source: int, target: int, positions: int) -> None:
        for cache in self._cache:
            cache[target, :, :positions] = cache[source, :, :positions]

    def _swap(self, one: int, other: int) -> None:
        for cache in self._cache:
            cache[[one, other]] = cache[[other, one]]

    def _fill(self, tokens: Sequence[int], slot: int, known: int) -> None:
        self._run(np.array([tokens[known:]], np.int64), np.array([known]), slot)

    def _next(
        self, active: Sequence[Generation], recent: Sequence[Sequence[int]]
    ) -> tuple[Sequence[int], Sequence[float]]:
        ids = np.array([[g.last] for g in active], np.int64)
        logits = self._run(ids, np.array([g.length - 1 for g in active]), 0)
        if len(self.columns) < logits.shape[1]:
            logits = logits[:, self._picked]
        chosen = [
            sample_row(row, g.params, len(g.tokens), columns)
            for row, g, columns in zip(logits, active, recent, strict=True)
        ]
        columns, logprobs = zip(*chosen, strict=True)
        return columns, logprobs

    def _run(
        self, ids: NDArray[np.int64], lengths: NDArray[np.int64], first: int
    ) -> NDArray[np.float32]:
        """Logits of the last of the tokens (B, T) in slots from ``first`` on; fills the cache."""
        batch, count = ids.shape
        slots = slice(first, first + batch)
        past = {name: c[slots] for name, c in zip(self._names, self._cache, strict=True)}
        outputs = [self._logits, *self._made]
        logits, *made = self._session.run(outputs, {"ids": ids, "lengths": lengths, **past})
        for cache, new in zip(self._cache, made, strict=True):
            for row, length in enumerate(lengths):
                cache[first + row, :, length : length + count] = new[row]
        found: NDArray[np.float32] = logits
        return found

    def attention(
        self,
        tokens: Sequence[int],
        layer: int,
        heads: int,
        queries: Sequence[int],
        keys: Sequence[int],
    ) -> NDArray[np.float32] | None:
        """Where heads look (see ``Engine.attention``), if the export has the layer's queries."""
        name = f"{QUERIES}.{layer}"
        if name not in self._asked:
            return None
        one = np.zeros((1, *self._cache[0].shape[1:2], 1, self._cache[0].shape[3]), np.float32)
        feeds = {"ids": np.array([tokens], np.int64), "lengths": np.array([0])}
        outputs = [name, self._made[2 * layer]]
        q, k = self._session.run(outputs, feeds | dict.fromkeys(self._names, one))
        shares = q.shape[1] // k.shape[1]
        k = k[0].repeat(shares, 0)[:heads, list(keys)]
        scores = q[0, :heads][:, list(queries)] @ k.transpose(0, 2, 1)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        return np.asarray(weights / weights.sum(-1, keepdims=True), np.float32)

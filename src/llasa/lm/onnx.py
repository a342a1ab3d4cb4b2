"""The engine without PyTorch: a language model that ``llasa export onnx`` wrote, in onnxruntime."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from llasa.base.errors import LlasaError
from llasa.base.packages import onnx
from llasa.lm.config import read_config
from llasa.lm.engine import Generation
from llasa.lm.numpy_sampling import sample_row
from llasa.lm.slot_engine import SlotEngine

MODEL = "model.onnx"
INTERFACE = 2
"""Changes when inputs or outputs of the graph do, and is part of the names of kept exports."""
QUERIES = "queries"
"""Output with the queries of a layer; its number follows."""
_BLOCK = 256  # the cache grows by so many positions


class _Step:
    """A run of the session on arrays that stay where they are, with past and present in one."""

    def __init__(
        self, session: Any, cache: Mapping[str, NDArray[np.float32]], tokens: int, vocabulary: int
    ) -> None:
        """`cache`: keys and values (B, heads, places, size) of each layer, kept by the caller."""
        batch = len(next(iter(cache.values())))
        self.ids = np.zeros((batch, tokens), np.int64)
        self.lengths = np.zeros(batch, np.int64)
        self.logits = np.zeros((batch, vocabulary), np.float32)
        self._session, self._binding = session, session.io_binding()
        given = {"ids": self.ids, "lengths": self.lengths}
        for name, array in (given | {f"past.{name}": part for name, part in cache.items()}).items():
            self._binding.bind_input(*_place(name, array))
        made = {"logits": self.logits} | {f"present.{name}": part for name, part in cache.items()}
        for name, array in made.items():
            self._binding.bind_output(*_place(name, array))

    def run(self, ids: ArrayLike, lengths: ArrayLike) -> NDArray[np.float32]:
        """Logits (B, vocabulary), which the next run overwrites."""
        self.ids[:], self.lengths[:] = ids, lengths
        self._session.run_with_iobinding(self._binding)
        return self.logits


def _place(name: str, array: NDArray[Any]) -> tuple[Any, ...]:
    """What onnxruntime is told of an array."""
    return name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data


class OnnxEngine(SlotEngine):
    """A ``SlotEngine`` on ``lm/model.onnx``; see ``llama_graph`` for what goes in and out.

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
        shape = (0, config.num_key_value_heads, 0, config.head_dim)
        self._cache = {
            f"{layer}.{kind}": np.zeros(shape, np.float32)
            for layer in range(config.num_hidden_layers)
            for kind in ("key", "value")
        }
        self._outputs = {output.name for output in self._session.get_outputs()}
        if not all(f"present.{name}" in self._outputs for name in self._cache):
            raise LlasaError(
                f"{folder / MODEL} was written by another version of llasa: run "
                "'llasa export onnx' again."
            )
        self._latest: _Step | None = None
        """The step for one token of each sequence, as long as the cache and their number stay."""

    def _reserve(self, slots: int, positions: int) -> None:
        old = self._cache["0.key"].shape
        if slots <= old[0] and positions <= old[2]:
            return
        slots = max(old[0], 1 << (slots - 1).bit_length())
        positions = max(old[2], math.ceil(positions / _BLOCK) * _BLOCK)
        wider = (slots, old[1], positions, old[3])
        grown = {name: np.zeros(wider, np.float32) for name in self._cache}
        for name, before in self._cache.items():
            grown[name][: old[0], :, : old[2]] = before
        self._cache, self._latest = grown, None

    def _copy(self, source: int, target: int, positions: int) -> None:
        for cache in self._cache.values():
            cache[target, :, :positions] = cache[source, :, :positions]

    def _swap(self, one: int, other: int) -> None:
        for cache in self._cache.values():
            cache[[one, other]] = cache[[other, one]]

    def _bound(self, first: int, count: int, tokens: int) -> _Step:
        """A step for so many tokens of so many sequences, in slots from ``first`` on."""
        slots = {name: part[first : first + count] for name, part in self._cache.items()}
        return _Step(self._session, slots, tokens, self._vocabulary)

    def _fill(self, tokens: Sequence[int], slot: int, known: int) -> None:
        self._bound(slot, 1, len(tokens) - known).run([tokens[known:]], [known])

    def _next(
        self, active: Sequence[Generation], recent: Sequence[Sequence[int]]
    ) -> tuple[Sequence[int], Sequence[float]]:
        step = self._latest
        if step is None or len(step.ids) != len(active):
            step = self._latest = self._bound(0, len(active), 1)
        logits = step.run([[g.last] for g in active], [g.length - 1 for g in active])
        if len(self.columns) < logits.shape[1]:
            logits = logits[:, self._picked]
        chosen = [
            sample_row(row, g.params, len(g.tokens), columns)
            for row, g, columns in zip(logits, active, recent, strict=True)
        ]
        columns, logprobs = zip(*chosen, strict=True)
        return columns, logprobs

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
        if name not in self._outputs:
            return None
        feeds = {"ids": np.array([tokens], np.int64), "lengths": np.array([0])}
        shape = self._cache["0.key"].shape
        nothing = np.zeros((1, shape[1], 0, shape[3]), np.float32)
        past = dict.fromkeys((f"past.{name}" for name in self._cache), nothing)
        q, k = self._session.run([name, f"present.{layer}.key"], feeds | past)
        shares = q.shape[1] // k.shape[1]
        k = k[0].repeat(shares, 0)[:heads, list(keys)]
        scores = q[0, :heads][:, list(queries)] @ k.transpose(0, 2, 1)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        return np.asarray(weights / weights.sum(-1, keepdims=True), np.float32)

"""What verifiers with a model share: opening it when it is needed, and running it on clips."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from llasa.audio.audio import Samples
from llasa.base.devices import find_device, multiplies_bfloat16
from llasa.base.hub import find_checkpoint
from llasa.base.packages import package_file
from llasa.verifiers.weights import Embeddings, unit

if TYPE_CHECKING:
    import torch

S = TypeVar("S")
T = TypeVar("T")
BATCH = 16
"""Clips that go through a model together."""


class LazyModel:
    """A model that is opened when it is first used; `source` stands in for a package's weights.

    `device`: see `find_device`.
    """

    def __init__(self, source: str | Path | None = None, device: str | None = "cpu") -> None:
        self.source, self._wanted = source, device

    @cached_property
    def device(self) -> str:
        """Where it runs; `LlasaError` for a device that cannot be used."""
        return str(find_device(self._wanted))

    @cached_property
    def model(self) -> Any:
        raise NotImplementedError

    def load(self) -> None:
        """Open the model; `LlasaError` where it is missing or damaged."""
        _ = self.model

    def weights(self, package: str, path: str) -> Path:
        """A file of weights: the package's, or `source` (a file, a folder or a hub id)."""
        return package_file(package, path) if self.source is None else find_checkpoint(self.source)


class ClipEmbedder(LazyModel):
    """Embeds clips of equal length together, as `_run` says. Named after its kind and `source`."""

    kind: str

    def __init__(self, source: str | Path, device: str | None = None) -> None:
        super().__init__(source, device)
        self.name = f"{self.kind}:{source}"

    def embed(self, clips: Sequence[Samples]) -> Embeddings:
        """Unit vectors (n, size)."""
        return unit(in_groups(clips, len, self._run))

    def _run(self, clips: Sequence[Samples]) -> Embeddings:
        raise NotImplementedError


def stacked_clips(clips: Sequence[Samples], normalize: bool) -> NDArray[np.float64]:
    """Clips of equal length as one batch (n, samples), if wanted each of mean 0 and variance 1."""
    audio = np.stack(clips).astype(np.float64)
    if normalize:
        audio -= audio.mean(1, keepdims=True)
        audio /= np.sqrt(audio.var(1, keepdims=True) + 1e-7)
    return audio


def product_dtype(device: str) -> torch.dtype:
    """What to round factors to: bfloat16 on CPUs that multiply it faster, else float32.

    It depends on the machine only, so that equal clips always get equal scores there.
    """
    import torch

    fast = device == "cpu" and multiplies_bfloat16(device)
    return torch.bfloat16 if fast else torch.float32


def in_groups(
    clips: Sequence[Samples],
    key: Callable[[Samples], Hashable],
    run: Callable[[list[Samples]], Iterable[T]],
) -> list[T]:
    """Run a model on groups of at most `BATCH` clips that share a key; one result a clip."""
    groups: dict[Hashable, list[int]] = {}
    for index, clip in enumerate(clips):
        groups.setdefault(key(clip), []).append(index)
    batches = [
        group[start : start + BATCH]
        for group in groups.values()
        for start in range(0, len(group), BATCH)
    ]
    results = side_by_side(lambda some: list(run([clips[index] for index in some])), batches)
    found: dict[int, T] = {}
    for some, result in zip(batches, results, strict=True):
        found.update(zip(some, result, strict=True))
    return [found[index] for index in range(len(clips))]


def side_by_side(run: Callable[[S], T], jobs: Sequence[S]) -> list[T]:
    """The results of `run` for all jobs, in as many threads as torch uses, one job in each.

    Networks of many small layers gain next to nothing from several threads in a layer.
    """
    import torch

    threads = torch.get_num_threads()
    if min(threads, len(jobs)) <= 1:
        return [run(job) for job in jobs]

    def run_alone(job: S) -> T:
        torch.get_num_threads()  # the first call in a thread sets the number
        torch.set_num_threads(1)
        return run(job)

    try:
        with ThreadPoolExecutor(threads, "llasa-verify") as pool:
            return list(pool.map(run_alone, jobs))
    finally:
        torch.set_num_threads(threads)  # it is also what new threads of others begin with


def means(values: NDArray[Any], parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Each clip's mean of `values`, of which it has as many as its part has windows."""
    ends = np.cumsum([len(part) for part in parts])[:-1]
    return np.stack([part.mean(0) for part in np.split(values, ends)])

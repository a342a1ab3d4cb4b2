"""Train the language model for a number of seconds; batches come from several processes."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from timed import Timed
from torch.utils.data import DataLoader, Dataset

from llasa.base.errors import LlasaError
from llasa.lm.checkpoint import load_llama, save_llama
from llasa.lm.llama import Llama
from llasa.training.lm.batch import Batch
from llasa.training.lm.data import LMBatches
from llasa.training.lm.settings import LMTraining
from llasa.training.lm.trainer import LMTrainer
from llasa.vocabulary.vocabulary import Vocabulary

Arrays = tuple[NDArray[Any], ...]


class Steps(Dataset[list[Arrays]]):
    """The batches of each step, built in whatever process asks."""

    def __init__(self, batches: LMBatches, parts: int) -> None:
        self.batches, self.parts = batches, parts

    def __getitem__(self, step: int) -> list[Arrays]:
        built = [self.batches.batch(step * self.parts + part) for part in range(self.parts)]
        # Arrays, as tensors would need more shared memory than a small machine may have.
        return [tuple(t.numpy() for t in batch if t is not None) for batch in built]


def flops(llama: Llama, tokens: int, length: int) -> float:
    """Floating-point operations of forward and backward over rows of this length.

    Six for every weight a token meets, and those of causal attention.
    """
    config = llama.config
    weights = sum(p.numel() for p in llama.parameters())
    attention = config.num_hidden_layers * config.num_attention_heads * config.head_dim
    return 6.0 * tokens * (weights + attention * length)


class TimedLM(Timed[list[Batch]], LMTrainer):
    """``peak`` is what the device can do in floating-point operations a second."""

    def __init__(self, settings: LMTraining, processes: int, peak: float) -> None:
        if settings.data.layout != "bucket" or settings.data.released:
            raise LlasaError("This recipe needs data.layout=bucket and data.released=false.")
        self.peak, self.processes = peak, processes
        super().__init__(settings)
        weights = sum(p.numel() for p in self.llama.parameters())
        rows, codes = len(self.data.lengths), int(self.data.lengths.sum())
        print(
            f"{weights / 1e6:.1f} M parameters, {rows:,} rows with {codes:,} codes, from step "
            f"{self.finished}",
            flush=True,
        )

    def batches(self) -> Generator[list[Batch], None, None]:
        if not self.processes:
            yield from super().batches()
            return
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        loader = DataLoader(
            Steps(self.data, self.settings.optimizer.accumulate),
            batch_size=None,
            sampler=range(self.finished, self.settings.run.steps),
            num_workers=self.processes,
            prefetch_factor=4,
            collate_fn=list,
            multiprocessing_context="fork",  # nothing in a batch touches the device
        )
        for arrays in loader:
            yield [Batch._make([*map(torch.from_numpy, part), None]) for part in arrays]

    def facts(self, batch: list[Batch]) -> dict[str, float]:
        tokens = [int((part.row >= 0).sum()) for part in batch]
        lengths = [part.ids.shape[1] for part in batch]
        done = sum(flops(self.llama, n, t) for n, t in zip(tokens, lengths, strict=True))
        return {"tokens/s": float(sum(tokens)), "MFU": done / self.peak}

    def write_home(self, checkpoint: Path, folder: Path) -> None:
        save_llama(load_llama(checkpoint), folder, half=True)
        Vocabulary.load(checkpoint).save(folder)


def measured_peak(device: torch.device) -> float:
    """Floating-point operations a second of a large bfloat16 matrix product here."""
    size, repeats = (8192, 10) if device.type == "cuda" else (256, 1)
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = 0.0
    for _ in range(2):  # the first time warms up
        began = time.perf_counter()
        for _ in range(repeats):
            c = a @ b
        c[0, 0].item()  # waits
        seconds = time.perf_counter() - began
    return 2.0 * size**3 * repeats / seconds

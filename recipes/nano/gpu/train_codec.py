"""Train the codec for a number of seconds, with all audio on the device.

Adversarial training begins after a share of the time and at a lower rate. Whatever the
synthesiser adds to the pools meanwhile joins in.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pool import RATE, Pool, pools
from timed import NEVER, Plan, Timed
from torch import Tensor

from llasa.codec.codec import Codec
from llasa.errors import LlasaError
from llasa.training.audio_data import Segment
from llasa.training.codec import CodecTrainer
from llasa.training.codec_settings import CodecTraining
from llasa.vocabulary import IGNORE

SHARES = {"hibari": 0.5, "kokoro": 0.35, "real": 0.15}
"""How often a segment is of a group of pools, by the beginning of its name."""
REFRESH = 40.0
"""Seconds between looks at the pools."""
PATIENCE = 60
"""Seconds to wait for the first audio."""
GAN_RATE = 2e-4
"""Peak learning rate once the discriminators play."""


class ResidentAudio:
    """All pools on the device, as 16-bit samples and the phone of each; a batch is one gather."""

    def __init__(
        self, folder: Path, length: int, hop: int, phones: Sequence[str], device: torch.device
    ) -> None:
        self.folder, self.length, self.device = folder, length, device
        self._middles = torch.arange(hop // 2, length, hop, device=device)
        self._numbers = {symbol: number for number, symbol in enumerate(phones)}
        self._taken: dict[str, int] = {}
        self._chunks: dict[str, list[Segment]] = {name: [] for name in SHARES}
        self.refresh()
        for _ in range(PATIENCE):
            if self.hours > 0.0:
                return
            time.sleep(1.0)  # the synthesiser has only just begun
            self.refresh()
        raise LlasaError(f"there is no audio in {folder}, and none has come in {PATIENCE} seconds")

    @property
    def hours(self) -> float:
        """Audio on the device."""
        chunks = (chunk for chunks in self._chunks.values() for chunk in chunks)
        return sum(len(chunk.samples) for chunk in chunks) / 3600 / RATE

    def refresh(self) -> None:
        """Take over what has come since the last look."""
        fresh: dict[str, list[tuple[Any, Any]]] = {name: [] for name in SHARES}
        for pool in pools(self.folder):
            group = next((name for name in SHARES if pool.name.startswith(name)), None)
            if group is None:
                continue
            samples, taken = pool.samples(), self._taken.get(pool.name, 0)
            fresh[group].append((samples[taken:], self._heard(pool, taken, len(samples))))
            self._taken[pool.name] = len(samples)
        for group, parts in fresh.items():
            if sum(len(samples) for samples, _ in parts) > self.length:
                joined = (np.concatenate(part) for part in zip(*parts, strict=True))
                chunk = Segment(*(torch.from_numpy(part).to(self.device) for part in joined))
                self._chunks[group].append(chunk)
        self._looked = time.monotonic()

    def _heard(self, pool: Pool, first: int, last: int) -> NDArray[np.int8]:
        """Number of the phone at each of these samples of a pool, -1 where it is not known."""
        heard = np.full(last - first, -1, np.int8)
        for clip in pool.clips():
            if first <= clip.start < last:
                ends = [clip.start - first + round(end * RATE) for _, end in clip.phones]
                begin = clip.start - first
                for (symbol, _), end in zip(clip.phones, ends, strict=True):
                    heard[begin:end] = self._numbers.get(symbol, -1)
                    begin = end
        return heard

    def batch(self, seed: tuple[int, ...], rows: int) -> Segment:
        """Segments in [-1, 1] that run on into the next clip of their pool."""
        if time.monotonic() - self._looked > REFRESH:
            self.refresh()
        rng = np.random.default_rng(seed)
        groups = [name for name, chunks in self._chunks.items() if chunks]
        weights = np.array([SHARES[name] for name in groups])
        picked, heard = [], []
        for group in rng.choice(len(groups), rows, p=weights / weights.sum()):
            chunks = self._chunks[groups[group]]
            sizes = np.array([len(chunk.samples) - self.length for chunk in chunks])
            chunk = int(rng.choice(len(chunks), p=sizes / sizes.sum()))
            start = int(rng.integers(sizes[chunk]))
            picked.append(chunks[chunk].samples[start : start + self.length])
            heard.append(chunks[chunk].phones[start + self._middles])
        phones = torch.stack(heard).long()
        return Segment(torch.stack(picked).float() / 32768, phones.where(phones >= 0, IGNORE))


class TimedCodec(Timed, CodecTrainer):
    """``adversarial_at`` is the moment at which the discriminators join."""

    def __init__(self, settings: CodecTraining, audio: Path, adversarial_at: float) -> None:
        self.adversarial_at = adversarial_at
        settings.loss.adversarial_from = NEVER
        super().__init__(settings)
        phones = settings.data.phones
        self.audio = ResidentAudio(audio, self.data.length, self.data.hop, phones, self.device)
        print(f"{self.audio.hours:.1f} h of audio, from step {self.finished}", flush=True)

    def _batch(self, step: int) -> Segment:
        return self.audio.batch((self.settings.run.seed, step), self.settings.data.batch)

    def _step(self, batch: Segment) -> dict[str, Any]:
        loss = self.settings.loss
        if loss.adversarial_from == NEVER and time.monotonic() >= self.adversarial_at:
            loss.adversarial_from = self.finished
            self.settings.optimizer.rate = min(GAN_RATE, self.settings.optimizer.rate)
            print(f"discriminators join; {self.audio.hours:.1f} h of audio", flush=True)
        return super()._step(batch)

    def facts(self, batch: Segment) -> dict[str, float]:
        return {"audio seconds/s": batch.samples.numel() / RATE}

    def write_home(self, checkpoint: Path, folder: Path) -> None:
        Codec.load(checkpoint, "cpu").save(folder, half=True)


def train(
    settings: CodecTraining,
    audio: Path,
    plan: Plan,
    adversarial_at: float,
    critic: dict[str, Tensor] | None,
) -> None:
    """Train until ``plan.end``.

    ``adversarial_at`` is a moment of ``time.monotonic()``; ``critic`` are weights of discriminators
    to go on with.
    """
    torch.backends.cudnn.benchmark = True  # all batches have one shape
    torch.set_float32_matmul_precision("high")
    trainer = TimedCodec(settings, audio, adversarial_at)
    if critic is not None and trainer.finished == 0:
        trainer.discriminators.load_state_dict(critic)
    trainer.train_until(plan)

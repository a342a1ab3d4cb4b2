"""Train the codec for a number of seconds, with all audio on the device.

Adversarial training begins after a share of the time and at a lower rate. Whatever the
synthesiser adds to the pools meanwhile joins in.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pool import PERIOD, RATE, Clip, pools
from timed import NEVER, Plan, Timed
from torch import Tensor

from llasa.audio.audio import INT16_SCALE
from llasa.base.errors import LlasaError
from llasa.codec.codec import Codec
from llasa.codec.heads.harmonic import Pitch
from llasa.training.auxiliary.pitch import UNVOICED
from llasa.training.codec.data import REFERENCE, Reference, Segment
from llasa.training.codec.settings import CodecTraining
from llasa.training.codec.trainer import CodecTrainer
from llasa.training.log import Values
from llasa.vocabulary.rows import IGNORE

SHARES = {"hibari": 0.5, "kokoro": 0.35, "real": 0.15}
"""How often a segment is of a group of pools, by the beginning of its name."""
REFRESH = 40.0
"""Seconds between looks at the pools."""
PATIENCE = 60
"""Seconds to wait for the first audio."""
GAN_RATE = 2e-4
"""Peak learning rate once the discriminators play."""


class Chunk(NamedTuple):
    """Speech of one speaker, on the device."""

    samples: Tensor
    """(samples,), 16-bit."""
    phones: Tensor
    """(samples,), the number of each one's phone, -1 where it is not known."""
    hertz: Tensor
    voiced: Tensor
    """(samples / `PERIOD`,); nothing where pitch was not asked for."""
    log_f0: float
    """Logarithm of the Hertz at which they speak."""


class ResidentAudio:
    """All pools on the device; a batch is one gather.

    Segments are of one speaker. With `pitch` only pools whose pitch is known take part, and it
    comes with the segments; with `references` so do other stretches of the speakers.
    """

    def __init__(
        self,
        folder: Path,
        length: int,
        hop: int,
        phones: Sequence[str],
        device: torch.device,
        pitch: bool = False,
        references: bool = False,
    ) -> None:
        self.folder, self.length, self.device = folder, length, device
        self.pitch, self.references = pitch, references
        self.least = max(length, round(REFERENCE * RATE) if references else 0) + PERIOD
        self._middles = torch.arange(hop // 2, length, hop, device=device)
        self._numbers = {symbol: number for number, symbol in enumerate(phones)}
        self._taken: dict[str, int] = {}
        self._waiting: dict[tuple[str, str], list[tuple[NDArray[Any], ...]]] = defaultdict(list)
        self._chunks: dict[str, list[Chunk]] = {name: [] for name in SHARES}
        self.refresh()
        for _ in range(PATIENCE):
            if self.hours > 0.0:
                return
            time.sleep(1.0)  # the synthesiser has only just begun
            self.refresh()
        raise LlasaError(f"No audio is in {folder}, and none has come in {PATIENCE} seconds.")

    @property
    def hours(self) -> float:
        """Audio on the device."""
        chunks = (chunk for chunks in self._chunks.values() for chunk in chunks)
        return sum(len(chunk.samples) for chunk in chunks) / 3600 / RATE

    def refresh(self) -> None:
        """Take over what has come since the last look, by speaker."""
        for pool in pools(self.folder):
            group = next((name for name in SHARES if pool.name.startswith(name)), None)
            if group is None:
                continue
            clips = pool.clips()  # read once and first: files grow meanwhile
            pitches = pool.pitches(clips) if self.pitch else None
            if self.pitch and pitches is None:
                continue
            samples, at = pool.samples(clips), 0
            for number, clip in enumerate(clips):
                periods = clip.samples // PERIOD
                if number >= self._taken.get(pool.name, 0):
                    self._taken[pool.name] = number + 1
                    whole = samples[clip.start : clip.start + periods * PERIOD]
                    heard = self._heard(clip, len(whole))
                    f0 = np.zeros((0, 2)) if pitches is None else pitches[at : at + periods]
                    speaker = clip.speaker or f"{pool.name} {number}"
                    self._waiting[group, speaker].append((whole, heard, f0))
                at += periods
        for (group, speaker), parts in list(self._waiting.items()):
            if sum(len(part[0]) for part in parts) >= self.least:
                joined = [np.concatenate(some) for some in zip(*parts, strict=True)]
                self._chunks[group].append(self._chunk(*joined))
                del self._waiting[group, speaker]
        self._looked = time.monotonic()

    def _chunk(
        self, samples: NDArray[np.int16], heard: NDArray[np.int8], f0: NDArray[Any]
    ) -> Chunk:
        hertz, voiced = f0.astype(np.float32).T
        spoken = hertz[voiced >= 0.5]
        log_f0 = float(np.log(np.median(spoken) if len(spoken) else UNVOICED))
        arrays = (samples, heard, hertz.copy(), voiced.copy())
        tensors = [torch.from_numpy(part).to(self.device) for part in arrays]
        return Chunk._make([*tensors, log_f0])

    def _heard(self, clip: Clip, count: int) -> NDArray[np.int8]:
        """Number of the phone at each of so many samples of a clip, -1 where it is not known."""
        heard, begin = np.full(count, -1, np.int8), 0
        for symbol, seconds in clip.phones:
            end = round(seconds * RATE)
            heard[begin:end] = self._numbers.get(symbol, -1)
            begin = end
        return heard

    def batch(self, seed: tuple[int, ...], rows: int) -> Segment:
        """Segments in [-1, 1] that run on into another clip of their speaker."""
        if time.monotonic() - self._looked > REFRESH:
            self.refresh()
        rng = np.random.default_rng(seed)
        groups = [name for name, chunks in self._chunks.items() if chunks]
        weights = np.array([SHARES[name] for name in groups])
        found: list[tuple[Tensor, ...]] = []
        for group in rng.choice(len(groups), rows, p=weights / weights.sum()):
            chunks = self._chunks[groups[group]]
            sizes = np.array([len(chunk.samples) - self.length for chunk in chunks])
            chunk = chunks[int(rng.choice(len(chunks), p=sizes / sizes.sum()))]
            found.append(self._segment(chunk, rng))
        samples, phones, hertz, voiced, reference, log_f0 = map(
            torch.stack, zip(*found, strict=True)
        )
        phones = phones.long()
        return Segment(
            samples.float() / INT16_SCALE,
            phones.where(phones >= 0, IGNORE),
            Pitch(hertz, voiced) if self.pitch else None,
            None,
            Reference(reference.float() / INT16_SCALE, log_f0) if self.references else None,
        )

    def _segment(self, chunk: Chunk, rng: np.random.Generator) -> tuple[Tensor, ...]:
        start = PERIOD * int(rng.integers((len(chunk.samples) - self.length) // PERIOD + 1))
        short = slice(start // PERIOD, (start + self.length) // PERIOD)
        heard = round(REFERENCE * RATE) if self.references else 0
        other = int(rng.integers(len(chunk.samples) - heard + 1))
        return (
            chunk.samples[start : start + self.length],
            chunk.phones[start + self._middles],
            chunk.hertz[short],
            chunk.voiced[short],
            chunk.samples[other : other + heard],
            torch.tensor(chunk.log_f0, device=self.device),
        )


class TimedCodec(Timed[Segment], CodecTrainer):
    """``adversarial_at`` is the moment at which the discriminators join."""

    def __init__(self, settings: CodecTraining, audio: Path, adversarial_at: float) -> None:
        self.adversarial_at = adversarial_at
        settings.loss.adversarial_from = NEVER
        super().__init__(settings)
        config, data = self.model.config, self.data
        if config.output_rate != RATE:
            raise LlasaError(
                f"The pools hold audio at {RATE} Hz: leave codec.output_rate at that, "
                f"not {config.output_rate}."
            )
        asked = (config.decoder_head == "harmonic", config.speaker_size > 0)
        place = (settings.data.phones, self.device)
        self.audio = ResidentAudio(audio, data.length, data.hop, *place, *asked)
        print(f"{self.audio.hours:.1f} h of audio, from step {self.finished}", flush=True)

    def batch(self, step: int) -> Segment:
        return self.audio.batch((self.settings.run.seed, step), self.settings.data.batch)

    def step(self, batch: Segment) -> Values:
        loss = self.settings.loss
        if loss.adversarial_from == NEVER and time.monotonic() >= self.adversarial_at:
            loss.adversarial_from = self.finished
            self.settings.optimizer.rate = min(GAN_RATE, self.settings.optimizer.rate)
            print(f"discriminators join; {self.audio.hours:.1f} h of audio", flush=True)
        return super().step(batch)

    def facts(self, batch: Segment) -> dict[str, float]:
        return {"audio seconds/s": batch.samples.numel() / RATE}

    def write_home(self, checkpoint: Path, folder: Path) -> None:
        Codec.load(checkpoint, "cpu").save(folder, half=True)


def train(settings: CodecTraining, audio: Path, plan: Plan, adversarial_at: float) -> None:
    """Train until ``plan.end``; ``adversarial_at`` is a moment of ``time.monotonic()``."""
    torch.backends.cudnn.benchmark = True  # all batches have one shape
    torch.set_float32_matmul_precision("high")
    trainer = TimedCodec(settings, audio, adversarial_at)
    trainer.train_until(plan)

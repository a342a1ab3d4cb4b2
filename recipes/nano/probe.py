"""What a codec's codes say, and how well they can be foretold: three numbers to choose codecs by.

    python probe.py CODEC MANIFEST [--hours 1] [--steps 700]

MANIFEST has `phones`; its last tenth judges. Prints, for the codes and for mel filter banks as what
can be reached, how many phones a small local network names wrongly (PER, and nats a frame); for
the codes also the nats a code that a small network needs which knows the codes before and the
phones around (what is left to guess for a language model that reads perfectly), and the bits used.
"""

from __future__ import annotations

import argparse
import json
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from script import run
from torch import Tensor, nn
from torch.nn import functional as F

from llasa.audio.audio import read_audio
from llasa.codec.codec import Codec
from llasa.codec.features import semantic_features
from llasa.data.manifest import Manifest, Utterance
from llasa.models.find import find_codec
from llasa.training.auxiliary.phones import phones_at
from llasa.verifiers.asr.word_errors import errors
from llasa.vocabulary.rows import IGNORE

LENGTH = 100
"""Frames of a training row."""
BATCH = 32


class Local(nn.Module):
    """Four local layers: (batch, frames, features) to scores (batch, frames, classes)."""

    def __init__(self, features: int, classes: int, size: int = 192) -> None:
        super().__init__()
        widths = (features, size, size, size)
        convs = (nn.Conv1d(a, size, 5, padding=2) for a in widths)
        self.layers = nn.Sequential(*(part for conv in convs for part in (conv, nn.GELU())))
        self.output = nn.Conv1d(size, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.layers(x.transpose(1, 2))).transpose(1, 2)


class Guess(nn.Module):
    """The next code from all before and the phones up to four frames ahead."""

    def __init__(self, codes: int, phones: int, size: int = 256) -> None:
        super().__init__()
        self.codes = nn.Embedding(codes + 1, size)
        self.phones = nn.Embedding(phones + 1, size // 2)
        self.around = nn.Conv1d(size // 2, size, 9, padding=4)
        self.memory = nn.GRU(2 * size, size, batch_first=True)
        self.output = nn.Linear(size, codes)

    def forward(self, codes: Tensor, phones: Tensor) -> Tensor:
        before = F.pad(codes[:, :-1] + 1, (1, 0))
        around = F.gelu(self.around(self.phones(phones + 1).transpose(1, 2))).transpose(1, 2)
        states, _ = self.memory(torch.cat([self.codes(before), around], -1))
        return self.output(states)


def gather(codec: Codec, clips: list[Utterance]) -> tuple[list[dict[str, Tensor]], list[str]]:
    """Codes, their grid points, mel frames and phones of each clip, and the symbols."""
    symbols = sorted({symbol for clip in clips for symbol, _ in clip.phones})
    numbers = {symbol: number for number, symbol in enumerate(symbols)}
    rows, hop = [], 320
    with torch.inference_mode():
        for clip in clips:
            samples = read_audio(clip.path).mono().resample(16_000).samples
            samples = samples[: len(samples) // hop * hop]
            if len(samples) < LENGTH * hop:
                continue
            wave = torch.from_numpy(samples)[None].clone()
            codes = codec.model.encode(wave)[0]
            mel = semantic_features(wave, hop)[0]
            middles = (np.arange(len(codes)) + 0.5) / 50
            phones = torch.from_numpy(phones_at(middles, clip.phones, numbers))
            points = codec.model.quantizer.values(codes)
            rows.append({"codes": codes, "points": points, "mel": mel, "phones": phones})
    return [{k: v.clone() for k, v in row.items()} for row in rows], symbols


def batch(rows: list[dict[str, Tensor]], rng: np.random.Generator, *names: str) -> list[Tensor]:
    """Random stretches of random rows."""
    parts = []
    for _ in range(BATCH):
        row = rows[int(rng.integers(len(rows)))]
        start = int(rng.integers(len(row["codes"]) - LENGTH + 1))
        parts.append([row[name][start : start + LENGTH] for name in names])
    return [torch.stack(part) for part in zip(*parts, strict=True)]


def name_phones(
    train: list[dict[str, Tensor]], test: list[dict[str, Tensor]], kind: str, steps: int, count: int
) -> tuple[float, float]:
    """Share of wrong phones and nats a frame, on test rows."""
    torch.manual_seed(0)
    network, rng = Local(train[0][kind].shape[1], count), np.random.default_rng(0)
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, steps)
    for _ in range(steps):
        features, phones = batch(train, rng, kind, "phones")
        loss = F.cross_entropy(network(features).flatten(0, 1), phones.flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    wrong = total = 0
    nats = []
    with torch.inference_mode():
        for row in test:
            scores = network(row[kind][None])[0]
            nats.append(float(F.cross_entropy(scores, row["phones"])))
            heard, due = (
                [chr(0x100 + p) for p, _ in groupby(track.tolist()) if p != IGNORE]
                for track in (scores.argmax(-1), row["phones"])
            )
            wrong += errors(due, heard)
            total += len(due)
    return wrong / total, float(np.mean(nats))


def guess(
    train: list[dict[str, Tensor]],
    test: list[dict[str, Tensor]],
    steps: int,
    codes: int,
    count: int,
) -> float:
    """Nats a code, on test rows."""
    torch.manual_seed(0)
    network, rng = Guess(codes, count), np.random.default_rng(0)
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, steps)
    for _ in range(steps):
        said, phones = batch(train, rng, "codes", "phones")
        scores = network(said, phones.clamp_min(-1))
        loss = F.cross_entropy(scores.flatten(0, 1), said.flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    with torch.inference_mode():
        lost = [
            F.cross_entropy(
                network(row["codes"][None], row["phones"][None].clamp_min(-1))[0],
                row["codes"],
                reduction="none",
            )
            for row in test
        ]
    return float(torch.cat(lost).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("codec")
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--no-mel", action="store_true", help="leave out the comparison with mel")
    args = parser.parse_args()
    codec, clips, seconds = Codec.load(find_codec(args.codec), "cpu"), [], 0.0
    for clip in Manifest(args.manifest).read(0, 1_000_000):
        clips.append(clip)
        seconds += clip.seconds or 0
        if seconds >= 3600 * args.hours:
            break
    rows, symbols = gather(codec, clips)
    cut = len(rows) * 9 // 10
    train, test = rows[:cut], rows[cut:]
    used = torch.cat([row["codes"] for row in rows]).bincount(minlength=codec.codebook_size)
    share = used[used > 0] / used.sum()
    found = {"bits": round(float(-(share * share.log2()).sum()), 2)}
    for kind in ("points",) if args.no_mel else ("points", "mel"):
        wrong, nats = name_phones(train, test, kind, args.steps, len(symbols))
        name = "codes" if kind == "points" else kind
        found |= {f"{name} PER %": round(100 * wrong, 1), f"{name} phone nats": round(nats, 3)}
    left = guess(train, test, args.steps, codec.codebook_size, len(symbols))
    found["nats a code"] = round(left, 3)
    print(json.dumps(found))


if __name__ == "__main__":
    run(main)

"""Distil the Whisper-base encoder into nano's small convolutional semantic encoder.

    python distill.py OUT.safetensors MANIFEST... --hours 2 --steps 3000

Clips are joined into 10 s windows, the teacher runs once per window, then the student learns to
predict its standardised features from normalised filter banks through a linear probe.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from llasa.audio.audio import from_int16, read_audio, to_int16
from llasa.audio.mel import whisper_log_mel
from llasa.codec.config import SemanticConfig
from llasa.codec.features import semantic_features
from llasa.codec.semantic import ConvSemantic
from llasa.data.manifest import read_manifest
from llasa.verifiers.asr.whisper import Whisper
from llasa.verifiers.base import RATE

WINDOW = 10 * RATE


def windows(manifests: list[Path], hours: float, seed: int) -> np.ndarray:
    """Joined clips, an equal share of each manifest, (count, 160,000) int16."""
    rng, out = np.random.default_rng(seed), []
    share = int(hours * 360 / len(manifests))
    for path in manifests:
        clips = list(read_manifest(path))
        made, current = 0, np.zeros(0, np.int16)
        for index in rng.permutation(len(clips)):
            audio = read_audio(clips[index].path).mono().resample(RATE).samples
            current = np.concatenate([current, to_int16(audio)])
            while len(current) >= WINDOW and made < share:
                out.append(current[:WINDOW])
                current, made = current[WINDOW:], made + 1
            if made >= share:
                break
    return np.stack([out[i] for i in rng.permutation(len(out))])


def teach(args: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Windows and the teacher's features (count, 500, 512), kept beside OUT for reruns."""
    cache = args.out.with_suffix(".teacher.npz")
    if cache.exists():
        stored = np.load(cache)
        return stored["audio"], stored["targets"]
    audio = windows(args.manifests, args.hours, seed=0)
    teacher: Any = Whisper().model  # of CTranslate2, which has an encoder
    targets = np.empty((len(audio), 500, 512), np.float16)
    for i, window in enumerate(audio):
        mel = whisper_log_mel(from_int16(window), WINDOW / RATE)
        targets[i] = teacher.encode(mel[None])[0]
        if i % 50 == 0:
            print(f"teacher {i}/{len(audio)}", flush=True)
    cache.parent.mkdir(parents=True, exist_ok=True)
    np.savez(cache, audio=audio, targets=targets)
    return audio, targets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("manifests", type=Path, nargs="+")
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--layers", type=int, default=6)
    args = parser.parse_args()
    torch.manual_seed(0)

    audio, targets = teach(args)
    mean, std = targets.mean((0, 1), np.float32), targets.std((0, 1), dtype=np.float32)

    config = SemanticConfig("conv", args.layers, args.size, 2 * args.size, 4)
    student = ConvSemantic(config, 160)
    probe = torch.nn.Linear(args.size, 512)
    parameters = [*student.parameters(), *probe.parameters()]
    optimizer = torch.optim.AdamW(parameters, 2e-3, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, args.steps, pct_start=0.1)
    held = max(1, len(audio) // 20)
    rng, began = np.random.default_rng(1), time.monotonic()

    def loss_of(rows: np.ndarray, start: int, frames: int) -> torch.Tensor:
        clip = from_int16(audio[rows, start * 320 : (start + frames) * 320])
        wanted = (targets[rows, start : start + frames].astype(np.float32) - mean) / std
        predicted = probe(student(semantic_features(torch.from_numpy(clip))))
        return F.mse_loss(predicted, torch.from_numpy(wanted))

    for step in range(args.steps):
        rows = rng.integers(held, len(audio), 8)
        loss = loss_of(rows, int(rng.integers(0, 400)), 100)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 0 or step == args.steps - 1:
            with torch.no_grad():
                valid = loss_of(np.arange(held), 100, 300)
            print(
                f"step {step} loss {loss:.4f} held-out {valid:.4f} "
                f"({time.monotonic() - began:.0f} s)",
                flush=True,
            )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_file(student.state_dict(), args.out)


if __name__ == "__main__":
    main()

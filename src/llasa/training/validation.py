"""Objective scores of a codec on held-out clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from llasa.codec.model import CodecModel
from llasa.data.manifest import read_manifest
from llasa.training.audio_data import load_mono
from llasa.training.losses import MelLoss


@torch.no_grad()
def validate(
    model: CodecModel, manifest: Path, clips: int, mel: MelLoss
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Mel distance, code use and, where installed, STOI and PESQ-WB over the first clips.

    Returns:
        Scores by name, and up to three pairs of waveforms to listen to.
    """
    config, device = model.config, next(model.parameters()).device
    scores: dict[str, list[float]] = {}
    used: set[int] = set()
    samples: dict[str, np.ndarray] = {}
    for index, utterance in enumerate(read_manifest(manifest)):
        if index == clips:
            break
        audio = load_mono(utterance.path, config.sample_rate)
        audio = audio[: len(audio) // config.hop * config.hop]
        real = torch.from_numpy(audio)[None].to(device)
        codes = model.encode(real)
        fake = model.decode(codes)
        used.update(codes.flatten().tolist())
        scores.setdefault("mel", []).append(float(mel(fake, real)))
        for name, value in _perceived(audio, fake[0].cpu().numpy(), config.sample_rate).items():
            scores.setdefault(name, []).append(value)
        if index < 3:
            samples[f"{index}-decoded"] = fake[0].cpu().numpy()
            samples[f"{index}-original"] = audio
    means = {name: float(np.mean(values)) for name, values in scores.items()}
    return {**means, "codes_seen": float(len(used))}, samples


def _perceived(real: np.ndarray, fake: np.ndarray, rate: int) -> dict[str, float]:
    """STOI and PESQ of one pair, as far as their packages are installed and the clip allows."""
    scores: dict[str, float] = {}
    try:
        from pystoi import stoi

        scores["stoi"] = float(stoi(real, fake, rate))
    except ImportError:
        pass
    try:
        import pesq

        scores["pesq"] = float(pesq.pesq(rate, real, fake, "wb", on_error=pesq.PesqError.RETURN_VALUES))
    except ImportError:
        pass
    return scores

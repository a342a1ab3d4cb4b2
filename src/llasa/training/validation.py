"""Objective scores of a codec on held-out clips."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from llasa.codec.model import CodecModel
from llasa.codec.scores import pesq, stoi
from llasa.data.manifest import Manifest
from llasa.errors import LlasaError
from llasa.training.audio_data import load_mono
from llasa.training.losses import MelLoss

Samples = NDArray[np.float32]


@torch.no_grad()
def validate(
    model: CodecModel, manifest: Path, clips: int, mel: MelLoss, lost: dict[str, str] | None = None
) -> tuple[dict[str, float], dict[str, Samples]]:
    """Mel distance, code use and, where installed, STOI and PESQ-WB over the first clips.

    Clips too short for the longest mel window are passed over, as are those that cannot be read;
    these are noted in ``lost``, with the reason.

    Returns:
        Scores by name, and up to three pairs of waveforms to listen to.

    Raises:
        LlasaError: no clip is long enough.
    """
    config, device = model.config, next(model.parameters()).device
    scores: dict[str, list[float]] = {}
    used: set[int] = set()
    samples: dict[str, Samples] = {}
    for index, utterance in enumerate(Manifest(manifest).read(0, clips)):
        try:
            audio = load_mono(utterance.path, config.sample_rate)
        except LlasaError as error:
            if lost is None:
                raise
            lost[str(utterance.path)] = str(error)
            continue
        audio = audio[: len(audio) // config.hop * config.hop]
        if len(audio) <= max(mel.windows):
            continue
        real = torch.from_numpy(audio)[None].to(device)
        codes = model.encode(real)
        fake = model.decode(codes, None if model.timbre is None else model.timbre(real))
        used.update(codes.flatten().tolist())
        scores.setdefault("mel", []).append(float(mel(fake, real)))
        decoded = fake[0].float().cpu().numpy()
        for name, value in _perceived(audio, decoded, config.sample_rate).items():
            scores.setdefault(name, []).append(value)
        if index < 3:
            samples[f"{index}-decoded"] = decoded
            samples[f"{index}-original"] = audio
    if not scores:
        raise LlasaError(f"no clip of {manifest} is long enough to validate with")
    means = {name: float(np.mean(values)) for name, values in scores.items()}
    return {**means, "codes_seen": float(len(used))}, samples


def _perceived(real: Samples, fake: Samples, rate: int) -> dict[str, float]:
    """STOI and PESQ of one pair, as far as their packages are installed and the clip allows."""
    scores: dict[str, float] = {}
    with suppress(LlasaError):
        scores["stoi"] = stoi(real, fake, rate)
    with suppress(LlasaError):
        scores["pesq"] = pesq(real, fake, rate, "wb")
    return {name: value for name, value in scores.items() if math.isfinite(value)}

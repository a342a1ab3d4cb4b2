"""Objective scores of a codec on held-out clips."""

from __future__ import annotations

import math
from contextlib import suppress

import numpy as np
import torch

from llasa.audio.audio import Audio, Samples, read_audio
from llasa.audio.fidelity import pesq, stoi
from llasa.base.errors import LlasaError
from llasa.codec.model import CodecModel
from llasa.data.manifest import Manifest
from llasa.training.codec.losses import MelLoss


@torch.no_grad()
def validate(
    model: CodecModel, manifest: Manifest, clips: int, mel: MelLoss, lost: dict[str, str]
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
    for index, utterance in enumerate(manifest.read(0, clips)):
        try:
            sound = read_audio(utterance.path).mono()
        except LlasaError as error:
            lost[str(utterance.path)] = str(error)
            continue
        audio = sound.resample(config.output_rate).samples
        given = sound.resample(config.input_rate).samples
        frames = min(len(audio) // config.output_hop, len(given) // config.input_hop)
        audio, given = audio[: frames * config.output_hop], given[: frames * config.input_hop]
        if len(audio) <= max(mel.windows):
            continue
        real, source = (torch.from_numpy(part)[None].to(device) for part in (audio, given))
        codes = model.encode(source)
        fake = model.decode(
            codes, None if model.speaker_encoder is None else model.speaker_encoder(source)
        )
        used.update(codes.flatten().tolist())
        scores.setdefault("mel", []).append(float(mel(fake, real)))
        decoded = fake[0].float().cpu().numpy()
        back = Audio(decoded, config.output_rate).resample(config.input_rate).samples
        for name, value in _perceived(given, back[: len(given)], config.input_rate).items():
            scores.setdefault(name, []).append(value)
        if index < 3:
            samples[f"{index}-decoded"] = decoded
            samples[f"{index}-original"] = audio
    if not scores:
        raise LlasaError(f"No clip of {manifest.path} is long enough to validate with.")
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

